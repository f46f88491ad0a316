// A running server takes over a fresh configuration.
#include "session.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using sim::SimPeer;
using test::ServerTest;

std::vector<std::string> names(const std::vector<ChangedSetting>& settings) {
  std::vector<std::string> out;
  for (const ChangedSetting& setting : settings) out.push_back(setting.name);
  return out;
}
using Names = std::vector<std::string>;

class ReloadTest : public ServerTest {
 protected:
  std::unique_ptr<SimPeer> login(std::string_view user, std::string_view password) {
    auto peer = connect();
    ask(*peer, "CONNECT {\"verbose\":false,\"user\":\"" + std::string(user) + "\",\"pass\":\"" +
                   std::string(password) + "\"}\r\nPING\r\n");
    return peer;
  }
};

TEST_F(ReloadTest, NothingChangedIsNothingDone) {
  start();
  const ReloadReport report = *server->reload({});
  EXPECT_TRUE(report.applied.empty());
  EXPECT_TRUE(report.waiting.empty() || names(report.waiting) == Names{"server_name"})
      << "an empty name became the server's id";
}

TEST_F(ReloadTest, LimitsAreInForceAtOnce) {
  start({.server_name = "n"});
  auto peer = client();
  const ReloadReport report =
      *server->reload({.server_name = "n", .max_payload = 10, .max_subscriptions = 1, .ping_interval = 1s});
  EXPECT_EQ(names(report.applied), (Names{"max_payload", "max_subscriptions", "ping_interval"}));
  EXPECT_EQ(report.applied[0].before, "1048576");
  EXPECT_EQ(report.applied[0].after, "10");
  EXPECT_EQ(ask(*peer, "SUB a 1\r\nSUB b 2\r\n"), "-ERR 'maximum subscriptions exceeded'\r\n");
  EXPECT_EQ(ask(*peer, "PUB a 11\r\n"), "-ERR 'Maximum Payload Violation'\r\n");
  connect();
  EXPECT_NE(last_info.find("\"max_payload\":10,"), std::string::npos);
}

TEST_F(ReloadTest, WhatNeedsARestartIsNamedAndStays) {
  start({.server_name = "n", .domain = "d"});
  const ReloadReport report = *server->reload({.server_name = "m", .domain = "e"});
  EXPECT_TRUE(report.applied.empty());
  EXPECT_EQ(names(report.waiting), (Names{"server_name", "domain"}));
  EXPECT_EQ(server->name(), "n");
}

TEST_F(ReloadTest, ThoseWhoseSecretChangedAreCut) {
  start({.server_name = "n", .users = {{.user = "ann", .password = "a"}, {.user = "bob", .password = "b"}, {.user = "eve", .password = "e"}}});
  auto ann = login("ann", "a");
  auto bob = login("bob", "b");
  auto eve = login("eve", "e");
  const ReloadReport report =
      *server->reload({.server_name = "n", .users = {{.user = "ann", .password = "a"}, {.user = "bob", .password = "new"}}});
  EXPECT_EQ(names(report.applied), Names{"users"});
  EXPECT_EQ(report.applied[0].after, "…") << "no secrets";
  EXPECT_EQ(take(*bob), "-ERR 'Authorization Violation'\r\n");
  EXPECT_EQ(take(*eve), "-ERR 'Authorization Violation'\r\n");
  EXPECT_TRUE(bob->closed() && eve->closed());
  EXPECT_EQ(ask(*ann, "PING\r\n"), "PONG\r\n");
  auto again = login("bob", "new");
  EXPECT_EQ(ask(*again, "PING\r\n"), "PONG\r\n");
}

