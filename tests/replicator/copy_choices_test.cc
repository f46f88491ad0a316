// What is copied, from where on, and what is left out with a reason.
#include <gtest/gtest.h>

#include "copy_world.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

struct Choices : testing::Test {
  CopyWorld w{1};
  std::vector<uint64_t> copied() {
    std::vector<uint64_t> out;
    for (auto& [seq, message] : w.target.streams["TARGET"].messages)
      out.push_back(find_provenance(message.headers, kCopyMark)->seq.value());
    return out;
  }
  void run() {
    w.start();
    ASSERT_TRUE(w.run_until_passed()) << w.copy->figures().last_error;
  }
};

TEST_F(Choices, OneFilterAndSeveral) {
  w.options.filter_subject = "s.3";
  w.fill(21);
  run();
  EXPECT_EQ(copied(), (std::vector<uint64_t>{3, 10, 17}));
  EXPECT_EQ(w.ledger(), (Ledger{.read = 21, .copied = 3, .filtered = 18}));

  CopyWorld several(2);
  several.options.filter_subjects = {"s.1", "s.2"};
  several.fill(14);
  several.start();
  ASSERT_TRUE(several.run_until_passed());
  EXPECT_EQ(several.ledger(), (Ledger{.read = 14, .copied = 4, .filtered = 10}));
  EXPECT_EQ(several.copy->lag().messages, 0u);
}

TEST_F(Choices, StartRulesTakeEffectOnlyWhenNoPositionIsKnown) {
  w.fill(20);
  w.options.start_sequence = 8;
  run();
  EXPECT_EQ(copied().front(), 8u);
  EXPECT_EQ(w.ledger(), (Ledger{.read = 13, .copied = 13}));
  w.sim.advance(3s);
  w.kill();
  w.options.start_sequence = 1;
  w.fill(5);
  run();
  EXPECT_EQ(copied().size(), 18u);
}

TEST_F(Choices, StartAtTheEndStaysThereAfterAKill) {
  w.fill(20);
  w.options.start_at_end = true;
  w.start();
  w.sim.advance(3s);
  w.kill();
  w.fill(5);
  run();
  EXPECT_EQ(copied(), (std::vector<uint64_t>{21, 22, 23, 24, 25}));
}

TEST_F(Choices, StartAtATimeAndByADelta) {
  w.sim.advance(1h);
  w.fill(10);
  w.sim.advance(1h);
  const WallNanos half_time = w.sim.clock().wall();
  w.fill(10);
  w.options.start_time = half_time;
  run();
  EXPECT_EQ(copied().front(), 11u);
  EXPECT_EQ(w.ledger(), (Ledger{.read = 10, .copied = 10}));

  CopyWorld delta(2);
  delta.sim.advance(1h);
  delta.fill(10);
  delta.sim.advance(1h);
  delta.fill(10);
  delta.options.start_delta = 30min;
  delta.start();
  ASSERT_TRUE(delta.run_until_passed());
  EXPECT_EQ(delta.ledger(), (Ledger{.read = 10, .copied = 10}));
}

TEST_F(Choices, OldMessagesExpire) {
  w.sim.advance(1h);
  w.fill(10);
  w.sim.advance(1min);
  w.fill(3);
  w.options.max_age = 30s;
  run();
  EXPECT_EQ(copied(), (std::vector<uint64_t>{11, 12, 13}));
  EXPECT_EQ(w.ledger(), (Ledger{.read = 13, .copied = 3, .expired = 10}));
}

TEST_F(Choices, EphemeralBeginsAnewAtEachStartButNotAtEachSession) {
  w.options.ephemeral = true;
  w.fill(10);
  run();
  w.target.silent = true;
  w.fill(5);
  w.sim.advance(30s);  // sessions fail
  w.target.silent = false;
  ASSERT_TRUE(w.run_until_passed());
  EXPECT_EQ(copied().size(), 15u);
  w.sim.advance(3s);
  w.kill();
  run();
  EXPECT_EQ(copied().size(), 30u);
}

