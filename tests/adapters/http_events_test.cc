// An event source in the simulated world: who is let in, what is answered, and when.
#include "adapters/http_events/adapter.h"

#include <gtest/gtest.h>

#include "base/base64.h"
#include "crypto/hmac.h"
#include "fake_stream_client.h"
#include "pipelining_client.h"
#include "sim/sim_env.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using Mode = FakeStreamClient::Mode;

const std::string kEvent = "ce-specversion: 1.0\r\nce-type: com.example.made\r\nce-source: /s\r\nce-id: 7\r\n";
const std::string kBatchType = "Content-Type: application/cloudevents-batch+json\r\n";

std::string json_event(int id) {
  return R"({"specversion":"1.0","type":"t","source":"/s","id":")" + std::to_string(id) + R"(","data":)" +
         std::to_string(id) + "}";
}

class HttpEventsTest : public testing::Test {
 protected:
  HttpEventsTest() {
    options_.host = "local";
    options_.name = "shop";
  }
  ~HttpEventsTest() override {
    peers_.clear();
    adapter_.reset();
    sim_.run_until_idle();
  }

  void start() {
    auto made = make_http_events(sim_.env(), target_, options_);
    ASSERT_TRUE(made) << made.error().detail;
    adapter_ = *std::move(made);
    Status started = fail(Errc::kIo, "not told");
    adapter_->start([&](Status s) { started = std::move(s); });
    sim_.run_until_idle();
    ASSERT_TRUE(started) << started.error().detail;
  }
  sim::SimPeer& connect() {
    peers_.push_back(std::make_unique<sim::SimPeer>(sim_.network(), "local", options_.port));
    sim_.run_until_idle();
    return *peers_.back();
  }
  std::string ask(const std::string& bytes) {
    sim::SimPeer& peer = connect();
    peer.send(bytes);
    sim_.run_until_idle();
    return peer.take_received();
  }
  static std::string post(const std::string& fields, const std::string& body, const std::string& path = "/") {
    return "POST " + path + " HTTP/1.1\r\nHost: h\r\n" + fields + "Content-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
  }
  /// Status and, for a fault, its reason.
  std::string outcome(const std::string& fields, const std::string& body, const std::string& path = "/") {
    const std::string answer = ask(post(fields, body, path));
    const size_t at = answer.find(R"("error":")");
    return answer.size() < 12 ? "none"
                              : answer.substr(9, 3) + (at == std::string::npos
                                                           ? ""
                                                           : " " + answer.substr(at + 9, answer.find('"', at + 9) - at - 9));
  }

  sim::SimEnv sim_{7};
  FakeBus bus_;
  FakeStreamClient target_{sim_.env(), bus_};
  HttpEventsOptions options_;
  std::unique_ptr<Adapter> adapter_;
  std::vector<std::unique_ptr<sim::SimPeer>> peers_;
};

TEST_F(HttpEventsTest, AnEventBecomesAMessageOfItsStream) {
  start();
  const std::string answer = ask(post(kEvent + "ce-subject: a%20b\r\nContent-Type: text/plain\r\n", "hello"));
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
  EXPECT_TRUE(answer.ends_with("{\"seq\":1,\"stream\":\"eventsource-shop-stream\"}\n")) << answer;
  ASSERT_EQ(target_.stored.size(), 1u);
  EXPECT_EQ(target_.stored[0].subject, "eventsource.shop.com.example.made");
  EXPECT_EQ(target_.stored[0].payload, "hello");
  const std::string& headers = target_.stored[0].headers;
  EXPECT_EQ(find_header(headers, "ce-subject"), "a%20b");
  EXPECT_EQ(find_header(headers, "ce-datacontenttype"), "text/plain");
  EXPECT_EQ(find_header(headers, "Nats-Msg-Id")->size(), 32u);
  EXPECT_TRUE(ask(post(kEvent, "again")).contains(R"("duplicate":true)"));
  EXPECT_EQ(target_.stored.size(), 1u);
}

