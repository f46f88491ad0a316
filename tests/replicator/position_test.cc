#include "replicator/position.h"

#include <gtest/gtest.h>

#include "sim/sim_env.h"

namespace sluice {
namespace {

const CopyPosition kPosition{1'700'000'000'000'000'001, StreamSeq(1234), StreamSeq(99)};

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

TEST(Position, SurvivesAPowerCutAtAnyStepAsOneOfTheTwo) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    sim::SimEnv sim(seed);
    const CopyPosition later{kPosition.origin_created, StreamSeq(2000), StreamSeq(200)};
    ASSERT_TRUE(sim.disk().make_dirs("/data"));
    ASSERT_TRUE(sim.disk().sync_dir("/"));
    ASSERT_TRUE(write_position(sim.disk(), "/data/state", "a.position", kPosition));
    sim.disk().cut_after_n_ops(seed % 8);
    (void)write_position(sim.disk(), "/data/state", "a.position", later);
    sim.power_cut();
    sim.disk().power_on();
    auto found = read_position(sim.disk(), "/data/state/a.position");
    ASSERT_TRUE(found) << found.error().detail;
    EXPECT_TRUE(*found == kPosition || *found == later);
  }
}

}  // namespace
}  // namespace sluice
