#include "client/stream_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/api_json.h"
#include "fake_bus.h"
#include "sim/sim_env.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

/// A bus link whose connection can be broken.
class BreakableLink final : public NatsLink {
 public:
  BreakableLink(Env& env, Bus& bus) : inner_(make_bus_link(env, bus)) {}
  void set_state(LinkState state) {
    state_ = state;
    const auto listeners = listeners_;
    for (const auto& listener : listeners) (*listener)(state);
  }
  LinkState state() const override { return state_; }
  Ticket on_state(std::move_only_function<void(LinkState)> listener) override {
    auto held = std::make_shared<std::move_only_function<void(LinkState)>>(std::move(listener));
    listeners_.push_back(held);
    return Ticket([this, held] { std::erase(listeners_, held); });
  }
  Status publish(const LinkMessage& message) override {
    if (state_ != LinkState::kConnected) return fail(Errc::kClosed, "broken");
    return inner_->publish(message);
  }
  Ticket request(const LinkMessage& message, std::chrono::nanoseconds timeout,
                 std::move_only_function<void(Result<LinkMessage>)> done) override {
    return inner_->request(message, timeout, std::move(done));
  }
  std::unique_ptr<LinkSubscription> subscribe(
      std::string_view subject, std::string_view queue,
      std::move_only_function<void(const LinkMessage&)> handler) override {
    return inner_->subscribe(subject, queue, std::move(handler));
  }
  std::string new_inbox() override { return inner_->new_inbox(); }
  std::string peer() const override { return inner_->peer(); }
  uint64_t dropped() const override { return inner_->dropped(); }

 private:
  std::unique_ptr<NatsLink> inner_;
  LinkState state_ = LinkState::kConnected;
  std::vector<std::shared_ptr<std::move_only_function<void(LinkState)>>> listeners_;
};

class StreamClientTest : public testing::Test {
 protected:
  /// Plays one API subject: remembers subject and body, answers `json`.
  void answer(const std::string& subject, const std::string& json) {
    served_.push_back(bus_.subscribe(subject, "", [this, json](const Message& m, const Origin&) {
      asked_subject_ = m.subject;
      asked_body_ = m.payload;
      ++asked_;
      if (!json.empty()) bus_.publish({m.reply, "", "", json});
    }));
  }

  sim::SimEnv sim_{1};
  FakeBus bus_;
  BreakableLink link_{sim_.env(), bus_};
  std::unique_ptr<StreamClient> client_ = StreamClient::make(sim_.env(), link_);
  std::vector<std::unique_ptr<BusSubscription>> served_;
  std::string asked_subject_, asked_body_;
  int asked_ = 0;
};

TEST_F(StreamClientTest, PipelinesPublishesAndTellsEachItsAck) {
  uint64_t seq = 0;
  std::vector<std::string> replies;
  served_.push_back(bus_.subscribe("s.*", "", [&](const Message& m, const Origin&) {
    ++seq;
    replies.push_back("{\"stream\":\"S\",\"seq\":" + std::to_string(seq) +
                      (seq == 2 ? ",\"duplicate\": true}" : "}"));
    const std::string reply(m.reply);
    sim_.env().executor.post(
        [this, reply, text = replies.back()] { bus_.publish({reply, "", "", text}); });
  }));
  std::vector<uint64_t> acked;
  std::vector<bool> duplicate;
  for (int i = 0; i < 100; ++i)
    client_
        ->publish({"s.1", "", "", "x"}, 5s,
                  [&](Result<PubAck> ack) {
                    ASSERT_TRUE(ack);
                    EXPECT_EQ(ack->stream, "S");
                    acked.push_back(ack->seq.value());
                    duplicate.push_back(ack->duplicate);
                  })
        .release();
  EXPECT_EQ(replies.size(), 100U);
  EXPECT_TRUE(acked.empty());
  sim_.run_until_idle();
  ASSERT_EQ(acked.size(), 100U);
  for (size_t i = 0; i < 100; ++i) EXPECT_EQ(acked[i], i + 1);
  EXPECT_TRUE(duplicate[1]);
  EXPECT_FALSE(duplicate[2]);
}