TEST_F(HttpEventsTest, ItsStreamIsMadeAsConfigured) {
  options_.retention = EventRetention::kInterest;
  options_.memory = true;
  start();
  const StreamSpec& spec = target_.specs.at("eventsource-shop-stream");
  EXPECT_EQ(spec.subjects, (std::vector<std::string>{"eventsource.shop.>"}));
  EXPECT_EQ(spec.retention, StreamRetention::kInterest);
  EXPECT_TRUE(spec.memory);
  EXPECT_EQ(spec.max_age, 0s);
  EXPECT_EQ(spec.duplicate_window, 10min);
}

TEST_F(HttpEventsTest, RetentionByAgeAndBySize) {
  options_.retention = EventRetention::kAge;
  options_.max_age = 1min;
  start();
  EXPECT_EQ(target_.specs.at("eventsource-shop-stream").max_age, 1min);
  EXPECT_EQ(target_.specs.at("eventsource-shop-stream").max_bytes, -1);
  EXPECT_EQ(target_.specs.at("eventsource-shop-stream").duplicate_window, 1min) << "never longer than the age";
  adapter_.reset();
  options_.name = "sized";
  options_.port = 8081;
  options_.retention = EventRetention::kSize;
  options_.max_bytes = 12345;
  start();
  EXPECT_EQ(target_.specs.at("eventsource-sized-stream").max_age, 0s);
  EXPECT_EQ(target_.specs.at("eventsource-sized-stream").max_bytes, 12345);
}

TEST_F(HttpEventsTest, TheAnswerComesWhenTheEventIsDurable) {
  start();
  target_.mode = Mode::kHold;
  sim::SimPeer& peer = connect();
  peer.send(post(kEvent, "x"));
  sim_.advance(5s);
  EXPECT_EQ(peer.received(), "");
  target_.mode = Mode::kAck;
  target_.answer_later();
  sim_.run_until_idle();
  EXPECT_TRUE(peer.received().starts_with("HTTP/1.1 200"));
}

TEST_F(HttpEventsTest, ABatchIsAnsweredWhenAllOfItIsDurable) {
  options_.max_in_flight = 3;
  start();
  target_.mode = Mode::kHold;
  sim::SimPeer& peer = connect();
  std::string body = "[";
  for (int id = 1; id <= 8; ++id) body += (id == 1 ? "" : ",") + json_event(id);
  peer.send(post(kBatchType, body + "]"));
  sim_.run_until_idle();
  for (int round = 0; round < 2; ++round) {
    target_.mode = Mode::kAck;
    target_.answer_later();
    target_.mode = Mode::kHold;
    EXPECT_EQ(peer.received(), "");
  }
  target_.mode = Mode::kAck;
  target_.answer_later();
  sim_.run_until_idle();
  EXPECT_TRUE(peer.received().ends_with("{\"duplicates\":0,\"stored\":8,\"stream\":\"eventsource-shop-stream\"}\n"))
      << peer.received();
  EXPECT_EQ(target_.payloads(), (std::vector<std::string>{"1", "2", "3", "4", "5", "6", "7", "8"}));
  EXPECT_TRUE(ask(post(kBatchType, "[]")).starts_with("HTTP/1.1 200"));
}

TEST_F(HttpEventsTest, OneBadEventRefusesTheWholeBatch) {
  start();
  EXPECT_EQ(outcome(kBatchType, "[" + json_event(1) + R"(,{"id":"2"}])"), "400 missing_attribute");
  EXPECT_TRUE(target_.stored.empty());
  ASSERT_EQ(target_.dead.size(), 1u);
  EXPECT_EQ(find_header(target_.dead[0].headers, "Sluice-Detail"), "event 1: 'specversion' is missing");
}

