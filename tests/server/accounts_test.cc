// Accounts: who lives where, what crosses (nothing), what each may have.
#include "crypto/nkey.h"
#include "crypto/signature.h"
#include "base/base64.h"
#include "session.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using test::ServerTest;

/// "secret" at cost 4.
constexpr const char* kHash = "$2a$04$AEp9OGkjQRXtAapU0r5tTuslnLYG3foM4sFX5D315fpy86ga1W8MO";

ServerOptions two_accounts() {
  return {.accounts = {{.name = "A", .users = {{"a", "pa"}}}, {.name = "B", .users = {{"b", "pb"}}}}};
}

std::string login(std::string_view user, std::string_view pass) {
  return fmt::format(R"(,"user":"{}","pass":"{}")", user, pass);
}

class AccountsTest : public ServerTest {};

TEST_F(AccountsTest, SubjectsOfOneAccountAreUnknownInTheOther) {
  start(two_accounts());
  auto a = client(login("a", "pa"));
  auto a2 = client(login("a", "pa"));
  auto b = client(login("b", "pb"));
  ask(*a, "SUB > 1\r\n");
  ask(*b, "SUB > 1\r\n");
  EXPECT_EQ(ask(*a2, "PUB x 1\r\n1\r\nPING\r\n"), "PONG\r\n");
  EXPECT_EQ(take(*a), "MSG x 1 1\r\n1\r\n");
  EXPECT_EQ(take(*b), "");
  EXPECT_EQ(server->accounts().find("A")->connections, 2U);
  EXPECT_TRUE(server->accounts().find("A")->router().has_interest("q", ""));
  EXPECT_EQ(server->accounts().find("B")->counters.out_msgs, 0U);
  a.reset();
  sim.run_until_idle();
  EXPECT_EQ(server->accounts().find("A")->connections, 1U);
  EXPECT_FALSE(server->accounts().find("A")->router().has_interest("q", ""));
}

TEST_F(AccountsTest, TheSecondConnectMovesTheClient) {
  start(two_accounts());
  auto peer = client(login("a", "pa"));
  ask(*peer, "SUB x 1\r\n");
  EXPECT_EQ(ask(*peer, R"(CONNECT {"verbose":false,"user":"b","pass":"pb"})" "\r\nSUB y 2\r\nPING\r\n"),
            "PONG\r\n");
  EXPECT_EQ(server->accounts().find("A")->connections, 0U);
  EXPECT_FALSE(server->accounts().find("A")->router().has_interest("x", ""));
  EXPECT_TRUE(server->accounts().find("B")->router().has_interest("y", ""));
  EXPECT_EQ(server->connections().at(0).account, "B");
}

TEST_F(AccountsTest, InfoAndUserInfoTellTheAccount) {
  start(two_accounts());
  auto peer = connect();
  EXPECT_NE(last_info.find("\"auth_required\":true"), std::string::npos);
  const std::string after = ask(*peer, R"(CONNECT {"verbose":false,"protocol":1,"user":"a","pass":"pa"})"
                                       "\r\nPING\r\n");
  EXPECT_NE(after.find(R"("remote_account":"A")"), std::string::npos) << after;
  const std::string info = ask(*peer, "SUB r 1\r\nPUB $SYS.REQ.USER.INFO r 0\r\n\r\n");
  EXPECT_NE(info.find(R"("user":"a","account":"A")"), std::string::npos) << info;
}

TEST_F(AccountsTest, LimitsOfAnAccount) {
  ServerOptions options = two_accounts();
  options.accounts[0].max_connections = 1;
  options.accounts[0].max_subscriptions = 1;
  options.accounts[0].max_payload = 10;
  start(options);
  auto first = client(login("a", "pa"));
  EXPECT_EQ(ask(*connect(), R"(CONNECT {"user":"a","pass":"pa"})" "\r\n"),
            "-ERR 'maximum account active connections exceeded'\r\n");
  EXPECT_EQ(ask(*first, "SUB a 1\r\nSUB b 2\r\n"), "-ERR 'maximum subscriptions exceeded'\r\n");
  EXPECT_EQ(ask(*first, "UNSUB 1\r\nSUB b 2\r\nPING\r\n"), "PONG\r\n");
  EXPECT_EQ(ask(*first, "PUB b 11\r\n"), "-ERR 'Maximum Payload Violation'\r\n");
  EXPECT_TRUE(first->closed());
  auto again = client(login("a", "pa"));
  EXPECT_FALSE(again->closed());
}

TEST_F(AccountsTest, UsersOfTheSystemAccountDoNotShutTheOthersOut) {
  start({.accounts = {{.name = "S", .users = {{"sys", "p"}}}}, .system_account = "S"});
  auto anyone = client();
  EXPECT_EQ(server->connections().at(0).account, "$G");
  auto admin = client(login("sys", "p"));
  EXPECT_EQ(server->connections().at(1).account, "S");
}

TEST_F(AccountsTest, NoAuthUserOfAnAccountEvenWithoutConnect) {
  ServerOptions options = two_accounts();
  options.no_auth_user = "b";
  start(options);
  auto peer = connect();
  EXPECT_EQ(last_info.find("auth_required"), std::string::npos);
  EXPECT_EQ(ask(*peer, "SUB x 1\r\n"), "+OK\r\n");
  EXPECT_TRUE(server->accounts().find("B")->router().has_interest("x", ""));
  EXPECT_EQ(server->connections().at(0).user, "b");
}

