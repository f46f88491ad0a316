// A mark on a shared target fences what earlier sessions and stale leaders sent, however late it comes.
#include <gtest/gtest.h>

#include <optional>

#include "copy_world.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr uint64_t kOldTerm = 7, kNewTerm = 12;

struct Fenced : ::testing::Test {
  Fenced() : w(1) {
    w.options.target_writers = TargetWriters::kShared;
    w.options.fence_subject = "s.fence";
    w.target.streams["TARGET"];
  }
  /// The other member of the group, with a state folder of its own.
  std::unique_ptr<StreamCopy> make_other(const StreamCopyOptions& options) {
    return std::make_unique<StreamCopy>(w.sim.env(), options, "edge", "/other/state", StreamCopy::Sites{w.source, w.target, w.source});
  }
  bool run_until_passed(StreamCopy& copy) {
    return w.sim.run_until([&] { return copy.figures().position.source_seq.value() == w.source.streams["SOURCE"].last_seq; }, 600s);
  }
  /// Source sequences of the copies, in the target's order.
  std::vector<uint64_t> copied() {
    std::vector<uint64_t> places;
    for (auto& [seq, message] : w.target.streams["TARGET"].messages) {
      if (const auto mark = find_provenance(message.headers, kCopyMark)) places.push_back(mark->seq.value());
    }
    return places;
  }
  std::map<std::string, std::vector<uint64_t>> copied_by_subject() {
    std::map<std::string, std::vector<uint64_t>> places;
    for (auto& [seq, message] : w.target.streams["TARGET"].messages) {
      if (const auto mark = find_provenance(message.headers, kCopyMark)) places[message.subject].push_back(mark->seq.value());
    }
    return places;
  }
  size_t marks() {
    size_t count = 0;
    for (auto& [seq, message] : w.target.streams["TARGET"].messages) count += message.subject == "s.fence" ? 1 : 0;
    return count;
  }
  /// SIGSTOP, or a network that is cut: its bytes stand in a queue, and arrive with target.arrive(). 20 messages were copied before.
  void kill_while_messages_are_on_their_way(std::optional<uint64_t> leading_term = std::nullopt) {
    w.fill(20);
    w.start();
    if (leading_term) w.copy->set_leading(true, *leading_term);
    ASSERT_TRUE(w.run_until_passed());
    w.target.holds_publishes = true;
    w.fill(20);
    ASSERT_TRUE(w.sim.run_until([&] { return w.copy->figures().in_flight >= 5; }, 10s));
    w.kill();
    w.target.holds_publishes = false;
  }
  /// A leader is stopped with messages on their way, another one takes over; then those arrive, long after the target forgot their ids.
  void hand_over_while_messages_are_on_their_way() {
    kill_while_messages_are_on_their_way(kOldTerm);
    if (HasFatalFailure()) return;
    auto other = make_other(w.options);
    ASSERT_TRUE(other->start(false));
    other->set_leading(true, kNewTerm);
    ASSERT_TRUE(run_until_passed(*other));
    w.target.streams["TARGET"].ids.clear();
    w.target.arrive();
    w.fill(10);
    ASSERT_TRUE(run_until_passed(*other));
    w.sim.advance(10s);
  }

  CopyWorld w;
};

TEST_F(Fenced, WhatAStaleLeaderSentIsRefusedLongAfterItsIdsAreForgotten) {
  hand_over_while_messages_are_on_their_way();
  auto places = copied();
  EXPECT_EQ(places.size(), 50u);
  for (const auto& [subject, seqs] : copied_by_subject()) EXPECT_TRUE(std::is_sorted(seqs.begin(), seqs.end())) << subject;
  EXPECT_GE(w.target.refused_fences, 5u);
}

TEST_F(Fenced, WithoutTheMarkTheyAreDoubledAndOutOfOrder) {  // what the fence is for
  w.options.fence_subject.clear();
  hand_over_while_messages_are_on_their_way();
  EXPECT_GT(copied().size(), 50u);
}

TEST_F(Fenced, EarlierSessionsAreFencedOffEvenWithoutIdsAndElections) {
  w.options.message_ids = false;
  kill_while_messages_are_on_their_way();
  if (HasFatalFailure()) return;
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  w.target.arrive();
  w.sim.advance(10s);
  EXPECT_EQ(copied().size(), 40u);
}

TEST_F(Fenced, WhatArrivesBeforeTheNewMarkIsFoundAndNotSentAgain) {
  w.options.message_ids = false;
  kill_while_messages_are_on_their_way();
  if (HasFatalFailure()) return;
  w.target.arrive();
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  EXPECT_EQ(copied().size(), 40u);
  EXPECT_EQ(w.ledger(), (Ledger{.read = 40, .copied = 40}));
}

TEST_F(Fenced, AnEarlierTermNeverTakesTheMarkOfALaterOneUntilTheElectionsWereMadeAnew) {
  w.fill(5);
  auto other = make_other(w.options);
  ASSERT_TRUE(other->start(false));
  other->set_leading(true, kNewTerm);
  ASSERT_TRUE(run_until_passed(*other));
  w.start();
  w.copy->set_leading(false);
  w.copy->set_leading(true, kOldTerm);
  w.fill(5);
  ASSERT_TRUE(run_until_passed(*other));
  w.sim.advance(5s);
  EXPECT_EQ(copied().size(), 10u);
  EXPECT_NE(w.copy->figures().last_error.find("later leader"), std::string::npos) << w.copy->figures().last_error;
  EXPECT_EQ(other->figures().failures, 0u);
  other.reset();
  w.fill(5);
  ASSERT_TRUE(w.run_until_passed(60s)) << "who still leads after 10 s takes it";
  EXPECT_EQ(copied().size(), 15u);
}

