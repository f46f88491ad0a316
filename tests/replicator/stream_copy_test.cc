#include "replicator/stream_copy.h"

#include <gtest/gtest.h>

#include <random>

#include "base/headers.h"
#include "fake_site.h"
#include "replicator/provenance.h"
#include "sim/sim_env.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

StreamCopyOptions options() {
  StreamCopyOptions o;
  o.name = "reg";
  o.stream = "SOURCE";
  o.target_stream = "TARGET";
  o.window_messages = 50;
  return o;
}

struct World {
  explicit World(uint64_t seed) : sim(seed), source(sim.env()), target(sim.env()) {}

  void fill(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      size_t n = ++filled;
      source.store("SOURCE", "s." + std::to_string(n % 7), n % 3 == 0 ? "NATS/1.0\r\nn: " + std::to_string(n) + "\r\n\r\n" : "",
                   n % 11 == 0 ? "" : "payload " + std::to_string(n));
    }
  }
  void start() {
    copy = std::make_unique<StreamCopy>(sim.env(), options(), "edge", "/data/state", source, target);
    copy->start();
  }
  bool run_until_copied(std::chrono::nanoseconds most = 600s) {
    return sim.run_until([&] { return copy->figures().source_seq.value() == source.streams["SOURCE"].last_seq; }, most);
  }
  /// Target equals source: same messages, same order, nothing twice.
  void expect_equal() {
    auto& from = source.streams["SOURCE"].messages;
    auto& to = target.streams["TARGET"].messages;
    ASSERT_EQ(to.size(), from.size());
    auto it = from.begin();
    for (auto& [seq, message] : to) {
      ASSERT_EQ(message.subject, it->second.subject);
      ASSERT_EQ(message.payload, it->second.payload);
      auto mark = find_provenance(message.headers, "SOURCE", "reg");
      ASSERT_TRUE(mark);
      ASSERT_EQ(mark->seq, it->second.seq);
      ASSERT_EQ(find_header(message.headers, "n"), find_header(it->second.headers, "n"));
      ++it;
    }
  }

  sim::SimEnv sim;
  FakeSite source;
  FakeSite target;
  size_t filled = 0;
  std::unique_ptr<StreamCopy> copy;
};

TEST(StreamCopy, CopiesInOrderAndCreatesTheTarget) {
  World w(1);
  w.fill(500);
  w.start();
  ASSERT_TRUE(w.run_until_copied());
  w.expect_equal();
  EXPECT_EQ(w.copy->figures().copied, 500u);
  EXPECT_EQ(w.copy->figures().sessions, 1u);
  EXPECT_EQ(w.target.streams["TARGET"].subjects, w.source.streams["SOURCE"].subjects);
}

TEST(StreamCopy, GoesOnWhereTheTargetStandsWhenItsOwnMemoryIsGone) {
  World w(2);
  w.fill(100);
  w.start();
  ASSERT_TRUE(w.run_until_copied());
  w.sim.advance(3s);  // the position file is written
  w.copy.reset();
  ASSERT_TRUE(w.sim.disk().remove("/data/state/reg.position"));
  w.fill(100);
  w.start();
  ASSERT_TRUE(w.run_until_copied());
  w.expect_equal();
  EXPECT_EQ(w.copy->figures().copied, 100u);
}

TEST(StreamCopy, KnowsItsPlaceAfterTheTargetWasEmptied) {
  World w(3);
  w.fill(100);
  w.start();
  ASSERT_TRUE(w.run_until_copied());
  w.sim.advance(3s);  // the position file is written
  w.fill(20);
  ASSERT_TRUE(w.run_until_copied());
  w.copy.reset();     // killed: the file is 20 messages behind
  w.target.streams["TARGET"].messages.clear();
  w.fill(30);
  w.start();
  ASSERT_TRUE(w.run_until_copied());
  EXPECT_EQ(w.target.streams["TARGET"].messages.size(), 30u);
  EXPECT_EQ(w.target.streams["TARGET"].last_seq, 150u);
}

TEST(StreamCopy, StopsAtATargetWrittenByOthers) {
  World w(4);
  w.fill(10);
  w.target.store("TARGET", "s.x", "", "not ours");
  w.start();
  w.sim.advance(2s);
  EXPECT_EQ(w.copy->figures().state, CopyState::kBlocked);
  EXPECT_EQ(w.target.streams["TARGET"].messages.size(), 1u);
}

TEST(StreamCopy, StopsWhenTheSourceWasMadeAnew) {
  World w(5);
  w.fill(50);
  w.start();
  ASSERT_TRUE(w.run_until_copied());
  w.sim.advance(3s);
  w.copy.reset();
  w.source.streams["SOURCE"] = FakeStream{.created = 2, .messages = {}, .ids = {}};
  w.filled = 0;
  w.fill(60);
  w.start();
  w.sim.advance(2s);
  EXPECT_EQ(w.copy->figures().state, CopyState::kBlocked);
  EXPECT_EQ(w.target.streams["TARGET"].messages.size(), 50u);
}

TEST(StreamCopy, KeepsAMessageWhoseIdMeetsAnOlderOne) {
  World w(6);
  for (int i = 0; i < 40; ++i) {
    w.source.store("SOURCE", "s.a", "NATS/1.0\r\nNats-Msg-Id: same" + std::to_string(i % 20) + "\r\n\r\n", std::to_string(i));
  }
  w.start();
  ASSERT_TRUE(w.run_until_copied());
  w.expect_equal();
  EXPECT_EQ(w.copy->figures().renamed_ids, 20u);
}

TEST(StreamCopy, LosesAndDoublesNothingWhateverIsLostOnTheWay) {
  const uint64_t base = std::random_device{}();
  for (uint64_t seed = base; seed < base + 25; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World w(seed);
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
    ASSERT_TRUE(w.run_until_copied()) << w.copy->figures().last_error;
    w.expect_equal();
  }
}

}  // namespace
}  // namespace sluice