TEST_F(StreamClientTest, PublishFailuresKeepTheirKind) {
  answer(
      "refused",
      R"({"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 7"},"stream":"S","seq":0})");
  answer("mute", "");
  answer("odd", "no json");
  std::map<std::string, Error> errors;
  for (const std::string subject : {"refused", "mute", "odd", "nobody"})
    client_
        ->publish({subject, "", "", "x"}, 2s,
                  [&errors, subject](Result<PubAck> ack) { errors[subject] = ack.error(); })
        .release();
  sim_.advance(3s);
  EXPECT_EQ(errors["refused"].code, Errc::kRefused);
  EXPECT_EQ(errors["refused"].api_code, 10071);
  EXPECT_EQ(errors["refused"].detail, "wrong last sequence: 7");
  EXPECT_EQ(errors["mute"].code, Errc::kTimeout);
  EXPECT_EQ(errors["odd"].code, Errc::kCorrupt);
  EXPECT_EQ(errors["nobody"].code, Errc::kNoResponders);
}

TEST_F(StreamClientTest, BrokenConnectionFailsOpenPublishesInOrderAtOnce) {
  answer("mute", "");
  std::vector<int> failed;
  for (int i = 0; i < 5; ++i)
    client_
        ->publish({"mute", "", "", "x"}, 5s,
                  [&, i](Result<PubAck> ack) {
                    EXPECT_EQ(ack.error().code, Errc::kClosed);
                    failed.push_back(i);
                  })
        .release();
  auto cancelled = client_->publish({"mute", "", "", "x"}, 5s, [](Result<PubAck>) { FAIL(); });
  cancelled.cancel();
  link_.set_state(LinkState::kReconnecting);
  EXPECT_EQ(failed, (std::vector<int>{0, 1, 2, 3, 4}));
  bool late = false;
  client_
      ->publish({"mute", "", "", "x"}, 5s,
                [&](Result<PubAck> ack) {
                  EXPECT_EQ(ack.error().code, Errc::kClosed);
                  late = true;
                })
      .release();
  EXPECT_FALSE(late);
  sim_.run_until_idle();
  EXPECT_TRUE(late);
}

TEST_F(StreamClientTest, CreatesAStreamAndReadsItsFigures) {
  answer("$JS.API.STREAM.CREATE.S", R"({"type":"io.nats.jetstream.api.v1.stream_create_response",
    "config":{"name":"S"},"created":"2026-11-20T12:00:00.5Z",
    "state":{"messages":3,"bytes":120,"first_seq":5,"last_seq":7}})");
  StreamFigures figures;
  StreamSpec spec{.name = "S", .subjects = {"a.>"}};
  spec.max_age = 30s;
  client_->create_stream(spec, [&](Result<StreamFigures> r) { figures = *r; }).release();
  sim_.run_until_idle();
  EXPECT_THAT(asked_body_, HasSubstr(R"("subjects":["a.>"])"));
  EXPECT_THAT(asked_body_, HasSubstr(R"("max_age":30000000000)"));
  EXPECT_EQ(figures.messages, 3U);
  EXPECT_EQ(figures.first_seq, StreamSeq(5));
  EXPECT_EQ(figures.last_seq, StreamSeq(7));
  EXPECT_EQ(figures.created, parse_rfc3339("2026-11-20T12:00:00.5Z"));
}

