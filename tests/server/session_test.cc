// Dialogues, byte by byte.
#include "session.h"

namespace sluice {
namespace {

using sim::SimPeer;
using test::ServerTest;

TEST_F(ServerTest, InfoComesFirstAndEndsWithABlank) {
  start({.server_name = "probe"});
  SimPeer peer(sim.network(), "127.0.0.1", server->port());
  const std::string got = take(peer);
  const std::string want = "INFO {\"server_id\":\"" + server->id() +
                           "\",\"server_name\":\"probe\",\"version\":\"2.15.2\",\"proto\":1,"
                           "\"go\":\"none\",\"host\":\"0.0.0.0\",\"port\":" +
                           std::to_string(server->port()) +
                           ",\"headers\":true,\"max_payload\":1048576,\"client_id\":1,";
  EXPECT_EQ(got.substr(0, want.size()), want);
  EXPECT_TRUE(got.ends_with("} \r\n")) << got;
  EXPECT_EQ(got.find("auth_required"), std::string::npos);
  EXPECT_EQ(got.find("api_lvl"), std::string::npos);
  EXPECT_NE(got.find("\"sluice_version\""), std::string::npos);
}

TEST_F(ServerTest, PongComesBeforeTheSecondInfo) {
  start();
  auto peer = connect();
  const std::string got =
      ask(*peer, "CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\nPING\r\n");
  EXPECT_TRUE(got.starts_with("PONG\r\nINFO {")) << got;
  EXPECT_NE(got.find("\"connect_info\":true,\"remote_account\":\"$G\""), std::string::npos) << got;
  EXPECT_TRUE(got.ends_with(" \r\nPONG\r\n")) << got;
}

TEST_F(ServerTest, NoSecondInfoForProtocolZero) {
  start();
  auto peer = connect();
  EXPECT_EQ(ask(*peer, "CONNECT {\"verbose\":false}\r\nPING\r\n"), "PONG\r\n");
}

TEST_F(ServerTest, BeforeConnectASessionIsVerboseAndPedantic) {
  start();
  auto peer = connect();
  EXPECT_EQ(ask(*peer, "SUB a 1\r\n"), "+OK\r\n");
  EXPECT_EQ(ask(*peer, "PUB a 2\r\nhi\r\n"), "+OK\r\nMSG a 1 2\r\nhi\r\n");
  EXPECT_EQ(ask(*peer, "PUB a.* 0\r\n\r\n"), "-ERR 'Invalid Publish Subject'\r\n+OK\r\n");
  EXPECT_EQ(ask(*peer, "PING\r\n"), "PONG\r\n");
  EXPECT_EQ(ask(*peer, "HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n"), "");
  EXPECT_TRUE(peer->closed());
}

TEST_F(ServerTest, EmptyConnectIsVerbose) {
  start();
  auto peer = connect();
  EXPECT_EQ(ask(*peer, "CONNECT {}\r\nSUB a 1\r\nUNSUB 1\r\n"), "+OK\r\n+OK\r\n+OK\r\n");
}

TEST_F(ServerTest, MessagesReachWildcardsWithReplyAndHeaders) {
  start();
  auto sub = client();
  auto pub = client();
  EXPECT_EQ(ask(*sub, "SUB foo.* 7\r\nSUB foo.> 8\r\nSUB bar 9\r\n"), "");
  pub->send("PUB foo.x INBOX.1 5\r\nhello\r\nHPUB bar 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nok\r\n");
  const std::string got = take(*sub);
  EXPECT_NE(got.find("MSG foo.x 7 INBOX.1 5\r\nhello\r\n"), std::string::npos);
  EXPECT_NE(got.find("MSG foo.x 8 INBOX.1 5\r\nhello\r\n"), std::string::npos);
  EXPECT_TRUE(got.ends_with("HMSG bar 9 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nok\r\n")) << got;
}

TEST_F(ServerTest, HeadersAreStrippedForThoseWhoCannotReadThem) {
  start();
  auto sub = connect();
  EXPECT_EQ(ask(*sub, "CONNECT {\"verbose\":false}\r\nSUB bar 9\r\n"), "");
  auto pub = client();
  pub->send("HPUB bar 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nok\r\n");
  EXPECT_EQ(take(*sub), "MSG bar 9 2\r\nok\r\n");
}

TEST_F(ServerTest, EchoOff) {
  start();
  auto peer = client(",\"echo\":false");
  EXPECT_EQ(ask(*peer, "SUB a 1\r\nPUB a 0\r\n\r\nPING\r\n"), "PONG\r\n");
  auto other = client();
  other->send("PUB a 0\r\n\r\n");
  EXPECT_EQ(take(*peer), "MSG a 1 0\r\n\r\n");
}

TEST_F(ServerTest, PublishingToAWildcardIsALiteralComparison) {
  start();
  auto peer = client();
  EXPECT_EQ(ask(*peer, "SUB foo.bar 1\r\nSUB foo.* 2\r\nPUB foo.* 0\r\n\r\nPUB foo..x 0\r\n\r\n"),
            "MSG foo.* 2 0\r\n\r\n");
}

TEST_F(ServerTest, InvalidSubjectKeepsTheConnection) {
  start();
  auto peer = client();
  EXPECT_EQ(ask(*peer, "SUB a..b 1\r\nSUB >.a 2\r\nPING\r\n"),
            "-ERR 'Invalid Subject'\r\n-ERR 'Invalid Subject'\r\nPONG\r\n");
  EXPECT_EQ(server->connections().at(0).subscriptions, 0U);
}

TEST_F(ServerTest, SecondSubWithTheSameSidIsIgnored) {
  start();
  auto peer = client();
  EXPECT_EQ(ask(*peer, "SUB a 1\r\nSUB b 1\r\nPUB b 0\r\n\r\nPUB a 0\r\n\r\n"),
            "MSG a 1 0\r\n\r\n");
}

TEST_F(ServerTest, AutoUnsubscribeCountsFromSub) {
  start();
  auto peer = client();
  const std::string pub = "PUB a 0\r\n\r\n";
  const std::string msg = "MSG a 1 0\r\n\r\n";
  EXPECT_EQ(ask(*peer, "SUB a 1\r\n" + pub + "UNSUB 1 3\r\n" + pub + pub + pub + "PING\r\n"),
            msg + msg + msg + "PONG\r\n");
  EXPECT_EQ(server->connections().at(0).subscriptions, 0U);
  // At or below what was delivered: now.
  EXPECT_EQ(ask(*peer, "SUB a 1\r\n" + pub + pub + "UNSUB 1 2\r\n" + pub), msg + msg);
  EXPECT_EQ(ask(*peer, "UNSUB 77\r\nPING\r\n"), "PONG\r\n");
}

TEST_F(ServerTest, NoResponders) {
  start();
  auto peer = client(",\"no_responders\":true");
  EXPECT_EQ(ask(*peer, "SUB _INBOX.x 9\r\nPUB nobody _INBOX.x 0\r\n\r\n"),
            "HMSG _INBOX.x 9 38 38\r\nNATS/1.0 503\r\nNats-Subject: nobody\r\n\r\n\r\n");
  // Neither without a reply, nor for a queue subscription, nor when somebody took it.
  EXPECT_EQ(ask(*peer, "PUB nobody 0\r\n\r\n"), "");
  EXPECT_EQ(ask(*peer, "SUB _INBOX.q grp 10\r\nPUB nobody _INBOX.q 0\r\n\r\n"), "");
  bool taken = false;
  auto responder = server->bus().subscribe("svc", "", [&](const Message&, const Origin& origin) {
    taken = true;
    EXPECT_EQ(origin.connection_id, 1U);
  });
  EXPECT_EQ(ask(*peer, "PUB svc _INBOX.x 0\r\n\r\n"), "");
  EXPECT_TRUE(taken);
}

TEST_F(ServerTest, NoRespondersDoesNotCountTowardsUnsub) {
  start();
  auto peer = client(",\"no_responders\":true");
  const std::string answer =
      "HMSG _INBOX.x 9 38 38\r\nNATS/1.0 503\r\nNats-Subject: nobody\r\n\r\n\r\n";
  const std::string request = "PUB nobody _INBOX.x 0\r\n\r\n";
  EXPECT_EQ(ask(*peer, "SUB _INBOX.x 9\r\nUNSUB 9 1\r\n" + request + request), answer + answer);
  EXPECT_EQ(ask(*peer, "PUB _INBOX.x 0\r\n\r\nPUB _INBOX.x 0\r\n\r\n"), "MSG _INBOX.x 9 0\r\n\r\n");
}

TEST_F(ServerTest, ReservedSubjectsAndReplies) {
  start();
  auto peer = client();
  EXPECT_EQ(ask(*peer, "PUB a $JS.ACK.x 0\r\n\r\n"),
            "-ERR 'Permissions Violation for Publish with Reply of \"$JS.ACK.x\"'\r\n");
  EXPECT_EQ(ask(*peer, "PUB a _R_.x 0\r\n\r\nPUB a _GR_.x 0\r\n\r\n"),
            "-ERR 'Permissions Violation for Publish with Reply of \"_R_.x\"'\r\n"
            "-ERR 'Permissions Violation for Publish with Reply of \"_GR_.x\"'\r\n");
  EXPECT_EQ(ask(*peer, "PUB _GR_.a 0\r\n\r\n"),
            "-ERR 'Permissions Violation for Publish to \"_GR_.a\"'\r\n");
  EXPECT_EQ(ask(*peer, "SUB a _sys_ 1\r\n"),
            "-ERR 'Permissions Violation for Subscription to \"a\" using queue \"_sys_\"'\r\n");
  EXPECT_FALSE(peer->closed());
}

struct Fatal {
  const char* sent;
  const char* answer;
  CloseReason reason;
};

class FatalTest : public ServerTest, public ::testing::WithParamInterface<Fatal> {};

TEST_P(FatalTest, AnswersAndCloses) {
  start({.max_payload = 100, .max_control_line = 64});
  auto peer = connect();
  EXPECT_EQ(ask(*peer, GetParam().sent), GetParam().answer);
  EXPECT_TRUE(peer->closed());
  EXPECT_EQ(server->connection_count(), 0U);
  ASSERT_EQ(server->closed_connections().size(), 1U);
  EXPECT_EQ(server->closed_connections()[0].reason, GetParam().reason);
}

INSTANTIATE_TEST_SUITE_P(
    Errors, FatalTest,
    ::testing::Values(
        Fatal{"FOO\r\n", "-ERR 'Unknown Protocol Operation'\r\n", CloseReason::kProtocolViolation},
        Fatal{"\r\n", "-ERR 'Unknown Protocol Operation'\r\n", CloseReason::kProtocolViolation},
        Fatal{"MSG a 1 0\r\n\r\n", "-ERR 'Unknown Protocol Operation'\r\n",
              CloseReason::kProtocolViolation},
        Fatal{"PUB a 2\r\nhixx", "-ERR 'Unknown Protocol Operation'\r\n",
              CloseReason::kProtocolViolation},
        Fatal{"PUB a 101\r\n", "-ERR 'Maximum Payload Violation'\r\n", CloseReason::kMaxPayload},
        Fatal{"SUB aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
              "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
              "-ERR 'maximum control line exceeded'\r\n", CloseReason::kMaxControlLine},
        Fatal{"CONNECT {\"protocol\":2}\r\n", "-ERR 'invalid client protocol'\r\n",
              CloseReason::kBadClientProtocolVersion},
        Fatal{"CONNECT {\"no_responders\":true}\r\n",
              "-ERR 'no responders requires headers support'\r\n",
              CloseReason::kNoRespondersRequiresHeaders},
        Fatal{"CONNECT {\"account\":\"A\"}\r\n", "-ERR 'Authorization Violation'\r\n",
              CloseReason::kAuthenticationFailure},
        Fatal{"CONNECT {broken\r\n", "", CloseReason::kProtocolViolation},
        Fatal{"PUB a\r\n", "", CloseReason::kProtocolViolation},
        Fatal{"PUB a -1\r\n", "", CloseReason::kProtocolViolation},
        Fatal{"-ERR 'x'\r\n", "", CloseReason::kParseError}));

TEST_F(ServerTest, SecondConnectDropsSubscriptions) {
  start();
  auto peer = client();
  EXPECT_EQ(ask(*peer, "SUB a 1\r\nCONNECT {\"verbose\":false}\r\nPUB a 0\r\n\r\nPING\r\n"),
            "PONG\r\n");
  EXPECT_EQ(server->connections().at(0).subscriptions, 0U);
}

TEST_F(ServerTest, MaximumSubscriptions) {
  start({.max_subscriptions = 1});
  auto peer = client();
  EXPECT_EQ(ask(*peer, "SUB a 1\r\nSUB b 2\r\nPING\r\n"),
            "-ERR 'maximum subscriptions exceeded'\r\nPONG\r\n");
}

TEST_F(ServerTest, MaximumConnections) {
  start({.max_connections = 1});
  auto first = client();
  auto second = connect();
  EXPECT_EQ(take(*second), "-ERR 'maximum connections exceeded'\r\n");
  EXPECT_TRUE(second->closed());
  EXPECT_EQ(ask(*first, "PING\r\n"), "PONG\r\n");
  first->close();
  sim.run_until_idle();
  EXPECT_EQ(ask(*client(), "PING\r\n"), "PONG\r\n");
}

// ---------------------------------------------------------------- authentication

TEST_F(ServerTest, UserAndPassword) {
  start({.users = {{"u", "p"}, {"v", "q"}}});
  auto peer = connect();
  EXPECT_NE(last_info.find("\"auth_required\":true"), std::string::npos);
  EXPECT_EQ(ask(*peer, "CONNECT {\"user\":\"u\",\"pass\":\"p\"}\r\n"), "+OK\r\n");
  EXPECT_EQ(server->connections().at(0).user, "u");
  EXPECT_EQ(ask(*connect(), "CONNECT {\"user\":\"v\",\"pass\":\"q\"}\r\n"), "+OK\r\n");
  for (const char* wrong : {"{}", "{\"user\":\"u\"}", "{\"user\":\"u\",\"pass\":\"q\"}",
                            "{\"user\":\"x\",\"pass\":\"p\"}", "{\"user\":\"x\",\"pass\":\"\"}",
                            "{\"auth_token\":\"\"}"}) {
    SCOPED_TRACE(wrong);
    auto bad = connect();
    EXPECT_EQ(ask(*bad, "CONNECT " + std::string(wrong) + "\r\n"),
              "-ERR 'Authorization Violation'\r\n");
    EXPECT_TRUE(bad->closed());
  }
  EXPECT_EQ(server->counters().auth_failures, 6U);
}

TEST_F(ServerTest, Token) {
  start({.token = "t0ken"});
  EXPECT_EQ(ask(*connect(), "CONNECT {\"auth_token\":\"t0ken\"}\r\n"), "+OK\r\n");
  EXPECT_EQ(ask(*connect(), "CONNECT {\"auth_token\":\"t0keN\"}\r\n"),
            "-ERR 'Authorization Violation'\r\n");
}

TEST_F(ServerTest, NoAuthUser) {
  start({.users = {{"u", "p"}, {"guest", "g"}}, .no_auth_user = "guest"});
  auto peer = connect();
  EXPECT_EQ(last_info.find("auth_required"), std::string::npos);
  EXPECT_EQ(ask(*peer, "SUB a 1\r\n"), "+OK\r\n");
  EXPECT_EQ(server->connections().at(0).user, "guest");
  auto named = connect();
  EXPECT_EQ(ask(*named, "CONNECT {\"user\":\"u\",\"pass\":\"p\"}\r\n"), "+OK\r\n");
  EXPECT_EQ(server->connections().at(1).user, "u");
  EXPECT_EQ(ask(*connect(), "CONNECT {\"user\":\"u\"}\r\n"), "-ERR 'Authorization Violation'\r\n");
}

TEST_F(ServerTest, OptionsThatCannotBe) {
  const auto code = [](const ServerOptions& options) {
    const Status status = check_options(options);
    return status ? std::optional<Errc>() : status.error().code;
  };
  EXPECT_EQ(code({}), std::nullopt);
  EXPECT_EQ(code({.user = "u", .password = "p"}), std::nullopt);
  EXPECT_EQ(code({.user = "u", .token = "t"}), Errc::kInvalidArgument);
  EXPECT_EQ(code({.token = "t", .users = {{"u", "p"}}}), Errc::kInvalidArgument);
  EXPECT_EQ(code({.users = {{"u", "p"}, {"u", "q"}}}), Errc::kInvalidArgument);
  EXPECT_EQ(code({.users = {{"u", "p"}}, .no_auth_user = "x"}), Errc::kInvalidArgument);
  EXPECT_EQ(code({.users = {{"u", "$2a$11$ooo"}}}), Errc::kInvalidArgument);  // cut off
  EXPECT_EQ(code({.accounts = {{.name = "A"}, {.name = "A"}}}), Errc::kInvalidArgument);
  EXPECT_EQ(code({.accounts = {{.name = "$G"}}}), Errc::kInvalidArgument);
  EXPECT_EQ(code({.system_account = "S"}), Errc::kInvalidArgument);
  EXPECT_EQ(code({.users = {{.nkey = "UABC"}}}), Errc::kInvalidArgument);
  EXPECT_EQ(code({.users = {{.user = "u", .permissions = {{.publish = {.allow = {"a..b"}}}}}}}),
            Errc::kInvalidArgument);
  EXPECT_EQ(code({.max_payload = 10, .max_pending = 9}), Errc::kInvalidArgument);
  EXPECT_EQ(code({.server_name = "a b"}), Errc::kInvalidArgument);
}

TEST_F(ServerTest, SomethingElseBeforeConnectIsAViolation) {
  start({.token = "t"});
  auto peer = connect();
  EXPECT_EQ(ask(*peer, "PING\r\n"), "-ERR 'Authorization Violation'\r\n");
  EXPECT_TRUE(peer->closed());
}

TEST_F(ServerTest, SecondConnectAuthenticatesAgain) {
  start({.user = "u", .password = "p"});
  auto peer = connect();
  EXPECT_EQ(ask(*peer, "CONNECT {\"user\":\"u\",\"pass\":\"p\",\"verbose\":false}\r\nSUB a 1\r\n"),
            "");
  EXPECT_EQ(ask(*peer, "CONNECT {\"user\":\"u\",\"pass\":\"x\"}\r\n"),
            "-ERR 'Authorization Violation'\r\n");
  EXPECT_EQ(server->subscription_count(), own_subscriptions);
}

TEST_F(ServerTest, AuthenticationTimeout) {
  using namespace std::chrono_literals;
  start({.token = "t"});
  auto peer = connect();
  sim.advance(1900ms);
  EXPECT_FALSE(peer->closed());
  sim.advance(200ms);
  EXPECT_EQ(take(*peer), "-ERR 'Authentication Timeout'\r\n");
  EXPECT_TRUE(peer->closed());
}

TEST_F(ServerTest, UserInfo) {
  start({.users = {{"ada", "p"}}});
  auto peer = connect();
  const std::string got = ask(*peer,
                              "CONNECT {\"verbose\":false,\"user\":\"ada\",\"pass\":\"p\"}\r\n"
                              "SUB _INBOX.x 1\r\nPUB $SYS.REQ.USER.INFO _INBOX.x 0\r\n\r\n");
  EXPECT_TRUE(got.starts_with("MSG _INBOX.x 1 ")) << got;
  EXPECT_NE(got.find("\"data\":{\"user\":\"ada\",\"account\":\"$G\",\"account_name\":\"$G\"}"), std::string::npos) << got;
}

}  // namespace
}  // namespace sluice
