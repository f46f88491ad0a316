// Against a real nats-server, through real sockets.
#include "remote/remote_link.h"

#include <gtest/gtest.h>

#include "client/stream_client.h"
#include "real_server.h"
#include "uv/env.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

class RemoteLinkTest : public testing::Test {
 protected:
  std::unique_ptr<NatsLink> connect(const LinkOptions& options) {
    auto link = make_remote_link(uv_.env(), options);
    EXPECT_TRUE(link) << link.error().detail;
    wait([&] { return (*link)->state() == LinkState::kConnected; });
    return std::move(*link);
  }
  std::unique_ptr<NatsLink> connect(const RealServer& server) {
    LinkOptions options;
    options.urls = {server.url()};
    options.name = "test";
    return connect(options);
  }
  void wait(const std::function<bool()>& done, std::chrono::milliseconds limit = 10s) {
    ASSERT_TRUE(uv_.loop().run_until(done, limit)) << "waited too long";
  }

  UvEnv uv_;
};

TEST_F(RemoteLinkTest, CarriesSubjectReplyHeadersAndPayloadByteExact) {
  SLUICE_NEEDS_NATS_SERVER();
  RealServer server;
  auto a = connect(server), b = connect(server);
  std::vector<std::string> got;
  auto sub = b->subscribe("t.>", "", [&](const LinkMessage& m) {
    got.push_back(std::string(m.subject) + "|" + std::string(m.reply) + "|" +
                  std::string(m.headers) + "|" + std::string(m.payload));
  });
  bool ready = false;
  auto flushed = b->request({"none.here", "", "", ""}, 5s, [&](auto) { ready = true; });
  wait([&] { return ready; });
  const std::string headers = "NATS/1.0\r\nZ: 1\r\nA:no blank\r\nZ: 2  \r\nz: low\r\n\r\n";
  ASSERT_TRUE(a->publish({"t.x", "some.reply", headers, std::string_view("\0\r\n", 3)}));
  ASSERT_TRUE(a->publish({"t.y", "", "", ""}));
  wait([&] { return got.size() == 2; });
  EXPECT_EQ(got[0], "t.x|some.reply|" + headers + "|" + std::string("\0\r\n", 3));
  EXPECT_EQ(got[1], "t.y|||");
}

TEST_F(RemoteLinkTest, RequestsQueueGroupsAndNoResponders) {
  SLUICE_NEEDS_NATS_SERVER();
  RealServer server;
  auto a = connect(server), b = connect(server);
  int served = 0;
  const auto serve = [&](const LinkMessage& m) {
    ++served;
    ASSERT_TRUE(b->publish({m.reply, "", "", "pong"}));
  };
  auto one = b->subscribe("svc", "workers", serve), two = b->subscribe("svc", "workers", serve);
  Errc nobody{};
  auto none = b->request({"none", "", "", ""}, 5s, [&](auto r) { nobody = r.error().code; });
  wait([&] { return nobody == Errc::kNoResponders; });
  std::string answer;
  auto ask = a->request({"svc", "", "", "ping"}, 5s,
                        [&](Result<LinkMessage> r) { answer = std::string(r->payload); });
  wait([&] { return !answer.empty(); });
  EXPECT_EQ(answer, "pong");
  EXPECT_EQ(served, 1);
}

TEST_F(RemoteLinkTest, ReconnectsAndSubscribesAgainAfterTheServerDied) {
  SLUICE_NEEDS_NATS_SERVER();
  RealServer server;
  auto link = connect(server);
  std::vector<LinkState> states;
  auto listening = link->on_state([&](LinkState s) { states.push_back(s); });
  int got = 0;
  auto sub = link->subscribe("a", "", [&](const LinkMessage&) { ++got; });
  Errc open{};
  auto mute = link->subscribe("mute", "", [](const LinkMessage&) {});
  auto request = link->request({"mute", "", "", ""}, 60s, [&](auto r) { open = r.error().code; });
  server.kill();
  wait([&] { return link->state() == LinkState::kReconnecting; });
  EXPECT_EQ(open, Errc::kClosed);
  EXPECT_EQ(link->publish({"a", "", "", "lost"}).error().code, Errc::kClosed);
  server.start();
  wait([&] { return link->state() == LinkState::kConnected; }, 30s);
  ASSERT_TRUE(link->publish({"a", "", "", "x"}));
  wait([&] { return got == 1; });
  EXPECT_EQ(states, (std::vector<LinkState>{LinkState::kReconnecting, LinkState::kConnected}));
}

TEST_F(RemoteLinkTest, PausedSubscriptionPushesBackAndLosesNothing) {
  SLUICE_NEEDS_NATS_SERVER();
  RealServer server;
  auto source = connect(server);
  LinkOptions options;
  options.urls = {server.url()};
  options.max_pending_messages = 100;
  auto sink = connect(options);
  uint64_t next = 0;
  auto sub = sink->subscribe("a", "", [&](const LinkMessage& m) {
    ASSERT_EQ(m.payload.substr(0, 6), std::to_string(100000 + next));
    ++next;
  });
  bool ready = false;
  auto flushed = sink->request({"none", "", "", ""}, 5s, [&](auto) { ready = true; });
  wait([&] { return ready; });
  sub->pause();
  constexpr uint64_t kCount = 20000;
  const std::string filling(1000, 'x');
  for (uint64_t i = 0; i < kCount; ++i)
    ASSERT_TRUE(source->publish({"a", "", "", std::to_string(100000 + i) + filling}));
  ready = false;
  auto after = source->request({"none", "", "", ""}, 10s, [&](auto) { ready = true; });
  wait([&] { return ready; });
  EXPECT_EQ(next, 0U);
  sub->resume();
  wait([&] { return next == kCount; });
  EXPECT_EQ(sink->dropped(), 0U);
}