TEST_F(AccountsTest, BcryptIsCheckedOffTheLoopAndWhatComesBehindWaits) {
  start({.users = {{"u", kHash}, {"plain", "p"}}});
  auto peer = connect();
  EXPECT_EQ(ask(*peer, R"(CONNECT {"verbose":false,"user":"u","pass":"secret"})"
                       "\r\nSUB a 1\r\nPUB a 1\r\nx\r\nPING\r\n"),
            "MSG a 1 1\r\nx\r\nPONG\r\n");
  EXPECT_EQ(ask(*connect(), R"(CONNECT {"user":"u","pass":"wrong"})" "\r\nPING\r\n"),
            "-ERR 'Authorization Violation'\r\n");
  // An unknown name takes the same way.
  EXPECT_EQ(ask(*connect(), R"(CONNECT {"user":"nobody","pass":"secret"})" "\r\n"),
            "-ERR 'Authorization Violation'\r\n");
  EXPECT_EQ(server->counters().auth_failures, 2U);
}

TEST_F(AccountsTest, ATokenMayBeBcrypt) {
  start({.token = kHash});
  auto peer = client(R"(,"auth_token":"secret")");
  EXPECT_EQ(ask(*connect(), R"(CONNECT {"auth_token":")" + std::string(kHash) + "\"}\r\n"),
            "-ERR 'Authorization Violation'\r\n");
}

TEST_F(AccountsTest, AClientThatGoesWhileItsPasswordIsChecked) {
  start({.users = {{"u", kHash}}});
  auto peer = connect();
  peer->send(R"(CONNECT {"user":"u","pass":"secret"})" "\r\n");
  sim.run_round();
  peer.reset();
  sim.run_until_idle();
  EXPECT_EQ(server->connection_count(), 0U);
}

TEST_F(AccountsTest, KeysSignTheNonce) {
  Ed25519Key seed{};
  seed.fill(7);
  const std::string key = encode_nkey(NkeyKind::kUser, ed25519_public_key(seed));
  start({.accounts = {{.name = "A", .users = {{.nkey = key}}}}});
  auto peer = connect();
  const auto nonce_of = [](const std::string& info) {
    const size_t at = info.find("\"nonce\":\"") + 9;
    return info.substr(at, info.find('"', at) - at);
  };
  const std::string nonce = nonce_of(last_info);
  ASSERT_EQ(nonce.size(), 15U);
  const auto sign = [&](std::string_view text) {
    const auto signature = sign_ed25519(seed, text);
    return base64url_encode({reinterpret_cast<const char*>(signature.data()), signature.size()});
  };
  const auto line = [&](std::string_view signature) {
    return fmt::format(R"(CONNECT {{"nkey":"{}","sig":"{}"}})" "\r\n", key, signature);
  };
  EXPECT_EQ(ask(*peer, line(sign(nonce))), "+OK\r\n");
  EXPECT_EQ(server->connections().at(0).user, key);
  EXPECT_EQ(server->connections().at(0).account, "A");
  auto other = connect();
  ASSERT_NE(nonce_of(last_info), nonce);
  EXPECT_EQ(ask(*other, line(sign(nonce))), "-ERR 'Authorization Violation'\r\n");
  EXPECT_EQ(ask(*connect(), line("")), "-ERR 'Authorization Violation'\r\n");
}

TEST_F(AccountsTest, ManyFailuresAreAnsweredLater) {
  start(two_accounts());
  for (uint32_t i = 0; i < AuthFailures::kFree; ++i)
    EXPECT_EQ(ask(*connect(), "CONNECT {}\r\n"), "-ERR 'Authorization Violation'\r\n");
  auto slow = connect();
  EXPECT_EQ(ask(*slow, "CONNECT {}\r\nPING\r\n"), "");
  sim.advance(99ms);
  EXPECT_EQ(take(*slow), "");
  sim.advance(1ms);
  EXPECT_EQ(take(*slow), "-ERR 'Authorization Violation'\r\n");
  EXPECT_TRUE(slow->closed());
}

TEST_F(AccountsTest, ConnectionTypes) {
  ServerOptions options = two_accounts();
  options.accounts[0].users[0].allowed_connection_types = {"WEBSOCKET"};
  start(options);
  EXPECT_EQ(ask(*connect(), R"(CONNECT {"user":"a","pass":"pa"})" "\r\n"),
            "-ERR 'Authorization Violation'\r\n");
}

TEST_F(AccountsTest, MappingsChangeWhatIsPublished) {
  start({.mappings = {{.source = "old.*", .destinations = {{.subject = "new.{{wildcard(1)}}"}}},
                      {.source = "gone", .destinations = {{.subject = "gone", .weight = 0}}}}});
  auto peer = client(R"(,"no_responders":true)");
  EXPECT_EQ(ask(*peer, "SUB > 1\r\nPUB old.x 1\r\n1\r\nPUB old 0\r\n\r\nPUB gone 0\r\n\r\nPING\r\n"),
            "MSG new.x 1 1\r\n1\r\nMSG old 1 0\r\n\r\nPONG\r\n");
  // The 503 names what the subject has become.
  EXPECT_EQ(ask(*peer, "UNSUB 1\r\nSUB r 2\r\nPUB old.x r 0\r\n\r\n"),
            "HMSG r 2 37 37\r\nNATS/1.0 503\r\nNats-Subject: new.x\r\n\r\n\r\n");
}

}  // namespace
}  // namespace sluice
