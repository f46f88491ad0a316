// A queue as the target: what its consumers have taken is there no more, and comes to nobody twice.
#include <gtest/gtest.h>

#include "copy_world.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

struct QueueWorld : CopyWorld {
  explicit QueueWorld(uint64_t seed, StreamCopyOptions wanted = copy_options()) : CopyWorld(seed, std::move(wanted)) {
    queue().retention = StreamRetention::kWorkQueue;
  }
  FakeStream& queue() { return target.streams["TARGET"]; }
  /// Its consumers take what is there.
  void take() {
    for (auto& [seq, message] : queue().messages) taken.push_back(message.payload);
    queue().messages.clear();
  }
  void expect_each_taken_once() {
    take();
    std::vector<std::string> sent;
    for (auto& [seq, message] : source.streams["SOURCE"].messages) sent.push_back(message.payload);
    EXPECT_EQ(taken, sent);
  }
  std::vector<std::string> taken;
};

TEST(QueueTarget, WhatItLostWithItsPowerIsWrittenAgain) {
  QueueWorld w(1);
  w.fill(30);
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  w.take();
  w.fill(5);
  w.target.faults.lose_ack = 100;  // five are on their way, and none is acknowledged
  w.sim.run_until([&] { return w.queue().last_seq == 35; }, 5s);
  w.target.faults.lose_ack = 0;
  w.target.lose_newest("TARGET", 3);
  w.take();  // two were on its disk
  ASSERT_TRUE(w.run_until_passed());
  w.expect_each_taken_once();
  EXPECT_EQ(w.ledger(), (Ledger{.read = 35, .copied = 35}));
}

TEST(QueueTarget, WhatWasTakenFromItWhileTheCopierWasGoneIsNotWrittenAgain) {
  QueueWorld w(2);
  w.fill(30);
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  w.sim.advance(10s);  // the position is on disk
  w.fill(40);
  w.sim.run_until([&] { return w.queue().last_seq >= 55; }, 5s);
  w.kill();
  w.take();
  w.fill(10);
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  w.expect_each_taken_once();
  EXPECT_EQ(w.ledger(), (Ledger{.read = 80, .copied = 80}));
}

TEST(QueueTarget, WhoeverIsKilledAndWhateverIsLost) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    QueueWorld w(seed);
    w.source.faults = {.lose_delivery = 2, .fail_call = 5};
    w.target.faults = {.lose_ack = 2, .lose_publish = 2, .late_publish = 1, .fail_call = 5};
    w.fill(50);
    w.start();
    for (int part = 0; part < 20; ++part) {
      w.sim.advance(std::chrono::milliseconds(w.sim.random().below(3000)));
      w.fill(w.sim.random().below(20));
      if (w.sim.random().chance(60)) w.take();
      if (w.sim.random().chance(30)) {
        w.kill();
        w.start();
      }
    }
    ASSERT_TRUE(w.run_until_passed()) << w.copy->figures().last_error;
    w.expect_each_taken_once();
    EXPECT_EQ(w.ledger(), (Ledger{.read = w.filled, .copied = w.filled}));
  }
}

TEST(QueueTarget, RefusesWhatWouldForgetWhatItCopied) {
  auto options = copy_options();
  options.leader_election_name = "a";
  QueueWorld w(1, options);
  w.fill(3);
  w.start();
  ASSERT_TRUE(w.sim.run_until([&] { return w.copy->figures().state == CopyState::kBlocked; }, 30s));
  EXPECT_EQ(w.copy->figures().last_error,
            "target stream 'TARGET' is a queue, which gives its copies away and with them where the copy stands: one replicator only, no 'leader_election_name'");
  EXPECT_EQ(w.queue().last_seq, 0u);
}

}  // namespace
}  // namespace sluice