TEST_F(RemoteLinkTest, StreamClientPublishesAndConsumesAcrossARestart) {
  SLUICE_NEEDS_NATS_SERVER();
  RealServer server;
  auto link = connect(server);
  auto client = StreamClient::make(uv_.env(), *link);
  bool made = false;
  client
      ->create_stream({.name = "S", .subjects = {"s.>"}},
                      [&](auto r) {
                        EXPECT_TRUE(r) << r.error().detail;
                        made = true;
                      })
      .release();
  wait([&] { return made; });
  uint64_t acked = 0;
  for (int i = 0; i < 1000; ++i)
    client
        ->publish({"s.x", "", "NATS/1.0\r\nNats-Msg-Id: " + std::to_string(i) + "\r\n\r\n",
                   std::to_string(i)},
                  10s,
                  [&](Result<PubAck> r) {
                    ASSERT_TRUE(r) << r.error().detail;
                    EXPECT_EQ(r->seq.value(), ++acked);
                  })
        .release();
  wait([&] { return acked == 1000; });
  std::string consumer;
  ConsumerSpec spec{.stream = "S", .durable = "D"};
  client->create_consumer(spec, [&](auto r) { consumer = r ? *r : r.error().detail; }).release();
  wait([&] { return !consumer.empty(); });
  EXPECT_EQ(consumer, "D");
  uint64_t last_new = 0;  // a killed server may forget acks and deliver again, but never skips
  std::string trouble;
  auto pull = client->pull(
      "S", "D", 64,
      [&](const ConsumedMessage& m) {
        EXPECT_LE(m.stream_seq.value(), last_new + 1);
        EXPECT_EQ(m.payload, std::to_string(m.stream_seq.value() - 1));
        last_new = std::max(last_new, m.stream_seq.value());
        client->ack(m.ack_subject);
      },
      [&](const Error& e) { trouble = e.detail; });
  wait([&] { return last_new == 1000; });
  server.kill();
  wait([&] { return link->state() == LinkState::kReconnecting; });
  server.start();
  wait([&] { return link->state() == LinkState::kConnected; }, 30s);
  for (int i = 1000; i < 1500; ++i)
    client
        ->publish({"s.x", "", "", std::to_string(i)}, 10s,
                  [&](Result<PubAck> r) {
                    ASSERT_TRUE(r) << r.error().detail;
                    ++acked;
                  })
        .release();
  wait([&] { return last_new == 1500 && acked == 1500; }, 30s);
  EXPECT_EQ(trouble, "");
  Errc missing{};
  client->get_message("S", StreamSeq(99999), [&](auto r) { missing = r.error().code; }).release();
  std::string last;
  client->last_message("S", "s.x", [&](auto r) { last = r->payload; }).release();
  wait([&] { return !last.empty() && missing != Errc{}; });
  EXPECT_EQ(missing, Errc::kNotFound);
  EXPECT_EQ(last, "1499");
}

TEST_F(RemoteLinkTest, WrongPasswordKeepsTryingAndRightOneConnects) {
  SLUICE_NEEDS_NATS_SERVER();
  RealServer server({"--user", "u", "--pass", "p w"});
  LinkOptions wrong;
  wrong.urls = {server.url()};
  wrong.user = "u";
  wrong.password = "no";
  auto refused = make_remote_link(uv_.env(), wrong);
  ASSERT_TRUE(refused);
  LinkOptions right;
  right.urls = {"nats://u:p%20w@" + server.url().substr(7)};
  auto link = connect(right);
  EXPECT_EQ(link->peer(), server.url());
  EXPECT_EQ((*refused)->state(), LinkState::kConnecting);
}

TEST_F(RemoteLinkTest, TlsWithVerifiedClientAndServer) {
  SLUICE_NEEDS_NATS_SERVER();
  char pattern[] = "/tmp/sluice-tls-XXXXXX";
  const std::string dir = mkdtemp(pattern);
  const std::string make =
      "cd " + dir +
      " && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
      " -days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
      " >/dev/null 2>&1";
  ASSERT_EQ(std::system(make.c_str()), 0);
  RealServer server({"--tls", "--tlscert", dir + "/cert.pem", "--tlskey", dir + "/key.pem",
                     "--tlsverify", "--tlscacert", dir + "/cert.pem"});
  LinkOptions options;
  options.urls = {server.url("tls")};
  options.tls_ca_file = dir + "/cert.pem";
  options.tls_cert_file = dir + "/cert.pem";
  options.tls_key_file = dir + "/key.pem";
  auto link = connect(options);
  std::string got;
  auto sub = link->subscribe("a", "", [&](const LinkMessage& m) { got = m.payload; });
  const std::string big(300000, 'y');
  ASSERT_TRUE(link->publish({"a", "", "", big}));
  wait([&] { return !got.empty(); });
  EXPECT_EQ(got, big);
  options.tls_ca_file.clear();  // now nobody vouches for the server
  auto untrusting = make_remote_link(uv_.env(), options);
  ASSERT_TRUE(untrusting);
  uv_.loop().run_until([] { return false; }, 300ms);
  EXPECT_EQ((*untrusting)->state(), LinkState::kConnecting);
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace sluice
