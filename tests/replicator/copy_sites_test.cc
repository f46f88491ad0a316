// What the simulator of whole sites has found, one by one.
#include <gtest/gtest.h>

#include "copy_world.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

/// Each source message once, those of others left out.
void expect_each_once(CopyWorld& w) {
  std::vector<std::string> from, to;
  for (auto& [seq, message] : w.source.streams["SOURCE"].messages) from.push_back(message.payload);
  for (auto& [seq, message] : w.target.streams["TARGET"].messages) {
    if (find_provenance(message.headers, kCopyMark)) to.push_back(message.payload);
  }
  EXPECT_EQ(to, from);
}

/// The source stream is deleted and made again, and holds other messages.
void make_source_anew(CopyWorld& w, size_t messages) {
  FakeStream fresh;
  fresh.created = w.source.streams["SOURCE"].created + 1;
  w.source.streams["SOURCE"] = fresh;
  w.fill(messages);
}

TEST(FoundBySites, WhatTheTargetLostWithItsPowerIsWrittenAgain) {
  CopyWorld w(1);
  w.fill(30);
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  w.sim.advance(3s);
  w.fill(5);
  w.target.faults.lose_ack = 100;  // five are on their way, and none is acknowledged
  w.sim.run_until([&] { return w.target.streams["TARGET"].last_seq == 35; }, 5s);
  w.target.faults.lose_ack = 0;
  w.target.lose_newest("TARGET", 5);
  ASSERT_TRUE(w.run_until_passed());
  expect_each_once(w);
  EXPECT_EQ(w.ledger(), (Ledger{.read = 35, .copied = 35}));
}

TEST(FoundBySites, AnotherWriterTakesAPlaceInTheLine) {
  CopyWorld w(2);
  w.fill(40);
  int published = 0;
  w.target.before_publish = [&] {
    if (++published == 12) w.target.store("TARGET", "s.x", "", "not ours");
  };
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  expect_each_once(w);
  EXPECT_EQ(w.ledger(), (Ledger{.read = 40, .copied = 40}));
}

TEST(FoundBySites, AnotherWriterTakesAPlaceAmongMessagesWithoutIds) {
  auto options = copy_options();
  options.message_ids = false;
  CopyWorld w(3, options);
  w.fill(40);
  int published = 0;
  w.target.before_publish = [&] {
    if (++published == 12) w.target.store("TARGET", "s.x", "", "not ours");
  };
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  expect_each_once(w);
}

TEST(FoundBySites, TheSourceIsMadeAnewBetweenTwoQuestions) {
  CopyWorld w(4);
  w.fill(20);
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  w.sim.advance(3s);
  w.kill();
  bool once = false;
  w.source.before_consumer = [&] {
    if (!std::exchange(once, true)) make_source_anew(w, 30);
  };
  w.start();
  ASSERT_TRUE(w.sim.run_until([&] { return w.ledger().copied == 50; }, 60s));
  EXPECT_EQ(w.target.streams["TARGET"].messages.size(), 50u);
  EXPECT_EQ(w.position().origin_created, 2);
}

TEST(FoundBySites, AStreamMadeAnewHasIdsOfItsOwnOnASharedTarget) {
  auto options = copy_options();
  options.target_writers = TargetWriters::kShared;
  CopyWorld w(5, options);
  w.fill(20);
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  w.kill();
  make_source_anew(w, 20);
  w.start();
  ASSERT_TRUE(w.sim.run_until([&] { return w.ledger().copied == 40; }, 60s));
  EXPECT_EQ(w.target.streams["TARGET"].messages.size(), 40u);
}

TEST(FoundBySites, AStartBeyondTheEndIsWaitedForAndNoGap) {
  auto options = copy_options();
  options.start_sequence = 18;
  options.on_gap = OnGap::kStop;
  CopyWorld w(6, options);
  w.fill(11);
  w.start();
  w.sim.advance(3s);
  w.kill();
  w.start();
  w.sim.advance(3s);
  w.fill(9);
  ASSERT_TRUE(w.run_until_passed());
  EXPECT_EQ(w.copy->figures().gaps, 0u);
  EXPECT_EQ(w.target.streams["TARGET"].messages.size(), 3u);
}

