#include "replicator/stream_copy.h"

#include <gtest/gtest.h>

#include <random>

#include "copy_world.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

TEST(StreamCopy, CopiesInOrderAndCreatesTheTarget) {
  CopyWorld w(1);
  w.fill(500);
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  w.expect_equal();
  EXPECT_EQ(w.copy->figures().copied, 500u);
  EXPECT_EQ(w.copy->figures().sessions, 1u);
  EXPECT_EQ(w.target.streams["TARGET"].subjects, w.source.streams["SOURCE"].subjects);
}

TEST(StreamCopy, GoesOnWhereTheTargetStandsWhenItsOwnMemoryIsGone) {
  CopyWorld w(2);
  w.fill(100);
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  w.sim.advance(3s);  // the position file is written
  w.copy.reset();
  ASSERT_TRUE(w.sim.disk().remove("/data/state/SOURCE_reg.position"));
  w.fill(100);
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  w.expect_equal();
  EXPECT_EQ(w.copy->figures().copied, 100u);
}

TEST(StreamCopy, KnowsItsPlaceAfterTheTargetWasEmptied) {
  CopyWorld w(3);
  w.fill(100);
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  w.sim.advance(3s);  // the position file is written
  w.fill(20);
  ASSERT_TRUE(w.run_until_passed());
  w.copy.reset();     // killed: the file is 20 messages behind
  w.target.streams["TARGET"].messages.clear();
  w.fill(30);
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  EXPECT_EQ(w.target.streams["TARGET"].messages.size(), 30u);
  EXPECT_EQ(w.target.streams["TARGET"].last_seq, 150u);
}

TEST(StreamCopy, StopsAtATargetWrittenByOthers) {
  CopyWorld w(4);
  w.options.target_writers = TargetWriters::kExclusive;
  w.fill(10);
  w.target.store("TARGET", "s.x", "", "not ours");
  w.start();
  w.sim.advance(2s);
  EXPECT_EQ(w.copy->figures().state, CopyState::kBlocked);
  EXPECT_EQ(w.target.streams["TARGET"].messages.size(), 1u);
}

TEST(StreamCopy, BoundsWhatIsOnItsWay) {
  CopyWorld w(7);
  w.fill(2000);
  w.target.silent = true;
  w.start();
  w.target.silent = false;
  w.sim.run_until([&] { return w.copy->figures().in_flight > 0; }, 5s);
  w.target.silent = true;
  w.sim.advance(3s);
  EXPECT_LE(w.copy->figures().in_flight, 50u);
  EXPECT_LE(w.copy->figures().waiting, 100u);
  w.target.silent = false;
  ASSERT_TRUE(w.run_until_passed());
  w.expect_equal();
}

TEST(StreamCopy, GivesEachMessageAnIdThatIsTheSameNextTime) {
  CopyWorld w(8);
  w.source.store("SOURCE", "s.a", "", "none");
  w.source.store("SOURCE", "s.a", "NATS/1.0\r\nNats-Msg-Id: own\r\n\r\n", "its own");
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  auto& to = w.target.streams["TARGET"].messages;
  EXPECT_EQ(find_header(to[1].headers, "Nats-Msg-Id"), "SOURCE:1:edge:reg:1");
  EXPECT_EQ(find_header(to[2].headers, "Nats-Msg-Id"), "own");
}

TEST(StreamCopy, KeepsAMessageWhoseIdMeetsAnOlderOne) {
  CopyWorld w(6);
  for (int i = 0; i < 40; ++i) {
    w.source.store("SOURCE", "s.a", "NATS/1.0\r\nNats-Msg-Id: same" + std::to_string(i % 20) + "\r\n\r\n", std::to_string(i));
  }
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  w.expect_equal();
  EXPECT_EQ(w.copy->figures().renamed_ids, 20u);
}

TEST(StreamCopy, LosesAndDoublesNothingWhateverIsLostOnTheWay) {
  const uint64_t base = std::random_device{}();
  for (uint64_t seed = base; seed < base + 25; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    CopyWorld w(seed);
    w.source.faults = {.lose_delivery = 1, .fail_call = 5};
    w.target.faults = {.lose_ack = 1, .lose_publish = 1, .late_publish = 1, .fail_call = 5};
    w.fill(300);
    w.start();
    for (int i = 0; i < 4; ++i) {
      w.sim.advance(std::chrono::milliseconds(w.sim.random().below(3000)));
      w.copy.reset();  // kill -9 of the replicator
      w.sim.run_until_idle();
      w.start();
      w.fill(50);
    }
    w.source.faults = {};
    w.target.faults = {};
    ASSERT_TRUE(w.run_until_passed()) << w.copy->figures().last_error;
    w.expect_equal();
    EXPECT_EQ(w.ledger(), (Ledger{.read = 500, .copied = 500}));
  }
}

TEST(StreamCopy, TheLastMessagesThatWentDownWithAConnectionAreReadAgain) {
  CopyWorld w(1);
  w.fill(10);
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  w.source.faults.lose_delivery = 100;
  w.fill(3);
  w.sim.advance(1s);
  w.source.faults.lose_delivery = 0;
  w.sim.advance(60s);
  ASSERT_EQ(w.target.streams["TARGET"].messages.size(), 10u) << "nothing follows that would tell of them";
  w.source.link().reconnect();
  ASSERT_TRUE(w.run_until_passed(10s));
  w.expect_equal();
}

}  // namespace
}  // namespace sluice