TEST_F(StreamClientTest, ErrorsOfTheApiAreMapped) {
  answer("$JS.API.STREAM.INFO.GONE",
         R"({"error":{"code":404,"err_code":10059,"description":"stream not found"}})");
  answer("$JS.API.STREAM.CREATE.USED",
         R"({"error":{"code":400,"err_code":10058,"description":"stream name already in use"}})");
  Error gone{}, used{}, bad{}, nobody{};
  client_->stream_info("GONE", [&](auto r) { gone = r.error(); }).release();
  client_->create_stream({.name = "USED"}, [&](auto r) { used = r.error(); }).release();
  client_->stream_info("a.b", [&](auto r) { bad = r.error(); }).release();
  client_->stream_info("NOBODY", [&](auto r) { nobody = r.error(); }).release();
  EXPECT_TRUE(bad.detail.empty());
  sim_.run_until_idle();
  EXPECT_EQ(gone.code, Errc::kNotFound);
  EXPECT_EQ(gone.api_code, 10059);
  EXPECT_EQ(used.code, Errc::kExists);
  EXPECT_EQ(bad.code, Errc::kInvalidArgument);
  EXPECT_EQ(nobody.code, Errc::kNoResponders);
}

TEST_F(StreamClientTest, ReadsAStoredMessage) {
  answer("$JS.API.STREAM.MSG.GET.S", R"({"message":{"subject":"a.b","seq":9,
    "hdrs":"TkFUUy8xLjANCkE6IGINCg0K","data":"aGk=","time":"2026-11-20T12:00:00Z"}})");
  StoredCopy copy;
  client_->last_message("S", "a.*", [&](auto r) { copy = *r; }).release();
  sim_.run_until_idle();
  EXPECT_EQ(asked_body_, R"({"last_by_subj":"a.*"})");
  EXPECT_EQ(copy.seq, StreamSeq(9));
  EXPECT_EQ(copy.subject, "a.b");
  EXPECT_EQ(copy.headers, "NATS/1.0\r\nA: b\r\n\r\n");
  EXPECT_EQ(copy.payload, "hi");
}

TEST_F(StreamClientTest, MakesAndDeletesConsumers) {
  answer("$JS.API.CONSUMER.CREATE.S.D.a.>", R"({"stream_name":"S","name":"D","config":{}})");
  std::string name;
  ConsumerSpec spec{.stream = "S", .durable = "D", .filter_subject = "a.>"};
  spec.start_seq = StreamSeq(42);
  spec.ack_all = true;
  client_->create_consumer(spec, [&](auto r) { name = *r; }).release();
  sim_.run_until_idle();
  EXPECT_EQ(name, "D");
  for (const char* part : {R"("stream_name":"S")", R"("durable_name":"D")", R"("opt_start_seq":42)",
                           R"("deliver_policy":"by_start_sequence")", R"("ack_policy":"all")"})
    EXPECT_THAT(asked_body_, HasSubstr(part));
  answer("$JS.API.CONSUMER.DELETE.S.D", R"({"success":true})");
  Status deleted = fail(Errc::kIo, "");
  client_->delete_consumer("S", "D", [&](Status s) { deleted = s; }).release();
  sim_.run_until_idle();
  EXPECT_TRUE(deleted);
}

TEST(AckSubject, BothForms) {
  const auto v1 = parse_delivery_subject("$JS.ACK.S.C.2.10.11.1795000000000000001.5");
  ASSERT_TRUE(v1);
  EXPECT_EQ(v1->deliveries, 2U);
  EXPECT_EQ(v1->stream_seq, StreamSeq(10));
  EXPECT_EQ(v1->consumer_seq, ConsumerSeq(11));
  EXPECT_EQ(v1->time, 1795000000000000001);
  EXPECT_EQ(v1->pending, 5U);
  const auto v2 = parse_delivery_subject("$JS.ACK._.ACC.S.C.1.3.4.5.6.random");
  ASSERT_TRUE(v2);
  EXPECT_EQ(v2->stream_seq, StreamSeq(3));
  EXPECT_FALSE(parse_delivery_subject("$JS.ACK.S.C.2.10.11.x.5"));
  EXPECT_FALSE(parse_delivery_subject("$JS.ACK.S.C.2.10"));
  EXPECT_FALSE(parse_delivery_subject(""));
}

