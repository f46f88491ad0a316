// Consumers on the real streams and the real store, over power cuts: what was confirmed as acknowledged
// never comes again, everything else comes at least once, and nothing is counted wrong.
#include <map>
#include <set>

#include "consumer/consumer.h"
#include "consumer/consumers.h"
#include "fake_bus.h"
#include "sim/sim_env.h"
#include "store/store.h"
#include "stream/streams.h"

#include <gtest/gtest.h>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

constexpr int kRuns = 40;

class Site {
 public:
  explicit Site(uint64_t seed) : sim_(seed), bus_(sim_.env().executor) {
    inbox_ = bus_.subscribe("_INBOX.>", {}, [this](const Message& m, const Origin&) { arrived(m); });
    work_queue_ = seed % 2 == 0;
    start();
    StreamConfig config;
    config.name = "S";
    config.subjects = {"a.>"};
    config.duplicate_window = 2min;
    if (work_queue_) config.retention = Retention::kWorkQueue;
    EXPECT_TRUE(streams_->create(config));
    ConsumerConfig consumer;
    consumer.durable_name = "C";
    consumer.ack_policy = AckPolicy::kExplicit;
    consumer.ack_wait = 500ms;
    EXPECT_TRUE(consumers_->put(*streams_->find("S"), consumer, ConsumerAction::kCreateOrUpdate, false));
    sim_.settle();
  }
  ~Site() { stop(); }

  void run() {
    for (int life = 0; life < 4; ++life) {
      for (uint64_t i = 5 + sim_.random().below(30); i > 0; --i) step();
      crash();
    }
    drain();
  }

 private:
  static StoreOptions options() {
    StoreOptions o;
    o.dir = "/js";
    o.journal_file_bytes = 256 * kKiB;
    o.segment_max_bytes = 256 * kKiB;
    return o;
  }
  void start() {
    auto store = Store::open(sim_.env(), options());
    ASSERT_TRUE(store) << store.error().detail;
    store_ = std::move(*store);
    streams_ = Streams::make(sim_.env(), bus_, store_.get(), {});
    consumers_ = Consumers::make(sim_.env(), bus_, *streams_, store_.get(), {});
  }
  void stop() {
    consumers_.reset();
    streams_.reset();
    store_.reset();
    sim_.drop_tasks();
  }
  void crash() {
    sim_.power_cut();
    stop();
    confirming_.clear();
    start();
  }
  void arrived(const Message& m) {
    if (m.subject.starts_with("_INBOX.pub.")) {
      stored_.insert(std::string(m.subject.substr(11)));
    } else if (m.subject.starts_with("_INBOX.ack.")) {
      const std::string what(m.subject.substr(11));
      if (confirming_.erase(what) > 0) done_.insert(what);
    } else if (!m.reply.empty()) {
      const std::string what(m.payload);
      EXPECT_FALSE(done_.contains(what)) << what << " was confirmed and came again";
      seen_.insert(what);
      open_.emplace_back(what, std::string(m.reply));
    }
  }
  void step() {
    switch (sim_.random().below(5)) {
      case 0:
      case 1: {
        const std::string what = std::to_string(++published_);
        bus_.publish(Message{"a.b", "_INBOX.pub." + what, {}, what});
        break;
      }
      case 2: bus_.publish(Message{"$JS.API.CONSUMER.MSG.NEXT.S.C", "_INBOX.get", {}, "3"}); break;
      case 3:
        if (!open_.empty()) {
          const auto [what, reply] = open_.back();
          open_.pop_back();
          confirming_.insert(what);
          bus_.publish(Message{reply, "_INBOX.ack." + what, {}, "+ACK"});
        }
        break;
      case 4: sim_.advance(std::chrono::milliseconds(sim_.random().below(300))); break;
      default: break;
    }
    if (sim_.random().below(3) != 0) sim_.run_round();
  }
  void drain() {
    for (int i = 0; i < 40; ++i) {
      bus_.publish(Message{"$JS.API.CONSUMER.MSG.NEXT.S.C", "_INBOX.get", {}, "100"});
      sim_.advance(600ms);
      sim_.settle();
      for (const auto& [what, reply] : std::exchange(open_, {})) {
        confirming_.insert(what);
        bus_.publish(Message{reply, "_INBOX.ack." + what, {}, "+ACK"});
      }
      sim_.settle();
    }
    for (const std::string& what : stored_) EXPECT_TRUE(seen_.contains(what)) << what << " never came";
    Consumer& consumer = *consumers_->find("S", "C");
    EXPECT_EQ(consumer.num_pending(), 0u);
    EXPECT_EQ(consumer.state().pending().size(), 0u);
    EXPECT_EQ(consumer.state().ack_floor().stream, streams_->find("S")->store().state().last_seq);
    if (work_queue_) {
      EXPECT_EQ(streams_->find("S")->store().state().messages, 0u);
    }
  }

  sim::SimEnv sim_;
  FakeBus bus_;
  bool work_queue_ = false;
  std::unique_ptr<BusSubscription> inbox_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Streams> streams_;
  std::unique_ptr<Consumers> consumers_;
  uint64_t published_ = 0;
  std::set<std::string> stored_, seen_, confirming_, done_;
  std::vector<std::pair<std::string, std::string>> open_;
};

TEST(PowerCut, NothingConfirmedComesAgainNothingStoredIsLost) {
  const char* wanted = std::getenv("SLUICE_SEED");
  const uint64_t first = wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 1;
  for (int i = 0; i < (wanted != nullptr ? 1 : kRuns); ++i) {
    const uint64_t seed = first + static_cast<uint64_t>(i);
    SCOPED_TRACE("SLUICE_SEED=" + std::to_string(seed));
    Site site(seed);
    site.run();
    ASSERT_FALSE(testing::Test::HasFailure());
  }
}

}  // namespace
}  // namespace sluice::test