TEST_F(Fenced, AMarkThatTheTargetsLimitsTookIsPutAnew) {
  w.fill(5);
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  w.target.purge_below("TARGET", 3);
  ASSERT_EQ(marks(), 0u);
  w.fill(5);
  ASSERT_TRUE(w.run_until_passed());
  EXPECT_EQ(w.copy->figures().fence_refused, 1u);
  EXPECT_EQ(marks(), 1u);
  EXPECT_EQ(w.ledger(), (Ledger{.read = 10, .copied = 10}));
}

TEST_F(Fenced, AServerThatKnowsNoFenceIsToldOf) {
  w.target.knows_fences = false;
  w.fill(5);
  w.start();
  ASSERT_TRUE(w.sim.run_until([&] { return w.copy->figures().state == CopyState::kBlocked; }, 60s)) << w.copy->figures().last_error;
  EXPECT_NE(w.copy->figures().last_error.find("does not know the fence"), std::string::npos) << w.copy->figures().last_error;
  EXPECT_TRUE(copied().empty());
}

TEST_F(Fenced, ASubjectThatTheTargetDoesNotTakeIsToldOf) {
  w.options.fence_subject = "elsewhere.fence";
  w.fill(5);
  w.start();
  ASSERT_TRUE(w.sim.run_until([&] { return w.copy->figures().state == CopyState::kBlocked; }, 60s));
  EXPECT_NE(w.copy->figures().last_error.find("add it to the stream's subjects"), std::string::npos) << w.copy->figures().last_error;
}

TEST_F(Fenced, AReplicatedTargetGetsOneAfterTheOtherOrInBatches) {
  w.target.one_fenced = true;
  w.target.streams["TARGET"].allow_atomic = true;
  w.fill(200);
  w.start();
  ASSERT_TRUE(w.run_until_passed()) << w.copy->figures().last_error;
  EXPECT_EQ(copied().size(), 200u);
  EXPECT_LE(w.copy->figures().failures, 1u);
  EXPECT_GT(w.target.largest_batch, 5u);
}

TEST_F(Fenced, OthersWritesAreNoticedAndThenItIsPut) {
  w.options.target_writers = TargetWriters::kAuto;
  w.fill(5);
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  EXPECT_EQ(marks(), 0u);
  w.target.store("TARGET", "s.x", "", "not ours");
  w.fill(5);
  ASSERT_TRUE(w.run_until_passed());
  EXPECT_EQ(marks(), 1u);
  EXPECT_EQ(copied().size(), 10u);
}

TEST_F(Fenced, NothingIsSentWhileTheTermCantBeProven) {
  bool proven = true;
  w.fill(5);
  w.copy = std::make_unique<StreamCopy>(w.sim.env(), w.options, "edge", "/data/state", StreamCopy::Sites{w.source, w.target, w.source});
  w.copy->set_proof([&] { return proven; });
  ASSERT_TRUE(w.copy->start());
  ASSERT_TRUE(w.run_until_passed());
  proven = false;
  w.fill(5);
  w.sim.advance(5s);
  EXPECT_EQ(copied().size(), 5u);
  proven = true;
  ASSERT_TRUE(w.run_until_passed());
  EXPECT_EQ(copied().size(), 10u);
  EXPECT_EQ(w.copy->figures().failures, 0u);
}

TEST_F(Fenced, LosesAndDoublesNothingWhateverIsLostOnTheWay) {
  for (uint64_t seed = 1000; seed < 1020; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    CopyWorld world(seed);
    world.options.target_writers = TargetWriters::kShared;
    world.options.fence_subject = "s.fence";
    world.options.message_ids = seed % 3 != 0;
    world.target.streams["TARGET"].allow_atomic = seed % 2 == 0;
    world.source.faults = {.lose_delivery = 1, .fail_call = 5};
    world.target.faults = {.lose_ack = 1, .lose_publish = 1, .late_publish = 1, .fail_call = 5};
    world.fill(200);
    world.start();
    for (int i = 0; i < 4; ++i) {
      world.sim.advance(std::chrono::milliseconds(world.sim.random().below(3000)));
      world.target.store("TARGET", "s.x", "", "not ours");
      world.kill();
      world.target.streams["TARGET"].ids.clear();
      world.start();
      world.fill(30);
    }
    world.source.faults = {};
    world.target.faults = {};
    ASSERT_TRUE(world.run_until_passed()) << world.copy->figures().last_error;
    world.sim.advance(2s);
    std::map<std::string, std::vector<std::string>> from, to;
    for (auto& [seq, message] : world.source.streams["SOURCE"].messages) from[message.subject].push_back(message.payload);
    for (auto& [seq, message] : world.target.streams["TARGET"].messages) {
      if (find_provenance(message.headers, kCopyMark)) to[message.subject].push_back(message.payload);
    }
    EXPECT_EQ(to, from);
  }
}

}  // namespace
}  // namespace sluice
