#include "spool/sender.h"

#include <gtest/gtest.h>

#include "spool_world.h"

namespace sluice::test {
namespace {

using namespace std::chrono_literals;
constexpr SpoolLane kOne{1, true};

std::vector<std::string> ids(const std::vector<FakeGateway::Stored>& messages) {
  std::vector<std::string> out;
  for (const auto& m : messages) out.push_back(m.id);
  return out;
}

class Sender : public ::testing::Test {
 protected:
  void start() {
    ASSERT_TRUE(w.open());
    w.start_sender();
    w.sim.run_until_idle();
  }
  void submit(const std::string& id, uint8_t priority = 1, bool reliable = true) {
    const auto answer = w.submit(w.fresh(id, priority, reliable));
    ASSERT_TRUE(answer && *answer);
  }
  SpoolWorld w{7};
};

TEST_F(Sender, ReliableOnesLeaveInOrderOneAtATime) {
  w.gateway.round_trip = 10ms;
  start();
  for (const char* id : {"a", "b", "c"}) submit(id);
  EXPECT_EQ(w.gateway.published.size(), 1u) << "the second waits for the first one's ack";
  w.sim.advance(100ms);
  EXPECT_EQ(ids(w.gateway.stored), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(w.waiting(), 0u);
  EXPECT_EQ(w.gateway.stored[0].subject, "mcollective.submission.in.demo.sensor");
  EXPECT_EQ(w.sender->figures().acked, 3u);
}

TEST_F(Sender, PlainOnesPassAReliableOneThatFails) {
  w.gateway.decide = [](const LinkMessage&) { return Answer::kNobody; };
  start();
  submit("r");
  submit("p", 1, false);
  submit("other", 2);
  w.sim.advance(1min);
  EXPECT_EQ(ids(w.gateway.stored), (std::vector<std::string>{"p"}));
  EXPECT_EQ(w.waiting(), 2u);
  EXPECT_EQ(w.sender->troubles().size(), 2u);
}

TEST_F(Sender, AFailingHeadBlocksWhatIsBehindIt) {
  int failures = 5;
  w.gateway.decide = [&](const LinkMessage& m) {
    const bool head = find_header(m.headers, "Nats-Msg-Id") == "a";
    return head && failures-- > 0 ? Answer::kRefused : Answer::kAck;
  };
  start();
  for (const char* id : {"a", "b", "c"}) submit(id);
  w.sim.advance(1min);
  EXPECT_EQ(ids(w.gateway.stored), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(find_header(w.gateway.stored[0].headers, "Choria-Tries"), "5");
  EXPECT_TRUE(w.sender->troubles().empty());
}

TEST_F(Sender, ALostAckIsNoDouble) {
  bool first = true;
  w.gateway.decide = [&](const LinkMessage&) { return std::exchange(first, false) ? Answer::kLostAck : Answer::kAck; };
  start();
  submit("a");
  submit("b");
  w.sim.advance(1min);
  EXPECT_EQ(ids(w.gateway.published), (std::vector<std::string>{"a", "a", "b"}));
  EXPECT_EQ(ids(w.gateway.stored), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(w.sender->figures().already_there, 1u);
}

TEST_F(Sender, RefusalsEndInTheQuarantineAndTheNextOneGoes) {
  w.gateway.decide = [](const LinkMessage& m) {
    return find_header(m.headers, "Nats-Msg-Id") == "bad" ? Answer::kRefused : Answer::kAck;
  };
  start();
  auto bad = w.fresh("bad");
  bad.max_tries = 3;
  ASSERT_TRUE(*w.submit(bad));
  submit("good");
  w.sim.advance(1min);
  EXPECT_EQ(ids(w.gateway.stored), (std::vector<std::string>{"good"}));
  const auto kept = w.queue->next_quarantined({});
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->entry.reason, "tries message size exceeds maximum allowed");
  EXPECT_EQ(kept->entry.submission.tries, 3u);
}

TEST_F(Sender, NothingIsCountedWhileTheOtherEndIsAway) {
  w.sender_options.ack_timeout = 2s;
  start();
  auto message = w.fresh("a");
  message.max_tries = 2;
  message.ttl = 30 * 24h;
  for (const auto& [answer, word] : {std::pair{Answer::kNobody, "nobody listens"}, {Answer::kBusy, "the stream is full"}}) {
    w.gateway.decide = [answer](const LinkMessage&) { return answer; };
    ASSERT_TRUE(*w.submit(message));
    w.sim.advance(10min);
    const auto head = w.queue->head(kOne);
    ASSERT_TRUE(head) << word;
    EXPECT_EQ(w.queue->tries_of(head->place), 0u) << word;
  }
  w.gateway.set_state(LinkState::kReconnecting);
  w.sim.advance(29 * 24h);
  EXPECT_TRUE(w.queue->head(kOne)) << "29 days without a connection";
  const size_t before = w.gateway.requests;
  w.sim.advance(1h);
  EXPECT_EQ(w.gateway.requests, before) << "nor is anything tried";
  w.gateway.decide = [](const LinkMessage&) { return Answer::kAck; };
  w.gateway.set_state(LinkState::kConnected);
  w.sim.run_until_idle();
  EXPECT_EQ(w.gateway.stored.size(), 1u) << "at once when the link is back";
}

TEST_F(Sender, NobodyThereCountsOnlyWhenSoConfigured) {
  w.sender_options.no_responders = NoResponders::kCount;
  w.gateway.decide = [](const LinkMessage&) { return Answer::kNobody; };
  start();
  auto message = w.fresh("a");
  message.max_tries = 4;
  ASSERT_TRUE(*w.submit(message));
  w.sim.advance(1min);
  ASSERT_TRUE(w.queue->next_quarantined({}));
  EXPECT_EQ(w.gateway.requests, 4u);
}

TEST_F(Sender, SilenceCountsOnlyWhenTheServerIsAlive) {
  w.gateway.decide = [](const LinkMessage&) { return Answer::kLost; };
  w.gateway.answers_probes = false;
  start();
  auto message = w.fresh("a");
  message.max_tries = 3;
  ASSERT_TRUE(*w.submit(message));
  w.sim.advance(10min);
  EXPECT_TRUE(w.queue->head(kOne)) << "the server itself is silent";
  EXPECT_EQ(w.queue->tries_of(w.queue->head(kOne)->place), 0u);
  w.gateway.answers_probes = true;  // a publish that is not permitted is answered by silence
  w.sim.advance(2min);
  ASSERT_TRUE(w.queue->next_quarantined({}));
  EXPECT_EQ(w.queue->next_quarantined({})->entry.reason, "tries no answer");
}

TEST_F(Sender, TooLargeForTheServerIsKeptAside) {
  w.gateway.max_payload = 100;
  start();
  for (bool reliable : {true, false}) {
    auto large = w.fresh(reliable ? "r" : "p", 1, reliable);
    large.payload.assign(200, 'x');
    ASSERT_TRUE(*w.submit(large));
  }
  submit("small");
  w.sim.advance(1s);
  EXPECT_EQ(ids(w.gateway.stored), (std::vector<std::string>{"small"}));
  EXPECT_EQ(w.queue->figures().quarantined.at("too_large"), 2u);
}

TEST_F(Sender, WithoutASeedSignedOnesWaitAndCountNothing) {
  w.sender_options.seed_file = "/keys/seed";
  w.sender_options.token_file = "/keys/token";
  ASSERT_TRUE(w.sim.disk().make_dirs("/keys"));
  start();
  auto message = w.fresh("a");
  message.sign = true;
  message.payload = R"({"cnt":7})";
  message.max_tries = 2;
  ASSERT_TRUE(*w.submit(message));
  message.id = "plain";
  message.reliable = false;
  ASSERT_TRUE(*w.submit(message));
  w.sim.advance(10min);
  EXPECT_TRUE(w.gateway.published.empty());
  EXPECT_EQ(w.waiting(), 2u);
  const auto write = [&](const std::string& path, std::string_view text) {
    auto file = w.sim.disk().open(path, OpenMode::kCreate);
    ASSERT_TRUE((*file)->write_at(0, std::as_bytes(std::span(text))));
  };
  write("/keys/seed", "d66d1a7e8fed20c4b9438442fcd30f588cec9b0db749a92d7eaa484b2aac99ff");
  write("/keys/token", "e30.e30.c2ln\n");
  w.sim.advance(10s);
  ASSERT_EQ(w.gateway.stored.size(), 2u);
  for (const auto& stored : w.gateway.stored) {
    EXPECT_EQ(find_header(stored.headers, "Choria-Signature")->substr(0, 8), "c54dd4a6");
    EXPECT_EQ(find_header(stored.headers, "Choria-Token"), "e30.e30.c2ln");
  }
}

TEST_F(Sender, AReconnectEndsABackOff) {
  w.gateway.decide = [](const LinkMessage&) { return Answer::kNobody; };
  start();
  submit("a");
  w.sim.advance(1min);
  w.gateway.set_state(LinkState::kReconnecting);
  w.gateway.decide = [](const LinkMessage&) { return Answer::kAck; };
  w.gateway.set_state(LinkState::kConnected);
  w.sim.run_until_idle();
  EXPECT_EQ(w.gateway.stored.size(), 1u);
}

TEST_F(Sender, AFullQueueDrains) {
  w.gateway.set_state(LinkState::kReconnecting);
  start();
  for (int i = 0; i < 2000; ++i) w.queue->submit(w.fresh("m" + std::to_string(i), static_cast<uint8_t>(i % 5), i % 2 == 0), false, [](auto) {});
  w.sim.run_until_idle();
  EXPECT_EQ(w.waiting(), 2000u);
  w.gateway.set_state(LinkState::kConnected);
  w.sim.run_until_idle();
  EXPECT_EQ(w.gateway.stored.size(), 2000u);
  EXPECT_EQ(w.waiting(), 0u);
}

}  // namespace
}  // namespace sluice::test
