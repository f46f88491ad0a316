#include <gtest/gtest.h>

#include <span>

#include "base/base64.h"
#include "crypto/digest.h"
#include "crypto/signature.h"
#include "remote/handshake.h"
#include "remote/remote_link.h"
#include "remote/server_url.h"
#include "sim/sim_env.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

TEST(ServerUrl, Forms) {
  const auto full = parse_server_url("tls://us%40er:p:w@host.example:5222/");
  ASSERT_TRUE(full);
  EXPECT_TRUE(full->tls);
  EXPECT_EQ(full->user, "us@er");
  EXPECT_EQ(full->password, "p:w");
  EXPECT_EQ(full->text(), "tls://host.example:5222");
  EXPECT_EQ(parse_server_url("host")->text(), "nats://host:4222");
  EXPECT_EQ(parse_server_url("[::1]:99")->text(), "nats://[::1]:99");
  EXPECT_FALSE(parse_server_url("nats://token@h:1")->has_password);
  EXPECT_TRUE(parse_server_url("srv+tls://example.net")->tls);
  EXPECT_EQ(parse_server_url("srv://u:p@example.net")->text(), "srv://example.net");
  for (const char* bad : {"", "http://h", "nats://:1", "nats://h:0", "nats://h:99999", "nats://h:x",
                          "nats://[::1", "nats://%zz@h", "nats://a b", "srv://h:1", "srv+tls://[::1]", "srvtls://h"})
    EXPECT_FALSE(parse_server_url(bad)) << bad;
}

TEST(Handshake, InfoOfAnyShape) {
  const auto info = parse_server_info(
      R"({"max_payload":77,"tls_required":true,"nonce":"abc","connect_urls":["1.2.3.4:4222",5],"ldm":1})");
  ASSERT_TRUE(info);
  EXPECT_EQ(info->max_payload, 77U);
  EXPECT_TRUE(info->tls_required);
  EXPECT_EQ(info->connect_urls, (std::vector<std::string>{"1.2.3.4:4222"}));
  EXPECT_FALSE(info->lame_duck);
  EXPECT_FALSE(parse_server_info("[]"));
  EXPECT_FALSE(parse_server_info("{"));
}

TEST(Handshake, CredentialsFile) {
  const auto good = parse_credentials(
      "-----BEGIN NATS USER JWT-----\neyJ.a.b\n------END NATS USER JWT------\n\n*** x ***\n"
      "-----BEGIN USER NKEY SEED-----\r\nSUABC\r\n------END USER NKEY SEED------\n");
  ASSERT_TRUE(good);
  EXPECT_EQ(good->jwt, "eyJ.a.b");
  EXPECT_EQ(good->seed, "SUABC");
  EXPECT_FALSE(parse_credentials("eyJ.a.b"));
}

