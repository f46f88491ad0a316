// A spool's life from one seed: submissions, a bad other end, a bad clock, crashes at every operation of the disk.
// After it all: what was accepted is stored once, or in the quarantine; the order of a lane was never broken.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "spool_world.h"

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

/// What the submitters know.
struct Ledger {
  std::map<SpoolLane, std::vector<std::string>> submitted;  ///< in order, whatever the answer was
  std::set<std::string> accepted;
  uint64_t next = 0;
};

class Life {
 public:
  explicit Life(uint64_t seed) : world_(seed), seed_(seed) {
    world_.queue_options.max_quarantined = 1'000'000;
    world_.queue_options.max_quarantined_bytes = 1ULL << 40;
  }

  SpoolWorld& world() { return world_; }
  Ledger& ledger() { return ledger_; }

  /// Opens until it works; `strike_in` arms a crash during the opening itself.
  void open(uint64_t strike_in = 0) {
    if (strike_in != 0) world_.sim.disk().crash_after_ops(strike_in);
    while (!world_.open()) {
      ASSERT_FALSE(world_.sim.disk().powered()) << "seed " << seed_ << ": does not open";
      world_.crash(sim::Crash::kPower);
    }
    world_.start_sender();
  }

  void submit_some(size_t count) {
    auto& random = world_.sim.random();
    for (size_t i = 0; i < count; ++i) {
      const std::string id = "m" + std::to_string(ledger_.next++);
      Submission s = world_.fresh(id, static_cast<uint8_t>(random.below(kSpoolPriorities)), random.below(4) != 0);
      s.ttl = 31 * 24h;
      s.payload.resize(1 + random.below(3000), 'x');
      ledger_.submitted[{s.priority, s.reliable}].push_back(id);
      world_.queue->submit(std::move(s), false, [this, id](Result<SpoolQueue::Accepted> r) {
        if (r) ledger_.accepted.insert(id);
      });
    }
  }

  void bad_gateway() {
    world_.gateway.decide = [this](const LinkMessage&) {
      const uint64_t roll = world_.sim.random().below(100);
      return roll < 70 ? Answer::kAck : roll < 80 ? Answer::kLostAck : roll < 88 ? Answer::kLost : roll < 94 ? Answer::kNobody : Answer::kBusy;
    };
  }

  /// Everything is well again: the queue runs empty, and the books are compared.
  /// @return what is wrong; empty = nothing.
  std::string end() {
    world_.gateway.decide = [](const LinkMessage&) { return Answer::kAck; };
    world_.gateway.set_state(LinkState::kConnected);
    const std::string seed = "seed " + std::to_string(seed_) + ": ";
    if (!world_.sim.run_until([this] { return world_.waiting() == 0; }, 10min)) return seed + "does not drain";
    std::set<std::string> found;
    std::map<SpoolLane, std::vector<std::string>> stored;
    for (const auto& m : world_.gateway.stored) {
      const bool reliable = find_header(m.headers, "Choria-Reliable").has_value();
      const auto priority = static_cast<uint8_t>(std::stoi(std::string(*find_header(m.headers, "Choria-Priority"))));
      if (reliable) stored[{priority, reliable}].push_back(m.id);
      found.insert(m.id);
    }
    for (StreamSeq from;;) {
      const auto kept = world_.queue->next_quarantined(from);
      if (!kept) break;
      found.insert(kept->entry.submission.id);
      from = kept->place.seq.next();
    }
    for (const std::string& id : ledger_.accepted) {
      if (!found.contains(id)) return seed + "accepted and lost: " + id;
    }
    for (const auto& [lane, order] : stored) {
      const auto& submitted = ledger_.submitted[lane];
      auto at = submitted.begin();
      for (const std::string& id : order) {
        at = std::find(at, submitted.end(), id);
        if (at == submitted.end()) return seed + "out of order in priority " + std::to_string(lane.priority) + ": " + id;
        ++at;
      }
    }
    return "";
  }

 private:
  SpoolWorld world_;
  uint64_t seed_;
  Ledger ledger_;
};

/// One short life with a crash inside the n-th change of the disk; n beyond the life: no crash.
/// @return whether it struck.
bool life_with_strike(uint64_t n, sim::Crash kind, uint64_t seed) {
  Life life(seed);
  SpoolWorld& w = life.world();
  bool struck = false;
  w.sim.disk().crash_after_ops(n, kind);
  const auto survive = [&](bool opened) {
    if (opened && w.sim.disk().powered()) return;
    struck = true;
    w.crash(kind);
    life.open();
  };
  survive(w.open());
  if (w.sender == nullptr) w.start_sender();
  life.bad_gateway();
  for (int step = 0; step < 9 && !::testing::Test::HasFatalFailure(); ++step) {
    life.submit_some(4);
    w.sim.advance(700ms);
    survive(true);
    if (step == 3) w.gateway.set_state(LinkState::kReconnecting);
    if (step == 4) w.gateway.set_state(LinkState::kConnected);
  }
  w.sim.disk().crash_after_ops(0);
  EXPECT_EQ(life.end(), "") << "struck in change " << n;
  return struck;
}