/// Plays a pull consumer: keeps the requests, delivers on demand.
class PullTest : public StreamClientTest {
 protected:
  struct Request {
    std::string inbox, body;
  };
  void SetUp() override {
    served_.push_back(bus_.subscribe(
        "$JS.API.CONSUMER.MSG.NEXT.S.C", "", [this](const Message& m, const Origin&) {
          requests_.push_back({std::string(m.reply), std::string(m.payload)});
        }));
  }
  void start(PullWindow window) {
    pull_ = client_->pull(
        "S", "C", window,
        [this](const ConsumedMessage& m) {
          got_.push_back(m.stream_seq.value());
          last_ack_ = m.ack_subject;
        },
        [this](const Error& e) { trouble_.push_back(e); });
    sim_.run_until_idle();
  }
  void deliver(size_t request, uint64_t seq) {
    const std::string ack =
        "$JS.ACK.S.C.1." + std::to_string(seq) + "." + std::to_string(seq) + ".1.0";
    bus_.deliver(requests_[request].inbox, "", {"a", ack, "", "x"});
    sim_.run_until_idle();
  }
  void status(size_t request, const std::string& line) {
    bus_.publish({requests_[request].inbox, "", "NATS/1.0 " + line + "\r\n\r\n", ""});
    sim_.run_until_idle();
  }

  std::vector<Request> requests_;
  std::vector<uint64_t> got_;
  std::vector<Error> trouble_;
  std::string last_ack_;
  std::unique_ptr<PullSubscription> pull_;
};

TEST_F(PullTest, RefillsWhenHalfTheWindowIsUsed) {
  start(10);
  ASSERT_EQ(requests_.size(), 1U);
  EXPECT_EQ(requests_[0].body, R"({"expires":30000000000,"batch":10,"idle_heartbeat":5000000000})");
  for (uint64_t seq = 1; seq <= 4; ++seq) deliver(0, seq);
  EXPECT_EQ(requests_.size(), 1U);
  deliver(0, 5);
  ASSERT_EQ(requests_.size(), 2U);
  EXPECT_THAT(requests_[1].body, HasSubstr(R"("batch":5,)"));
  EXPECT_NE(requests_[0].inbox, requests_[1].inbox);
  EXPECT_EQ(got_, (std::vector<uint64_t>{1, 2, 3, 4, 5}));
}

TEST_F(PullTest, ExpiredRequestIsReplacedByWhatItLeftOver) {
  start(10);
  status(0, "408 Request Timeout\r\nNats-Pending-Messages: 10\r\nNats-Pending-Bytes: 0");
  ASSERT_EQ(requests_.size(), 2U);
  EXPECT_THAT(requests_[1].body, HasSubstr(R"("batch":10,)"));
  status(0, "404 No Messages");
  EXPECT_EQ(requests_.size(), 3U);
}

TEST_F(PullTest, AWindowOfBytesIsTwoRequests) {
  start({10, 4000});
  ASSERT_EQ(requests_.size(), 2U);
  EXPECT_EQ(requests_[0].body, R"({"expires":30000000000,"batch":5,"idle_heartbeat":5000000000,"max_bytes":2000})");
  EXPECT_EQ(requests_[1].body, requests_[0].body);
  deliver(0, 1);
  EXPECT_EQ(requests_.size(), 2U);
  // Closed as full, by large messages: the second one is open, a third is asked for.
  status(0, "409 Message Size Exceeds MaxBytes\r\nNats-Pending-Messages: 4\r\nNats-Pending-Bytes: 1960");
  ASSERT_EQ(requests_.size(), 3U);
  EXPECT_EQ(requests_[2].body, requests_[0].body);
  for (uint64_t seq = 2; seq <= 5; ++seq) deliver(1, seq);
  EXPECT_EQ(requests_.size(), 3U);
  deliver(1, 6);
  EXPECT_EQ(requests_.size(), 4U);
  EXPECT_TRUE(trouble_.empty());
}

TEST_F(PullTest, AMessageLargerThanTheWindowIsAskedForAlone) {
  start({10, 4000});
  for (size_t request : {0, 1})
    status(request, "409 Message Size Exceeds MaxBytes\r\nNats-Pending-Messages: 5\r\nNats-Pending-Bytes: 2000");
  ASSERT_GE(requests_.size(), 4U);
  EXPECT_EQ(requests_[2].body, R"({"expires":30000000000,"batch":1,"idle_heartbeat":5000000000})");
  deliver(2, 1);
  EXPECT_EQ(got_, std::vector<uint64_t>{1});
  EXPECT_LT(requests_.size(), 8U) << "it does not ask for ever";
}