TEST(FoundBySites, APersonWhoResetsKeepsTheCountOfWhatTheFileDidNotKnow) {
  CopyWorld w(7);
  w.fill(30);
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  w.kill();  // the file is older than the copies
  make_source_anew(w, 10);
  w.options.on_gap = OnGap::kStop;
  w.start();
  w.sim.advance(2s);
  ASSERT_EQ(w.copy->figures().state, CopyState::kBlocked);
  w.copy->reset(std::nullopt);
  ASSERT_TRUE(w.run_until_passed());
  EXPECT_EQ(w.ledger(), (Ledger{.read = 40, .copied = 40}));
}

// What was taken and is gone is told by the ids of some: an id that the target knows, behind a message without one that was written
// again, must not shift the places of what is on its way.
TEST(FoundBySites, AnIdThatTheTargetKnowsBehindMessagesWithoutIds) {
  for (const size_t with_id : {8, 9, 10, 11}) {
    SCOPED_TRACE(with_id);
    auto options = copy_options();
    options.message_ids = false;
    options.target_writers = TargetWriters::kExclusive;
    CopyWorld w(9 + with_id, options);
    const auto put = [&](size_t from, size_t to) {
      for (size_t n = from; n <= to; ++n)
        w.source.store("SOURCE", "s.a", n == with_id ? "NATS/1.0\r\nNats-Msg-Id: known\r\n\r\n" : "", std::to_string(n) + std::string(1200, ' '),
                       w.sim.clock().wall());  // large: the window is one of bytes, and opens with each answer
    };
    put(1, 7);
    w.start();
    ASSERT_TRUE(w.run_until_passed());
    w.sim.advance(3s);
    put(8, 11);
    ASSERT_TRUE(w.run_until_passed());
    w.kill();  // the file says 7
    w.target.streams["TARGET"].messages.clear();
    put(12, 100);
    w.start();
    ASSERT_TRUE(w.run_until_passed());
    std::vector<std::string> to;
    for (auto& [seq, message] : w.target.streams["TARGET"].messages) {
      if (std::stoul(message.payload) > 11) to.push_back(message.payload);
    }
    ASSERT_EQ(to.size(), 89u);
    for (size_t n = 12; n <= 100; ++n) EXPECT_EQ(std::stoul(to[n - 12]), n);
  }
}

TEST(FoundBySites, AStandbyWithoutAFileSeesThatOthersWriteThere) {
  CopyWorld w(8);
  w.fill(10);
  w.target.store("TARGET", "s.x", "", "not ours");
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  w.kill();
  w.sim.disk().load({});  // another machine
  w.fill(10);
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  expect_each_once(w);
  EXPECT_TRUE(w.position().shared);
  EXPECT_EQ(w.ledger(), (Ledger{.read = 20, .copied = 20}));
}

TEST(FoundBySites, WhatWasCopiedUnheardAndThenRemovedCountsAsCopied) {
  auto options = copy_options();
  options.target_writers = TargetWriters::kShared;
  CopyWorld w(9, options);
  w.fill(30);
  w.target.faults.lose_ack = 100;
  w.start();
  w.sim.run_until([&] { return w.target.streams["TARGET"].last_seq >= 5; }, 5s);
  w.kill();
  const uint64_t taken = w.target.streams["TARGET"].last_seq;
  w.target.faults.lose_ack = 0;
  w.source.streams["SOURCE"].messages.erase(2);
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  ASSERT_GE(taken, 2u);
  EXPECT_EQ(w.ledger(), (Ledger{.read = 30, .copied = 30}));
}

}  // namespace
}  // namespace sluice