// As Choria's programs log in at their brokers: the token where others have theirs, and the nonce signed with its key.
TEST(Handshake, ChoriaTokenAndSeed) {
  sim::SimEnv sim(1);
  const auto write = [&](const std::string& path, const std::string& text) {
    auto file = sim.env().disk.open(path, OpenMode::kCreate);
    ASSERT_TRUE(file && (*file)->truncate(0) && (*file)->write_at(0, std::as_bytes(std::span(text))));
  };
  const std::string token = "e30." + base64url_encode(R"({"purpose":"choria_server","identity":"n1.example.net"})") + ".c2ln";
  write("server.jwt", token + "\n");
  write("server.seed", "d66d1a7e8fed20c4b9438442fcd30f588cec9b0db749a92d7eaa484b2aac99ff");
  LinkOptions options;
  options.choria_token_file = "server.jwt";
  options.choria_seed_file = "server.seed";
  options.user = "nobody";
  ServerInfo info;
  info.nonce = "abc";
  const auto line = make_connect_line(sim.env().disk, options, ServerUrl{}, info, true);
  ASSERT_TRUE(line) << line.error().detail;
  const Ed25519Key seed = *parse_hex_seed("d66d1a7e8fed20c4b9438442fcd30f588cec9b0db749a92d7eaa484b2aac99ff");
  const Ed25519Signature signature = sign_ed25519(seed, "abc");
  const std::string sig = base64url_encode({reinterpret_cast<const char*>(signature.data()), signature.size()});
  for (const std::string& part : {"\"auth_token\":\"" + token + "\"", "\"jwt\":\"" + token + "\"", "\"sig\":\"" + sig + "\""})
    EXPECT_NE(line->find(part), std::string::npos) << *line;
  EXPECT_EQ(line->find("nobody"), std::string::npos);
  EXPECT_EQ(choria_token_owner(token), "n1.example.net");
  EXPECT_EQ(choria_token_owner("e30." + base64url_encode(R"({"callerid":"up=bob"})") + ".x"), "up=bob");
  for (const char* odd : {"", ".", "a.b.c", "e30.W10.x"}) EXPECT_EQ(choria_token_owner(odd), "") << odd;

  info.nonce.clear();
  EXPECT_EQ(make_connect_line(sim.env().disk, options, ServerUrl{}, info, true).error().code, Errc::kDenied);
  info.nonce = "abc";
  write("server.seed", "d66d");
  EXPECT_EQ(make_connect_line(sim.env().disk, options, ServerUrl{}, info, true).error().code, Errc::kInvalidArgument);
  write("server.jwt", "two\nlines");
  EXPECT_EQ(make_connect_line(sim.env().disk, options, ServerUrl{}, info, true).error().code, Errc::kInvalidArgument);
  options.choria_token_file = "missing.jwt";
  EXPECT_EQ(make_connect_line(sim.env().disk, options, ServerUrl{}, info, true).error().code, Errc::kNotFound);
}

/// A server of a few lines in the simulated network.
class ScriptedServer final : public TransportHandler {
 public:
  explicit ScriptedServer(sim::SimEnv& sim) : sim_(sim) {
    auto listener = sim.env().network.listen("local", 4222, [this](std::unique_ptr<Transport> t) {
      ++connections;
      transport = std::move(t);
      transport->start(*this);
      say("INFO {\"max_payload\":1000,\"connect_urls\":[\"local:4222\"]}\r\n");
    });
    EXPECT_TRUE(listener);
    listener_ = std::move(*listener);
  }
  void say(std::string text) { transport->write(text); }
  void on_bytes(std::string_view bytes) override {
    heard += bytes;
    for (size_t at; answer_pings && (at = heard.find("PING\r\n")) != std::string::npos;) {
      heard.replace(at, 6, "ping\r\n");
      say("PONG\r\n");
    }
  }
  void on_drained() override {}
  void on_closed(const Error&) override {
    sim_.env().executor.post([old = std::move(transport)] {});
  }

  int connections = 0;
  bool answer_pings = true;
  std::string heard;
  std::unique_ptr<Transport> transport;

 private:
  sim::SimEnv& sim_;
  std::unique_ptr<Listener> listener_;
};

class SimLinkTest : public testing::Test {
 protected:
  void SetUp() override {
    LinkOptions options;
    options.urls = {"nats://local:4222"};
    link_ = std::move(*make_remote_link(sim_.env(), options));
  }
  sim::SimEnv sim_{1};
  ScriptedServer server_{sim_};
  std::unique_ptr<NatsLink> link_;
};

TEST_F(SimLinkTest, SaysConnectThenPingThenSubscribes) {
  auto sub = link_->subscribe("a.*", "q", [](const LinkMessage&) {});
  EXPECT_EQ(link_->publish({"a", "", "", ""}).error().code, Errc::kClosed);
  sim_.advance(10ms);
  EXPECT_EQ(link_->state(), LinkState::kConnected);
  EXPECT_TRUE(server_.heard.starts_with("CONNECT {"));
  EXPECT_TRUE(server_.heard.ends_with("}\r\nping\r\nSUB a.* q 1\r\n")) << server_.heard;
  sub.reset();
  sim_.advance(10ms);
  EXPECT_TRUE(server_.heard.ends_with("UNSUB 1\r\n"));
}