TEST_F(PullTest, PausedAsksForNothingMore) {
  start(4);
  pull_->pause();
  for (uint64_t seq = 1; seq <= 4; ++seq) deliver(0, seq);
  EXPECT_EQ(requests_.size(), 1U);
  EXPECT_EQ(got_.size(), 4U);
  sim_.advance(60s);
  EXPECT_TRUE(trouble_.empty());
  pull_->resume();
  EXPECT_EQ(requests_.size(), 2U);
}

TEST_F(PullTest, HeartbeatsKeepItAliveAndTwoSilencesEndIt) {
  start(10);
  for (int i = 0; i < 10; ++i) {
    sim_.advance(4s);
    status(0, "100 Idle Heartbeat");
  }
  EXPECT_EQ(requests_.size(), 1U);
  sim_.advance(16s);
  EXPECT_EQ(requests_.size(), 2U);  // first silence: asked again
  EXPECT_TRUE(trouble_.empty());
  sim_.advance(16s);
  ASSERT_EQ(trouble_.size(), 1U);
  EXPECT_EQ(trouble_[0].code, Errc::kTimeout);
  sim_.advance(60s);
  EXPECT_EQ(requests_.size(), 2U);
  EXPECT_EQ(trouble_.size(), 1U);
}

TEST_F(PullTest, ReconnectAsksAgainAndIgnoresOldStatuses) {
  start(10);
  link_.set_state(LinkState::kReconnecting);
  sim_.advance(60s);
  EXPECT_TRUE(trouble_.empty());
  EXPECT_EQ(requests_.size(), 1U);
  link_.set_state(LinkState::kConnected);
  sim_.run_until_idle();
  EXPECT_EQ(requests_.size(), 2U);
  status(0, "408 Request Timeout\r\nNats-Pending-Messages: 10");
  EXPECT_EQ(requests_.size(), 2U);
}

TEST_F(PullTest, StatusesThatPassAreRetriedOthersAreTrouble) {
  start(10);
  status(0, "409 Leadership Change");
  EXPECT_EQ(requests_.size(), 1U);
  sim_.advance(300ms);
  EXPECT_EQ(requests_.size(), 2U);
  status(1, "409 Exceeded MaxWaiting");
  sim_.advance(300ms);
  EXPECT_EQ(requests_.size(), 3U);
  status(2, "409 Consumer Deleted");
  ASSERT_EQ(trouble_.size(), 1U);
  EXPECT_EQ(trouble_[0].code, Errc::kNotFound);
}

TEST_F(PullTest, NobodyThereIsTroubleAfterSomeTries) {
  served_.clear();
  start(10);
  EXPECT_TRUE(trouble_.empty());
  sim_.advance(5s);
  ASSERT_EQ(trouble_.size(), 1U);
  EXPECT_EQ(trouble_[0].code, Errc::kNoResponders);
}

TEST_F(PullTest, AcksWithAndWithoutWaiting) {
  start(10);
  deliver(0, 7);
  std::vector<std::string> acks;
  auto server = bus_.subscribe("$JS.ACK.>", "", [&](const Message& m, const Origin&) {
    acks.push_back(std::string(m.subject) + " " + std::string(m.payload));
    if (!m.reply.empty()) bus_.publish({m.reply, "", "", ""});
  });
  client_->ack(last_ack_);
  Status done = fail(Errc::kIo, "");
  client_->ack_sync(last_ack_, [&](Status s) { done = s; }).release();
  sim_.run_until_idle();
  EXPECT_EQ(acks, (std::vector<std::string>(2, "$JS.ACK.S.C.1.7.7.1.0 +ACK")));
  EXPECT_TRUE(done);
}

}  // namespace
}  // namespace sluice
