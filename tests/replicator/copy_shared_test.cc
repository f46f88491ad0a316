// Several writers on one target: order is kept for each subject, nothing is lost or doubled.
#include <gtest/gtest.h>

#include <random>

#include "copy_world.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

/// Each source message once, by subject in the source's order.
void expect_complete(CopyWorld& w) {
  std::map<std::string, std::vector<std::string>> from, to;
  for (auto& [seq, message] : w.source.streams["SOURCE"].messages) from[message.subject].push_back(message.payload);
  for (auto& [seq, message] : w.target.streams["TARGET"].messages) {
    if (find_provenance(message.headers, kCopyMark)) to[message.subject].push_back(message.payload);
  }
  EXPECT_EQ(to, from);
}

TEST(SharedTarget, IsNoticedByItselfAndFilledBesideTheOthers) {
  CopyWorld w(1);
  w.fill(100);
  w.target.store("TARGET", "s.x", "", "not ours");
  w.start();
  for (int i = 0; i < 20; ++i) {
    w.sim.advance(5ms);
    w.target.store("TARGET", "s.x", "", "not ours either");
  }
  ASSERT_TRUE(w.run_until_passed());
  EXPECT_TRUE(w.position().shared);
  expect_complete(w);
  EXPECT_EQ(w.ledger(), (Ledger{.read = 100, .copied = 100}));
}

TEST(SharedTarget, AKillWithoutAnyMemoryFindsItsPlaceByTheMarks) {
  CopyWorld w(2);
  w.fill(60);
  w.target.store("TARGET", "s.x", "", "not ours");
  w.start();
  w.sim.run_until([&] { return w.target.streams["TARGET"].messages.size() > 20; }, 10s);
  w.kill();
  (void)w.sim.disk().remove("/data/state/SOURCE_reg.position");
  w.target.store("TARGET", "s.x", "", "not ours");
  w.target.streams["TARGET"].ids.clear();  // long after the window of ids
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  expect_complete(w);
  EXPECT_EQ(w.ledger().copied, 60u);
}

TEST(SharedTarget, LosesAndDoublesNothingWhateverIsLostOnTheWay) {
  const uint64_t base = std::random_device{}();
  for (uint64_t seed = base; seed < base + 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    CopyWorld w(seed);
    w.options.target_writers = TargetWriters::kShared;
    w.target.streams["TARGET"].allow_atomic = seed % 2 == 0;
    w.source.faults = {.lose_delivery = 1, .fail_call = 5};
    w.target.faults = {.lose_ack = 1, .lose_publish = 1, .late_publish = 1, .fail_call = 5};
    w.fill(200);
    w.start();
    for (int i = 0; i < 4; ++i) {
      w.sim.advance(std::chrono::milliseconds(w.sim.random().below(3000)));
      w.target.store("TARGET", "s.x", "", "not ours");
      w.kill();
      w.start();
      w.fill(30);
    }
    w.source.faults = {};
    w.target.faults = {};
    ASSERT_TRUE(w.run_until_passed()) << w.copy->figures().last_error;
    w.sim.advance(2s);
    expect_complete(w);
    EXPECT_EQ(w.ledger(), (Ledger{.read = 320, .copied = 320}));
  }
}

TEST(SharedTarget, WhatIsPurgedWhileItIsLookedThroughIsNotWaitedFor) {
  CopyWorld w(3);
  w.fill(20);
  for (int i = 0; i < 5; ++i) w.target.store("TARGET", "s.x", "", "not ours");
  w.target.before_consumer = [&] { w.target.purge_below("TARGET", 6); };
  w.start();
  ASSERT_TRUE(w.run_until_passed(60s));
  expect_complete(w);
}