TEST(ChoriaLogin, RepliesComeUnderTheTokensOwner) {
  sim::SimEnv sim(1);
  ScriptedServer server(sim);
  const auto write = [&](const std::string& path, const std::string& text) {
    auto file = sim.env().disk.open(path, OpenMode::kCreate);
    ASSERT_TRUE(file && (*file)->truncate(0) && (*file)->write_at(0, std::as_bytes(std::span(text))));
  };
  LinkOptions options;
  options.urls = {"nats://local:4222"};
  options.choria_token_file = "server.jwt";
  options.choria_seed_file = "server.seed";
  options.choria_collective = "mcollective";
  EXPECT_EQ(make_remote_link(sim.env(), options).error().code, Errc::kNotFound);
  write("server.jwt", "e30.e30.c2ln\n");
  EXPECT_EQ(make_remote_link(sim.env(), options).error().code, Errc::kInvalidArgument);
  write("server.jwt", "e30." + base64url_encode(R"({"identity":"n1.example.net"})") + ".c2ln\n");
  const auto link = make_remote_link(sim.env(), options);
  ASSERT_TRUE(link) << link.error().detail;
  EXPECT_TRUE((*link)->new_inbox().starts_with("mcollective.reply." + md5_hex("n1.example.net") + ".")) << (*link)->new_inbox();
  options.choria_collective = "a.*";
  EXPECT_EQ(make_remote_link(sim.env(), options).error().code, Errc::kInvalidArgument);
}

TEST_F(SimLinkTest, RefusesWhatWouldBreakTheProtocol) {
  sim_.advance(10ms);
  for (const char* subject : {"", "a b", "a\r\nPUB x 0", "a\t"})
    EXPECT_EQ(link_->publish({subject, "", "", ""}).error().code, Errc::kInvalidArgument);
  EXPECT_EQ(link_->publish({"a", "r r", "", ""}).error().code, Errc::kInvalidArgument);
  EXPECT_EQ(link_->publish({"a", "", "A: b\r\n\r\n", ""}).error().code, Errc::kInvalidArgument);
  EXPECT_EQ(link_->publish({"a", "", "", std::string(1001, 'x')}).error().code,
            Errc::kInvalidArgument);
}

TEST_F(SimLinkTest, SilentServerIsLeft) {
  sim_.advance(10ms);
  server_.answer_pings = false;
  sim_.advance(50s);
  EXPECT_EQ(link_->state(), LinkState::kConnected);
  sim_.advance(15s);
  EXPECT_GE(server_.connections, 2);
  server_.answer_pings = true;
  sim_.advance(25s);
  EXPECT_EQ(link_->state(), LinkState::kConnected);
}

TEST_F(SimLinkTest, RubbishEndsTheConnectionOnly) {
  sim_.advance(10ms);
  server_.say("WHAT IS THIS\r\n");
  sim_.advance(5ms);
  EXPECT_EQ(link_->state(), LinkState::kReconnecting);
  sim_.advance(1s);
  EXPECT_EQ(link_->state(), LinkState::kConnected);
  EXPECT_EQ(server_.connections, 2);
}

TEST_F(SimLinkTest, PausedSubscriptionHoldsOthersGoOn) {
  int a = 0, b = 0;
  auto first = link_->subscribe("a", "", [&](const LinkMessage&) { ++a; });
  auto second = link_->subscribe("b", "", [&](const LinkMessage&) { ++b; });
  sim_.advance(10ms);
  first->pause();
  server_.say("MSG a 1 1\r\nx\r\nMSG b 2 1\r\nx\r\nMSG a 1 1\r\nx\r\n");
  sim_.advance(10ms);
  EXPECT_EQ(a, 0);
  EXPECT_EQ(b, 1);
  first->resume();
  sim_.advance(10ms);
  EXPECT_EQ(a, 2);
}

TEST_F(SimLinkTest, LinkMayGoInsideAHandler) {
  auto sub = link_->subscribe("a", "", [&](const LinkMessage&) { link_.reset(); });
  sim_.advance(10ms);
  server_.say("MSG a 1 1\r\nx\r\nMSG a 1 1\r\nx\r\n");
  sim_.advance(10ms);
  EXPECT_EQ(link_, nullptr);
}

}  // namespace
}  // namespace sluice
