#include "replicator/position.h"

#include <gtest/gtest.h>

#include "sim/sim_env.h"

namespace sluice {
namespace {

const CopyPosition kPosition{.origin_created = 1'700'000'000'000'000'001,
                             .source_seq = StreamSeq(1234),
                             .target_seq = StreamSeq(99),
                             .source_end = StreamSeq(2000),
                             .shared = true,
                             .ledger = {.read = 1234, .copied = 90, .filtered = 1000, .sampled = 100, .expired = 20,
                                        .dead_lettered = 1, .removed = 3, .purged = 10, .recreated = 10}};

TEST(Position, RefusesEveryDamagedByte) {
  const std::string whole = encode_position(kPosition);
  ASSERT_EQ(decode_position(whole), kPosition);
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string cut = whole.substr(0, i);
    EXPECT_EQ(decode_position(cut), std::nullopt) << i;
    std::string flipped = whole;
    flipped[i] = static_cast<char>(flipped[i] ^ 1);
    EXPECT_EQ(decode_position(flipped), std::nullopt) << i;
  }
}

TEST(Position, StandsInAHeader) {
  const std::string value = format_position_header(kPosition);
  EXPECT_EQ(value, "1700000000000000001 1234 1234 1000 100 20 1 3 10 10");
  CopyPosition expected = kPosition;
  expected.target_seq = StreamSeq();
  expected.source_end = StreamSeq();
  expected.shared = false;
  EXPECT_EQ(parse_position_header(value), expected);
  for (const char* bad : {"", "1", "1 2", "1 2 3", "1 2 3 0 0 0 0 0 0", "1 2 3 4 0 0 0 0 0 0", "1 2 3 0 0 0 0 0 0 0 0",
                          "1 2 3 0 0 0 0 0 0 x", "1 2 9 18446744073709551615 2 0 0 0 0 0"}) {
    EXPECT_EQ(parse_position_header(bad), std::nullopt) << bad;
  }
}

TEST(Position, SurvivesAPowerCutAtAnyStepAsOneOfTheTwo) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    sim::SimEnv sim(seed);
    const CopyPosition later{.origin_created = kPosition.origin_created, .source_seq = StreamSeq(2000), .target_seq = StreamSeq(200)};
    ASSERT_TRUE(sim.disk().make_dirs("/data"));
    ASSERT_TRUE(sim.disk().sync_dir("/"));
    ASSERT_TRUE(write_state_file(sim.disk(), "/data/state", "a.position", encode_position(kPosition)));
    sim.disk().cut_after_n_ops(seed % 8);
    (void)write_state_file(sim.disk(), "/data/state", "a.position", encode_position(later));
    sim.power_cut();
    sim.disk().power_on();
    auto found = read_position(sim.disk(), "/data/state/a.position");
    ASSERT_TRUE(found) << found.error().detail;
    EXPECT_TRUE(*found == kPosition || *found == later);
  }
}

}  // namespace
}  // namespace sluice