TEST_F(HttpEventsTest, WhatIsNoEventIsToldWhyAndKept) {
  start();
  EXPECT_EQ(outcome("", "plain"), "400 missing_attribute");
  EXPECT_EQ(outcome(kEvent + "ce-subject: %C0%A0\r\n", "x"), "400 bad_utf8");
  EXPECT_EQ(outcome(kEvent + "ce-subject: %\r\n", "x"), "400 bad_encoding");
  EXPECT_EQ(outcome("Content-Type: application/cloudevents+json\r\n", "{"), "400 bad_json");
  EXPECT_EQ(target_.dead.size(), 4u);
  EXPECT_EQ(target_.dead[0].payload, "plain");
  EXPECT_EQ(find_header(target_.dead[0].headers, "Sluice-Origin"), "http:/");
  EXPECT_EQ(adapter_->figures().rejected.at("bad_utf8"), 1u);
}

TEST_F(HttpEventsTest, TurnedAwayAtTheDoor) {
  options_.max_event_bytes = 100;
  options_.max_batch_bytes = 200;
  start();
  EXPECT_EQ(outcome(kEvent, "x", "/elsewhere"), "404 not_found");
  EXPECT_TRUE(ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").starts_with("HTTP/1.1 405"));
  EXPECT_EQ(outcome(kEvent, std::string(101, 'x')), "413 too_large");
  EXPECT_EQ(outcome(kBatchType, std::string(150, ' ')), "400 bad_json") << "a batch may be larger";
  EXPECT_TRUE(ask("POST / HTTP/1.1\r\nHost: h\r\n" + kEvent + "Transfer-Encoding: chunked\r\n\r\n65\r\n" +
                  std::string(101, 'x') + "\r\n0\r\n\r\n")
                  .starts_with("HTTP/1.1 413"));
  EXPECT_EQ(outcome("Content-Type: application/cloudevents+avro\r\n", "x"), "415 bad_media_type");
  EXPECT_EQ(outcome(kEvent + "Content-Encoding: gzip\r\n", "x"), "415 bad_media_type");
  EXPECT_TRUE(target_.stored.empty());
  EXPECT_EQ(adapter_->figures().refused.at("too_large"), 2u);
}

TEST_F(HttpEventsTest, BearerAndBasic) {
  options_.authentication.token = "s3cret";
  options_.authentication.previous_token = "older";
  options_.authentication.user = "me";
  options_.authentication.password = "pw:1";
  start();
  const std::string refused = ask(post(kEvent, "x"));
  EXPECT_TRUE(refused.starts_with("HTTP/1.1 401"));
  EXPECT_TRUE(refused.contains("WWW-Authenticate: Bearer, Basic realm=\"events\"\r\n"));
  EXPECT_EQ(outcome(kEvent + "Authorization: Bearer wrong\r\n", "x"), "401 unauthorized");
  EXPECT_EQ(outcome(kEvent + "Authorization: Bearer\r\n", "x"), "401 unauthorized");
  EXPECT_EQ(outcome(kEvent + "Authorization: Basic !!\r\n", "x"), "401 unauthorized");
  EXPECT_EQ(outcome(kEvent + "Authorization: Basic " + base64_encode("me:pw") + "\r\n", "x"), "401 unauthorized");
  EXPECT_EQ(outcome("Authorization: Bearer no\r\n", ""), "401 unauthorized") << "without a body too";
  EXPECT_EQ(outcome(kEvent + "Authorization: bearer s3cret\r\n", "x"), "200");
  EXPECT_EQ(outcome(kEvent + "Authorization: Bearer older\r\n", "x"), "200");
  EXPECT_EQ(outcome(kEvent + "Authorization: Basic " + base64_encode("me:pw:1") + "\r\n", "x"), "200");
  EXPECT_TRUE(target_.dead.empty()) << "strangers leave nothing behind";
  EXPECT_EQ(adapter_->figures().refused.at("unauthorized"), 6u);
}

TEST_F(HttpEventsTest, SignedBodies) {
  options_.authentication.signature_secret = "It's a Secret to Everybody";
  start();
  // The example of the code forge whose header this is.
  const std::string good = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
  EXPECT_EQ(outcome(kEvent + "X-Hub-Signature-256: sha256=" + good + "\r\n", "Hello, World!"), "200");
  EXPECT_EQ(outcome(kEvent + "X-Hub-Signature-256: sha256=" + good + "\r\n", "Hello, World?"), "401 bad_signature");
  EXPECT_EQ(outcome(kEvent + "X-Hub-Signature-256: " + good + "\r\n", "Hello, World!"), "401 bad_signature");
  EXPECT_EQ(outcome(kEvent, "Hello, World!"), "401 bad_signature");
  EXPECT_EQ(outcome("X-Hub-Signature-256: sha256=00\r\n", "no event"), "401 bad_signature");
  EXPECT_TRUE(target_.dead.empty());
}

TEST_F(HttpEventsTest, SignaturesInBase64UnderAnotherName) {
  options_.authentication.signature_secret = "new";
  options_.authentication.previous_signature_secret = "old";
  options_.authentication.signature_header = "X-Sign";
  options_.authentication.signature_prefix = "";
  options_.authentication.signature_text = DigestText::kBase64;
  start();
  for (const char* secret : {"new", "old"}) {
    const Sha256 digest = hmac_sha256(secret, "x");
    const std::string text = base64_encode({reinterpret_cast<const char*>(digest.data()), digest.size()});
    EXPECT_EQ(outcome(kEvent + "x-sign: " + text + "\r\n", "x"), "200");
  }
}

TEST_F(HttpEventsTest, RateLimit) {
  options_.rate = 2;
  options_.burst = 3;
  start();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(outcome(kEvent, "x"), "200");
  const std::string refused = ask(post(kEvent, "x"));
  EXPECT_TRUE(refused.starts_with("HTTP/1.1 429")) << refused;
  EXPECT_TRUE(refused.contains("Retry-After: 1\r\n"));
  sim_.advance(500ms);
  EXPECT_EQ(outcome(kEvent, "x"), "200");
  EXPECT_EQ(outcome(kEvent, "x"), "429 rate_limited");
  EXPECT_EQ(adapter_->figures().refused.at("rate_limited"), 2u);
  sim_.advance(10s);
  EXPECT_EQ(outcome(kBatchType, "[" + json_event(1) + "," + json_event(2) + "," + json_event(3) + "," + json_event(4) +
                                    "," + json_event(5) + "]"),
            "200")
      << "a batch may run into debt";
  sim_.advance(1s);
  EXPECT_EQ(outcome(kEvent, "x"), "429 rate_limited") << "which is paid first";
  sim_.advance(1s);
  EXPECT_EQ(outcome(kEvent, "x"), "200");
}

TEST_F(HttpEventsTest, WebhookHandshake) {
  options_.allowed_origins = {"emitter.example.com"};
  options_.authentication.token = "t";
  options_.rate = 2;
  start();
  const auto handshake = [&](const std::string& fields) {
    return ask("OPTIONS / HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n");
  };
  const std::string granted =
      handshake("WebHook-Request-Origin: emitter.example.com\r\nWebHook-Request-Rate: 500\r\n");
  EXPECT_TRUE(granted.starts_with("HTTP/1.1 200"));
  EXPECT_TRUE(granted.contains("WebHook-Allowed-Origin: emitter.example.com\r\n"));
  EXPECT_TRUE(granted.contains("WebHook-Allowed-Rate: 120\r\n"));
  EXPECT_TRUE(granted.contains("Allow: POST, OPTIONS\r\n"));
  EXPECT_TRUE(handshake("WebHook-Request-Origin: emitter.example.com\r\nWebHook-Request-Rate: 60\r\n")
                  .contains("WebHook-Allowed-Rate: 60\r\n"));
  EXPECT_FALSE(handshake("WebHook-Request-Origin: evil.example.com\r\n").contains("WebHook-Allowed"));
  EXPECT_FALSE(handshake("").contains("WebHook-Allowed"));
  EXPECT_TRUE(handshake("WebHook-Request-Origin: emitter.example.com\r\nWebHook-Request-Rate: often\r\n")
                  .starts_with("HTTP/1.1 400"));
  EXPECT_EQ(outcome(kEvent + "Authorization: Bearer t\r\nWebHook-Request-Origin: evil.example.com\r\n", "x"),
            "403 bad_origin");
}

TEST_F(HttpEventsTest, AFullWindowHoldsBackThenTellsToComeLater) {
  options_.max_in_flight = 2;
  start();
  target_.mode = Mode::kHold;
  std::vector<sim::SimPeer*> peers;
  for (int i = 0; i < 4; ++i) {
    peers.push_back(&connect());
    peers.back()->send(post("ce-specversion: 1.0\r\nce-type: t\r\nce-source: /s\r\nce-id: " + std::to_string(i) + "\r\n",
                            std::to_string(i)));
    sim_.run_until_idle();
  }
  sim_.advance(999ms);
  EXPECT_EQ(peers[2]->received(), "");
  sim_.advance(2ms);
  EXPECT_TRUE(peers[2]->received().starts_with("HTTP/1.1 503")) << peers[2]->received();
  EXPECT_TRUE(peers[3]->received().contains("Retry-After: 1\r\n"));
  EXPECT_EQ(adapter_->figures().received, 2u);
  EXPECT_EQ(adapter_->figures().paused, 1u);
  target_.mode = Mode::kAck;
  target_.answer_later();
  sim_.run_until_idle();
  EXPECT_TRUE(peers[0]->received().starts_with("HTTP/1.1 200"));
  EXPECT_TRUE(peers[1]->received().starts_with("HTTP/1.1 200"));
  EXPECT_EQ(outcome(kEvent, "x"), "200") << "and goes on";
}

TEST_F(HttpEventsTest, AnEventThatTheStreamRefusesIsToldAndKept) {
  start();
  target_.mode = Mode::kTooLarge;
  EXPECT_EQ(outcome(kEvent, "x"), "413 refused");
  ASSERT_EQ(target_.dead.size(), 1u);
  EXPECT_EQ(find_header(target_.dead[0].headers, "Sluice-Reason"), "refused");
}

TEST_F(HttpEventsTest, WithoutAStreamSendersAreToldToComeLater) {
  start();
  target_.mode = Mode::kTimeOut;
  sim::SimPeer& peer = connect();
  peer.send(post(kEvent, "x"));
  sim_.advance(29s);
  EXPECT_EQ(peer.received(), "");
  EXPECT_EQ(adapter_->health(), AdapterHealth::kDegraded);
  sim_.advance(2s);
  EXPECT_TRUE(peer.received().starts_with("HTTP/1.1 503"));
  target_.mode = Mode::kAck;
  sim_.advance(20s);
  EXPECT_EQ(target_.stored.size(), 1u) << "what was taken is still stored";
  EXPECT_EQ(outcome(kEvent, "x"), "200");
  EXPECT_EQ(target_.stored.size(), 1u) << "and the second sending is the same event";
}

TEST_F(HttpEventsTest, AnAddressInUseIsReported) {
  start();
  options_.name = "other";
  auto second = make_http_events(sim_.env(), target_, options_);
  ASSERT_TRUE(second);
  Status started;
  (*second)->start([&](Status s) { started = std::move(s); });
  sim_.run_until_idle();
  EXPECT_FALSE(started);
  EXPECT_EQ((*second)->health(), AdapterHealth::kStopped);
}

TEST_F(HttpEventsTest, StopAnswersWhatIsInFlightAndLetsNobodyIn) {
  start();
  target_.mode = Mode::kHold;
  sim::SimPeer& taken = connect();
  taken.send(post(kEvent, "x"));
  sim::SimPeer& open = connect();
  int stopped = 0;
  adapter_->stop([&] { ++stopped; });
  open.send(post(kEvent, "y"));
  sim_.run_until_idle();
  EXPECT_TRUE(open.received().starts_with("HTTP/1.1 503"));
  EXPECT_EQ(stopped, 0);
  target_.mode = Mode::kAck;
  target_.answer_later();
  sim_.run_until_idle();
  EXPECT_TRUE(taken.received().starts_with("HTTP/1.1 200"));
  EXPECT_EQ(stopped, 1);
}

}  // namespace
}  // namespace sluice