TEST(SpoolCrash, PowerCutAtEveryChangeOfTheDisk) {
  uint64_t n = 1;
  while (life_with_strike(n, sim::Crash::kPower, 1000 + n)) {
    ASSERT_FALSE(HasFailure());
    ++n;
  }
  EXPECT_GT(n, 60u) << "the life is too short to prove anything";
  RecordProperty("changes", static_cast<int>(n));
}

TEST(SpoolCrash, KillAtEveryChangeOfTheDisk) {
  uint64_t n = 1;
  while (life_with_strike(n, sim::Crash::kKill, 5000 + n)) {
    ASSERT_FALSE(HasFailure());
    ++n;
  }
  EXPECT_GT(n, 60u);
}

TEST(SpoolCrash, LongLivesWithManyCrashes) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    Life life(seed);
    SpoolWorld& w = life.world();
    w.sim.disk_workers().set_latency(0ms, 20ms);
    w.gateway.round_trip = 5ms;
    life.open();
    life.bad_gateway();
    for (int step = 0; step < 12; ++step) {
      auto& random = w.sim.random();
      life.submit_some(random.below(20));
      w.sim.advance(std::chrono::milliseconds(random.below(3000)));
      const uint64_t roll = random.below(10);
      if (roll < 4) {
        w.crash(roll < 2 ? sim::Crash::kPower : sim::Crash::kKill);
        life.open(random.below(3) == 0 ? 1 + random.below(12) : 0);
        w.sim.disk().crash_after_ops(0);
        if (!w.sim.disk().powered()) {
          w.crash(sim::Crash::kPower);
          life.open();
        }
      } else if (roll < 6) {
        w.gateway.set_state(LinkState::kReconnecting);
      } else if (roll < 8) {
        w.gateway.set_state(LinkState::kConnected);
      } else {
        w.sim.clock().jump_wall(std::chrono::seconds(random.below(2'000'000)) - 1'000'000s);
      }
      ASSERT_FALSE(HasFatalFailure()) << "seed " << seed;
    }
    ASSERT_EQ(life.end(), "");
  }
}

TEST(SpoolCrash, TheCheckerSeesWhatALyingDiskLoses) {
  size_t noticed = 0;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Life life(seed);
    SpoolWorld& w = life.world();
    life.open();
    w.gateway.set_state(LinkState::kReconnecting);
    w.sim.disk().set_lying_sync(true);
    life.submit_some(10);
    w.sim.advance(1s);
    w.crash(sim::Crash::kPower);
    w.sim.disk().set_lying_sync(false);
    life.open();
    if (!life.end().empty()) ++noticed;
  }
  EXPECT_GT(noticed, 5u);
}

TEST(SpoolCrash, ThirtyDaysOfflineWithDailyPowerCuts) {
  Life life(30);
  SpoolWorld& w = life.world();
  life.open();
  w.gateway.set_state(LinkState::kReconnecting);
  for (int day = 0; day < 30; ++day) {
    for (int hour = 0; hour < 24; ++hour) {
      life.submit_some(2);
      w.sim.advance(1h);
    }
    w.crash(sim::Crash::kPower);
    life.open();
    ASSERT_FALSE(HasFatalFailure());
  }
  EXPECT_EQ(life.ledger().accepted.size(), 30u * 24 * 2);
  EXPECT_EQ(w.waiting(), 30u * 24 * 2) << "nothing expired, nothing was tried away";
  EXPECT_EQ(life.end(), "");
  EXPECT_EQ(w.gateway.stored.size(), 30u * 24 * 2) << "all of it, once";
}

TEST(SpoolCrash, ADiskThatFillsAndEmptiesLosesNothing) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    Life life(seed);
    SpoolWorld& w = life.world();
    w.queue_options.reserve_bytes = 512 * 1024;
    life.open();
    life.bad_gateway();
    for (int step = 0; step < 30; ++step) {
      w.sim.disk().set_capacity(step % 3 == 1 ? w.sim.disk().used_bytes() + w.sim.random().below(100'000) : 1ULL << 40);
      life.submit_some(60);
      w.sim.advance(1s);
      if (step % 7 == 6) {
        w.crash(sim::Crash::kPower);
        w.sim.disk().set_capacity(1ULL << 40);
        life.open();
      }
      ASSERT_FALSE(HasFatalFailure());
    }
    w.sim.disk().set_capacity(1ULL << 40);
    ASSERT_EQ(life.end(), "");
  }
}

}  // namespace
}  // namespace sluice::test