TEST_F(ReloadTest, TheAnonymousAreCutWhenALoginIsNeeded) {
  start({.server_name = "n"});
  auto peer = client();
  EXPECT_TRUE(server->reload({.server_name = "n", .token = "t"}));
  EXPECT_EQ(take(*peer), "-ERR 'Authorization Violation'\r\n");
  auto late = connect();
  EXPECT_NE(last_info.find("auth_required"), std::string::npos);
  EXPECT_EQ(ask(*late, "CONNECT {\"verbose\":false,\"auth_token\":\"t\"}\r\nPING\r\n"), "PONG\r\n");
  EXPECT_TRUE(server->reload({.server_name = "n", .token = "t", .ping_max = 5}));
  EXPECT_EQ(ask(*late, "PING\r\n"), "PONG\r\n");
  EXPECT_TRUE(server->reload({.server_name = "n", .token = "other"}));
  EXPECT_EQ(take(*late), "-ERR 'Authorization Violation'\r\n");
}

TEST_F(ReloadTest, TheNewestGoWhenFewerConnectionsMayBe) {
  start({.server_name = "n"});
  auto first = client();
  auto second = client();
  auto third = client();
  EXPECT_TRUE(server->reload({.server_name = "n", .max_connections = 1}));
  EXPECT_EQ(take(*third), "-ERR 'maximum connections exceeded'\r\n");
  EXPECT_EQ(take(*second), "-ERR 'maximum connections exceeded'\r\n");
  EXPECT_EQ(ask(*first, "PING\r\n"), "PONG\r\n");
}

TEST_F(ReloadTest, AccountsComeChangeAndGo) {
  ServerOptions options{.server_name = "n", .accounts = {{.name = "A", .users = {{"a", "p"}, {"a2", "p"}}}, {.name = "B", .users = {{"b", "p"}}}}};
  start(options);
  auto a = login("a", "p");
  auto a2 = login("a2", "p");
  auto b = login("b", "p");
  ask(*a, "SUB to 1\r\n");
  options.accounts[0].mappings = {{.source = "from", .destinations = {{.subject = "to"}}}};
  options.accounts[0].max_payload = 10;
  options.accounts[0].exports = {{.subject = "q", .service = true}};
  options.accounts[0].users[1].password = "other";
  options.accounts[1] = {.name = "C", .users = {{"c", "p"}}, .imports = {{.account = "A", .subject = "q", .service = true}}};
  const ReloadReport report = *server->reload(options);
  EXPECT_EQ(names(report.applied), Names{"accounts"});
  EXPECT_EQ(take(*a2), "-ERR 'Authorization Violation'\r\n") << "its password is another";
  EXPECT_EQ(take(*b), "-ERR 'Authorization Violation'\r\n") << "its account is gone";
  EXPECT_EQ(ask(*connect(), R"(CONNECT {"user":"b","pass":"p"})" "\r\n"), "-ERR 'Authorization Violation'\r\n");
  EXPECT_EQ(ask(*a, "PUB from 1\r\n1\r\n"), "MSG to 1 1\r\n1\r\n");
  auto c = login("c", "p");
  ask(*a, "SUB q 2\r\n");
  EXPECT_TRUE(server->accounts().find("C")->router().has_interest("q", ""));
  EXPECT_EQ(ask(*a, "PUB x 11\r\n"), "-ERR 'Maximum Payload Violation'\r\n");
}

TEST_F(ReloadTest, WhoIsNotConcernedStays) {
  ServerOptions options{.server_name = "n", .accounts = {{.name = "A", .users = {{"a", "p"}}}}};
  start(options);
  auto a = login("a", "p");
  ask(*a, "SUB x 1\r\nSUB y 2\r\n");
  options.accounts[0].max_connections = 5;
  ASSERT_TRUE(server->reload(options).has_value());
  EXPECT_EQ(ask(*a, "PUB x 0\r\n\r\n"), "MSG x 1 0\r\n\r\n") << "nothing that concerns it has changed";
  options.accounts[0].max_connections = 0;
  ASSERT_TRUE(server->reload(options).has_value());
  EXPECT_EQ(take(*a), "-ERR 'maximum account active connections exceeded'\r\n");
}

}  // namespace
}  // namespace sluice
