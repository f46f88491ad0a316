#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "fake_site.h"
#include "replicator/source_reader.h"
#include "sim/sim_env.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

/// A queue whose consumer's state and deliveries the test writes itself.
class ScriptedQueue : public FakeSite {
 public:
  explicit ScriptedQueue(Env& env) : FakeSite(env), env_(env) { streams["S"].created = 7; }

  uint64_t ack_pending = 0, delivered_seq = 0, delivered = 0;
  std::vector<std::string> acked;

  void deliver(uint64_t seq) {
    ConsumedMessage message;
    message.subject = "s.x";
    const std::string ack = "ack." + std::to_string(seq);
    message.ack_subject = ack;
    message.stream_seq = StreamSeq(seq);
    message.consumer_seq = ConsumerSeq(++delivered);
    delivered_seq = std::max(delivered_seq, seq);
    handler_(message);
  }

  Ticket api(std::string_view verb, std::string_view target, std::string_view body,
             std::move_only_function<void(Result<std::string>)> done) override {
    if (verb != "CONSUMER.INFO") return FakeSite::api(verb, target, body, std::move(done));
    auto state = nlohmann::json{{"config", {{"ack_policy", "explicit"}}},
                                {"num_ack_pending", ack_pending},
                                {"delivered", {{"consumer_seq", delivered}, {"stream_seq", delivered_seq}}}};
    auto call = std::make_shared<std::move_only_function<void(Result<std::string>)>>(std::move(done));
    env_.executor.post([call, reply = state.dump()] {
      if (*call) (*call)(reply);
    });
    return Ticket([call] { *call = nullptr; });
  }
  std::unique_ptr<PullSubscription> pull(std::string_view, std::string_view, PullWindow,
                                         std::move_only_function<void(const ConsumedMessage&)> handler,
                                         std::move_only_function<void(const Error&)>) override {
    handler_ = std::move(handler);
    return std::make_unique<Open>();
  }
  void ack(std::string_view subject) override { acked.emplace_back(subject); }

 private:
  struct Open : PullSubscription {
    void pause() override {}
    void resume() override {}
  };
  Env& env_;
  std::move_only_function<void(const ConsumedMessage&)> handler_;
};

class QueueReaderTest : public ::testing::Test {
 protected:
  void begin() {
    reader_ = read_queue(sim_.env(), site_, {.stream = "S", .worker = "w", .created = 7},
                         {.on_message = [this](const ConsumedMessage& m) { told_.push_back(m.stream_seq.value()); },
                          .on_trouble = [this](const std::string& why) { trouble_ = why; }});
    reader_->start();
    sim_.run_until([] { return false; }, 1s);
  }
  using Seqs = std::vector<uint64_t>;

  sim::SimEnv sim_{1};
  ScriptedQueue site_{sim_.env()};
  std::unique_ptr<SourceReader> reader_;
  Seqs told_;
  std::string trouble_;
};

TEST_F(QueueReaderTest, TellsInTheStreamsOrderOnceAllThatWasOutIsHere) {
  site_.ack_pending = 2;
  site_.delivered_seq = 5;
  begin();
  for (const uint64_t seq : {6, 7, 4}) site_.deliver(seq);
  EXPECT_EQ(told_, Seqs{});
  site_.deliver(5);
  EXPECT_EQ(told_, (Seqs{4, 5, 6, 7}));
  reader_->settled(StreamSeq(5));
  EXPECT_EQ(site_.acked, (std::vector<std::string>{"ack.4", "ack.5"}));
}

TEST_F(QueueReaderTest, WaitsAsLongAsAllThatIsOutMayStillCome) {
  site_.ack_pending = 2;
  site_.delivered_seq = 5;
  begin();
  site_.deliver(6);
  site_.ack_pending = 4;  // 7 is on its way
  sim_.run_until([] { return false; }, 10s);
  EXPECT_EQ(told_, Seqs{});
  EXPECT_EQ(trouble_, "");
}

TEST_F(QueueReaderTest, LooksAgainWhenANewerOneThatItHoldsIsGone) {
  site_.ack_pending = 2;
  site_.delivered_seq = 5;
  begin();
  for (const uint64_t seq : {6, 7, 4}) site_.deliver(seq);
  site_.ack_pending = 3;  // 4, 5 and 7: somebody removed 6
  sim_.run_until([this] { return !trouble_.empty(); }, 10s);
  EXPECT_EQ(told_, Seqs{}) << "5 will still come";
  EXPECT_EQ(trouble_, "messages went from 'S' while they were waited for");
}

TEST_F(QueueReaderTest, LooksAgainWhenOneThatItWaitsForIsGone) {
  site_.ack_pending = 2;
  site_.delivered_seq = 5;
  begin();
  site_.deliver(5);
  site_.ack_pending = 1;
  sim_.run_until([this] { return !trouble_.empty(); }, 10s);
  ASSERT_NE(trouble_, "");
  reader_.reset();
  trouble_.clear();
  begin();
  site_.deliver(5);
  EXPECT_EQ(told_, Seqs{5});
  EXPECT_EQ(trouble_, "");
}

}  // namespace
}  // namespace sluice