TEST(SharedTarget, WhatRepeatsASubjectGoesInBatchesWhereTheTargetTakesThem) {
  CopyWorld w(7);
  w.options.target_writers = TargetWriters::kShared;
  w.target.streams["TARGET"].allow_atomic = true;
  for (int i = 0; i < 500; ++i) w.source.store("SOURCE", "s.one", "", "payload " + std::to_string(i));
  const MonoTime begun = w.sim.clock().now();
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  EXPECT_LT(w.sim.clock().now() - begun, 200ms) << "one a round trip, of a millisecond each";
  EXPECT_GT(w.target.largest_batch, 10u);
  EXPECT_LE(w.target.largest_batch, w.options.window_messages);
  expect_complete(w);
  EXPECT_EQ(w.ledger(), (Ledger{.read = 500, .copied = 500}));
}

TEST(SharedTarget, ABatchThatIsRefusedGoesOneByOne) {
  CopyWorld w(8);
  w.options.target_writers = TargetWriters::kShared;
  w.options.dead_letter_subject = "dead.letters";
  w.target.streams["TARGET"].allow_atomic = true;
  w.target.refused_subject = "s.bad";
  w.target.streams["TARGET"].ids["taken"] = 1;
  w.fill(60);
  w.source.store("SOURCE", "s.bad", "", "too large, say");
  w.source.store("SOURCE", "s.1", "NATS/1.0\r\nNats-Msg-Id: taken\r\n\r\n", "the id is that of another one");
  w.fill(30);
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  EXPECT_GT(w.target.largest_batch, 2u);
  EXPECT_EQ(w.ledger(), (Ledger{.read = 92, .copied = 91, .dead_lettered = 1}));
  EXPECT_EQ(w.copy->figures().renamed_ids, 1u);
}

/// An earlier process copied this source message, having settled nothing.
void store_copy_of(CopyWorld& w, uint64_t seq) {
  const StoredCopy& original = w.source.streams["SOURCE"].messages[seq];
  w.target.store("TARGET", original.subject,
                 copy_headers(original.headers, {"SOURCE", StreamSeq(seq), "edge", "reg", 0}, {.origin_created = 1}), original.payload);
}

std::vector<uint64_t> copied(CopyWorld& w) {
  std::vector<uint64_t> places;
  for (auto& [seq, message] : w.target.streams["TARGET"].messages) {
    if (const auto mark = find_provenance(message.headers, kCopyMark)) places.push_back(mark->seq.value());
  }
  return places;
}

TEST(SharedTarget, WhatWasRemovedThereIsNotWrittenBehindANewerOneOfItsSubject) {
  CopyWorld w(4);
  w.options.target_writers = TargetWriters::kShared;
  w.fill(16);  // subjects of 1, 8 and 15 are the same
  store_copy_of(w, 8);  // a bucket that keeps one value of a key: 1 was there
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  EXPECT_EQ(copied(w), (std::vector<uint64_t>{8, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16}));
  EXPECT_EQ(w.ledger(), (Ledger{.read = 16, .copied = 16}));
}

TEST(SharedTarget, WhatWasSampledAwayStaysSoThoughTheNextProcessKnowsNothingOfIt) {
  CopyWorld w(5);
  w.options.target_writers = TargetWriters::kShared;
  w.options.inspect.subject_token = 2;
  w.options.inspect.duration = 1h;
  w.fill(16);
  store_copy_of(w, 8);   // its size had jumped
  store_copy_of(w, 15);
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  EXPECT_EQ(copied(w), (std::vector<uint64_t>{8, 15, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(w.ledger(), (Ledger{.read = 16, .copied = 8, .sampled = 8}));
}

TEST(SharedTarget, WhatExpiredBeforeANewerOneWasCopiedStaysExpired) {
  CopyWorld w(6);
  w.options.target_writers = TargetWriters::kShared;
  w.options.max_age = 1h;
  w.fill(9);
  store_copy_of(w, 8);
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  EXPECT_EQ(w.ledger(), (Ledger{.read = 9, .copied = 8, .expired = 1}));
}

}  // namespace
}  // namespace sluice