TEST_F(Choices, AtTheLimitOfHopsMessagesStay) {
  w.options.max_hops = 2;
  const std::string mark = "Choria-SR-Source: X 1 r w 1\r\n";
  w.source.store("SOURCE", "s.a", "", "0");
  w.source.store("SOURCE", "s.a", "NATS/1.0\r\n" + mark + "\r\n", "1");
  w.source.store("SOURCE", "s.a", "NATS/1.0\r\n" + mark + mark + "\r\n", "2");
  run();
  EXPECT_EQ(copied(), (std::vector<uint64_t>{1, 2}));
  EXPECT_EQ(w.ledger(), (Ledger{.read = 3, .copied = 2, .filtered = 1}));
}

TEST_F(Choices, SubjectsAreRewritten) {
  w.options.target_subject_prefix = "site1";
  w.options.target_subject_remove = "s.";
  w.fill(2);
  run();
  EXPECT_EQ(w.target.streams["TARGET"].messages[1].subject, "site1.1");
  EXPECT_EQ(w.target.streams["TARGET"].subjects, std::vector<std::string>{"site1.>"});
}

TEST_F(Choices, WhatTheTargetRefusesGoesToTheDeadLettersAndTheRestGoesOn) {
  w.options.dead_letter_subject = "dead.letters";
  w.options.max_tries = 3;
  w.fill(10);
  w.target.refused_subject = "s.4";
  run();
  EXPECT_EQ(copied(), (std::vector<uint64_t>{1, 2, 3, 5, 6, 7, 8, 9, 10}));
  EXPECT_EQ(w.ledger(), (Ledger{.read = 10, .copied = 9, .dead_lettered = 1}));
  const StoredCopy& dead = w.target.streams["DEAD"].messages[1];
  EXPECT_EQ(dead.payload, "payload 4");
  EXPECT_EQ(find_header(dead.headers, "Sluice-Original-Subject"), "s.4");
  EXPECT_NE(find_header(dead.headers, "Sluice-Dead-Letter-Reason")->find("maximum"), std::string::npos);
  EXPECT_EQ(w.copy->figures().state, CopyState::kCopying);
}

TEST_F(Choices, WithoutDeadLettersItWaitsAndSaysSo) {
  w.fill(10);
  w.target.refused_subject = "s.4";
  w.start();
  w.sim.advance(60s);
  EXPECT_EQ(copied(), (std::vector<uint64_t>{1, 2, 3}));
  EXPECT_TRUE(w.copy->lag().stalled);
  EXPECT_NE(w.copy->figures().last_error.find("source message 4"), std::string::npos);
  w.target.refused_subject.clear();
  ASSERT_TRUE(w.run_until_passed());
  w.expect_equal();
}

TEST_F(Choices, PausedCopiesNothingAndGoesOnWhereItStood) {
  w.fill(10);
  run();
  w.copy->set_paused(true);
  w.fill(10);
  w.sim.advance(30s);
  EXPECT_EQ(copied().size(), 10u);
  EXPECT_EQ(w.copy->figures().state, CopyState::kPaused);
  EXPECT_FALSE(w.copy->lag().stalled);
  w.copy->set_paused(false);
  ASSERT_TRUE(w.run_until_passed());
  w.expect_equal();
}

TEST_F(Choices, AStaleLeaderWritesNothingAfterTheNewOneHasBegun) {
  w.fill(10);
  run();
  // The other member of the group takes over while this one still believes to lead.
  StreamCopy other(w.sim.env(), w.options, "edge", "/other/state", {w.source, w.target, w.source});
  ASSERT_TRUE(other.start());
  w.fill(20);
  ASSERT_TRUE(w.sim.run_until([&] { return w.target.streams["TARGET"].last_seq == 30 && w.copy->figures().position.source_seq.value() == 30; }, 60s));
  w.sim.advance(10s);
  w.expect_equal();
}

TEST_F(Choices, AStopWaitsForWhatIsOnItsWayAndKeepsThePosition) {
  w.fill(200);
  w.start();
  w.sim.run_until([&] { return w.copy->figures().in_flight > 5; }, 5s);
  bool stopped = false;
  w.copy->stop([&] { stopped = true; });
  ASSERT_TRUE(w.sim.run_until([&] { return stopped; }, 5s));
  const auto kept = read_position(w.sim.disk(), "/data/state/SOURCE_reg.position");
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->target_seq.value(), w.target.streams["TARGET"].last_seq);
  EXPECT_EQ(kept->ledger.copied, w.target.streams["TARGET"].messages.size());
}

}  // namespace
}  // namespace sluice
