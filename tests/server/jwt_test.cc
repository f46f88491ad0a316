// Operator mode: tokens by themselves, then clients who show them.
#include "jwt_maker.h"
#include "server/jwt_authority.h"
#include "server/jwt_conditions.h"
#include "session.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using test::kNoLimits;
using test::ServerTest;
using test::Signer;

const Signer kOperator(NkeyKind::kOperator, 1);
const Signer kAccount(NkeyKind::kAccount, 2);
const Signer kOther(NkeyKind::kAccount, 3);
const Signer kScoped(NkeyKind::kAccount, 4);
const Signer kUser(NkeyKind::kUser, 5);

constexpr std::string_view kUserClaims = R"("type":"user","subs":-1,"data":-1,"payload":-1)";

TEST(Jwt, SignatureAndShape) {
  const std::string good = kAccount.issue(kUser.key, kUserClaims);
  auto read = read_user_jwt(good);
  ASSERT_TRUE(read.has_value()) << read.error().detail;
  EXPECT_EQ(read->head.issuer, kAccount.key);
  EXPECT_EQ(read->head.subject, kUser.key);
  EXPECT_FALSE(read_account_jwt(good).has_value());
  // Any changed letter breaks it.
  for (size_t at = 0; at < good.size(); at += 7) {
    std::string bad = good;
    bad[at] = bad[at] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(read_user_jwt(bad).has_value()) << at;
  }
  for (std::string_view bad : {"", ".", "..", "a.b.c", "eyJ.eyJ"})
    EXPECT_FALSE(read_user_jwt(bad).has_value()) << bad;
  EXPECT_FALSE(read_user_jwt(good.substr(0, good.size() - 1)).has_value());
}

TEST(Jwt, AccountClaims) {
  const auto read = read_account_jwt(kOperator.issue(kAccount.key, R"("type":"account",
    "limits":{"subs":5,"conn":2,"payload":100,"leaf":-1,"mem_storage":1000,"disk_storage":-1,"streams":3,"imports":-1,"exports":4,"wildcards":true},
    "exports":[{"subject":"q.*","type":"service","response_type":"Stream","token_req":true},{"subject":"s","type":"stream"},
      {"subject":"t","type":"service","service_latency":{"sampling":7,"results":"m"}},{"subject":"u","type":"service","service_latency":{"sampling":"headers","results":"m"}}],
    "imports":[{"account":"AX","subject":"here","to":"there","type":"service"},{"account":"AX","subject":"s","local_subject":"l","type":"stream"}],
    "mappings":{"a":[{"subject":"b","weight":50}]},
    "revocations":{"*":7},
    "default_permissions":{"pub":{"deny":["x"]}}
  )"));
  ASSERT_TRUE(read.has_value()) << read.error().detail;
  const AccountOptions& o = read->options;
  EXPECT_EQ(o.name, kAccount.key);
  EXPECT_EQ(o.max_connections, 2);
  EXPECT_EQ(o.max_subscriptions, 5);
  ASSERT_TRUE(o.jetstream.has_value());
  EXPECT_EQ(o.jetstream->max_memory, 1000);
  EXPECT_EQ(o.jetstream->max_streams, 3);
  EXPECT_TRUE(read->exports[0].options.service);
  EXPECT_TRUE(read->exports[0].options.token_required);
  EXPECT_EQ(read->exports[0].options.response, ResponseType::kStream);
  EXPECT_EQ(read->exports[2].options.latency, (LatencyOptions{"m", 7}));
  EXPECT_EQ(read->exports[3].options.latency, (LatencyOptions{"m", 0}));
  EXPECT_EQ(o.imports[0].subject, "there");
  EXPECT_EQ(o.imports[0].to, "here");
  EXPECT_EQ(o.imports[1].to, "l");
  EXPECT_EQ(o.mappings[0].destinations[0].weight, 50U);
  EXPECT_EQ(read->revocations.at("*"), 7);
  EXPECT_EQ(o.default_permissions->publish.deny, std::vector<std::string>{"x"});
}

TEST(Jwt, Addresses) {
  EXPECT_TRUE(address_in("192.0.2.7", {"10.0.0.0/8", "192.0.2.0/24"}));
  EXPECT_FALSE(address_in("192.0.3.7", {"192.0.2.0/24"}));
  EXPECT_TRUE(address_in("2001:db8::1", {"2001:db8::/32"}));
  EXPECT_FALSE(address_in("2001:db9::1", {"2001:db8::/32"}));
  EXPECT_FALSE(address_in("", {"0.0.0.0/0"}));
  EXPECT_FALSE(address_in("192.0.2.7", {"192.0.2.0", "192.0.2.0/33", "x/8"}));
}

TEST(Jwt, Templates) {
  UserJwt user;
  user.head.name = "bob";
  user.head.subject = "UKEY";
  user.head.tags = {"dept:a", "dept:b", "one:x"};
  AccountJwt account;
  account.head.name = "ACC";
  account.head.subject = "AKEY";
  const auto fill = [&](std::string subject, bool deny = false) {
    PermissionOptions p;
    (deny ? p.publish.deny : p.publish.allow).push_back(std::move(subject));
    auto filled = fill_template(p, user, account);
    if (!filled) return std::vector<std::string>{"refused"};
    return deny ? filled->publish.deny : filled->publish.allow;
  };
  using Texts = std::vector<std::string>;
  EXPECT_EQ(fill("u.{{name()}}.{{ subject() }}.>"), Texts{"u.bob.UKEY.>"});
  EXPECT_EQ(fill("{{account-name()}}.{{account-subject()}}"), Texts{"ACC.AKEY"});
  EXPECT_EQ(fill("d.{{tag(dept)}}.{{tag(one)}}"), (Texts{"d.a.x", "d.b.x"}));
  EXPECT_EQ(fill("d.{{tag(none)}}"), Texts{"refused"});  // an empty allow list would allow everything
  EXPECT_EQ(fill("d.{{tag(none)}}", true), Texts{"refused"});
  EXPECT_EQ(fill("d.{{shell()}}"), Texts{"refused"});
  user.head.name = "a.>";
  EXPECT_EQ(fill("u.{{name()}}"), Texts{"refused"});
}

class OperatorTest : public ServerTest {
 protected:
  static std::string account(std::string_view more = "") {
    return kOperator.issue(kAccount.key, fmt::format(R"("type":"account",{}{}{})", kNoLimits,
                                                     more.empty() ? "" : ",", more));
  }
  static ServerOptions options(std::string account_jwt) {
    return {.operator_mode = {.operators = {kOperator.issue(kOperator.key, R"("type":"operator")")},
                              .preload = {{kAccount.key, std::move(account_jwt)}}}};
  }
  /// What the server says to this token; "" = welcome.
  std::string show(const std::string& jwt, bool sign = true) {
    auto peer = connect();
    const size_t at = last_info.find("\"nonce\":\"") + 9;
    const std::string nonce = last_info.substr(at, last_info.find('"', at) - at);
    const std::string answer =
        ask(*peer, fmt::format(R"(CONNECT {{"verbose":false,"jwt":"{}","sig":"{}"}})" "\r\n", jwt,
                               sign ? kUser.sign(nonce) : ""));
    peers.push_back(std::move(peer));
    return answer;
  }
  static constexpr const char* kRefused = "-ERR 'Authorization Violation'\r\n";
  std::vector<std::unique_ptr<sim::SimPeer>> peers;
};

TEST_F(OperatorTest, TheChainOfTrust) {
  start(options(account()));
  EXPECT_EQ(show(kAccount.issue(kUser.key, kUserClaims)), "");
  EXPECT_EQ(server->connections().at(0).account, kAccount.key);
  EXPECT_EQ(server->connections().at(0).user, kUser.key);
  EXPECT_EQ(show(kAccount.issue(kUser.key, kUserClaims), false), kRefused);
  EXPECT_EQ(show(kOther.issue(kUser.key, kUserClaims)), kRefused);
  EXPECT_EQ(show(kOther.issue(kUser.key, fmt::format(R"({},"issuer_account":"{}")", kUserClaims, kAccount.key))), kRefused);
  EXPECT_EQ(show("nonsense"), kRefused);
  EXPECT_EQ(ask(*connect(), "CONNECT {}\r\n"), kRefused);
  EXPECT_EQ(ask(*connect(), "CONNECT {\"user\":\"u\",\"pass\":\"p\"}\r\n"), kRefused);
}

TEST_F(OperatorTest, AccountsOfOthersAreRefusedAtTheStart) {
  ServerOptions o = options(kOther.issue(kAccount.key, fmt::format(R"("type":"account",{})", kNoLimits)));
  EXPECT_FALSE(check_options(o).has_value());
  o = options(account());
  o.users = {{"u", "p"}};
  EXPECT_FALSE(check_options(o).has_value());
  o = options(account());
  o.operator_mode.preload = {{kOther.key, account()}};
  EXPECT_FALSE(check_options(o).has_value());
}

TEST_F(OperatorTest, PermissionsLimitsAndBearers) {
  start(options(account()));
  EXPECT_EQ(show(kAccount.issue(kUser.key, R"("type":"user","subs":1,"payload":10,"pub":{"allow":["a"]},"bearer_token":true)"), false), "");
  auto& peer = *peers.back();
  EXPECT_EQ(ask(peer, "PUB b 0\r\n\r\n"), "-ERR 'Permissions Violation for Publish to \"b\"'\r\n");
  EXPECT_EQ(ask(peer, "SUB a 1\r\nSUB b 2\r\n"), "-ERR 'maximum subscriptions exceeded'\r\n");
  EXPECT_EQ(ask(peer, "PUB a 11\r\n"), "-ERR 'Maximum Payload Violation'\r\n");
}

TEST_F(OperatorTest, ExpiryCutsTheConnection) {
  start(options(account()));
  const int64_t now_s = sim.env().clock.wall() / 1'000'000'000;
  EXPECT_EQ(show(kAccount.issue(kUser.key, kUserClaims, fmt::format(R"("exp":{})", now_s))), kRefused);
  EXPECT_EQ(show(kAccount.issue(kUser.key, kUserClaims, fmt::format(R"("nbf":{})", now_s + 60))), kRefused);
  EXPECT_EQ(show(kAccount.issue(kUser.key, kUserClaims, fmt::format(R"("exp":{})", now_s + 5))), "");
  auto& peer = *peers.back();
  sim.advance(1900ms);
  EXPECT_EQ(take(peer).find("-ERR"), std::string::npos);
  sim.advance(4s);
  EXPECT_NE(take(peer).find("-ERR 'User Authentication Expired'\r\n"), std::string::npos);
  EXPECT_TRUE(peer.closed());
}

TEST_F(OperatorTest, RevokedUsers) {
  start(options(account(fmt::format(R"("revocations":{{"{}":1000}})", kUser.key))));
  EXPECT_EQ(show(kAccount.issue(kUser.key, kUserClaims)), kRefused);
}

TEST_F(OperatorTest, RevokedBeforeTheTokenWasIssuedIsNoRevocation) {
  start(options(account(R"("revocations":{"*":999})")));
  EXPECT_EQ(show(kAccount.issue(kUser.key, kUserClaims)), "");
}

TEST_F(OperatorTest, ScopedKeysGiveTheirTemplate) {
  start(options(account(fmt::format(
      R"("signing_keys":[{{"kind":"user_scope","key":"{}","role":"r","template":{{"pub":{{"allow":["u.{{{{name()}}}}"]}},"subs":-1,"payload":-1}}}}])",
      kScoped.key))));
  const std::string of_account = fmt::format(R"("type":"user","issuer_account":"{}")", kAccount.key);
  EXPECT_EQ(show(kScoped.issue(kUser.key, of_account)), "");
  auto& peer = *peers.back();
  EXPECT_EQ(ask(peer, "PUB u.n 0\r\n\r\nPUB u.m 0\r\n\r\n"), "-ERR 'Permissions Violation for Publish to \"u.m\"'\r\n");
  EXPECT_EQ(show(kScoped.issue(kUser.key, of_account + R"(,"pub":{"allow":[">"]})")), kRefused);
}

TEST_F(OperatorTest, ExportsThatNeedAnActivation) {
  const auto start_with = [&](std::string activation) {
    ServerOptions o = options(account(R"("exports":[{"subject":"q","type":"service","token_req":true}])"));
    o.operator_mode.preload[kOther.key] = kOperator.issue(
        kOther.key, fmt::format(R"("type":"account",{},"imports":[{{"account":"{}","subject":"q","type":"service","token":"{}"}}])",
                                kNoLimits, kAccount.key, activation));
    start(o);
  };
  start_with(kAccount.issue(kOther.key, R"("type":"activation","subject":"q","kind":"service")"));
  Account& exporter = *server->accounts().find(kAccount.key);
  Account& importer = *server->accounts().find(kOther.key);
  const auto service = exporter.router().subscribe("q", "", [](const Message&, const Origin&) {});
  EXPECT_TRUE(importer.router().has_interest("q", ""));
}

TEST_F(OperatorTest, AnActivationOfAnotherIsNone) {
  ServerOptions o = options(account(R"("exports":[{"subject":"q","type":"service","token_req":true}])"));
  o.operator_mode.preload[kOther.key] = kOperator.issue(
      kOther.key,
      fmt::format(R"("type":"account",{},"imports":[{{"account":"{}","subject":"q","type":"service","token":"{}"}}])", kNoLimits,
                  kAccount.key, kOther.issue(kOther.key, R"("type":"activation","subject":"q","kind":"service")")));
  start(o);
  Account& exporter = *server->accounts().find(kAccount.key);
  const auto service = exporter.router().subscribe("q", "", [](const Message&, const Origin&) {});
  EXPECT_FALSE(server->accounts().find(kOther.key)->router().has_interest("q", ""));
}

class ClaimsTest : public OperatorTest {
 protected:
  static std::string token_of(const Signer& account, std::string_view more = "", std::string_view head = "") {
    return kOperator.issue(account.key, fmt::format(R"("type":"account",{}{}{})", kNoLimits, more.empty() ? "" : ",", more), head);
  }
  void start_with_directory() {
    start({.system_account = kOther.key,
           .operator_mode = {.operators = {kOperator.issue(kOperator.key, R"("type":"operator")")},
                             .preload = {{kOther.key, token_of(kOther)}},
                             .directory = "/jwt",
                             .allow_delete = true}});
    EXPECT_EQ(show(kOther.issue(kUser.key, kUserClaims)), "");
    admin = peers.back().get();
  }
  std::string request(std::string_view subject, std::string_view body) {
    return ask(*admin, fmt::format("SUB r 77\r\nPUB {} r {}\r\n{}\r\nUNSUB 77\r\n", subject, body.size(), body));
  }
  std::string update(const std::string& token) { return request("$SYS.REQ.CLAIMS.UPDATE", token); }
  sim::SimPeer* admin = nullptr;
};

TEST_F(ClaimsTest, AccountsComeWhileTheServerRuns) {
  start_with_directory();
  EXPECT_EQ(show(kAccount.issue(kUser.key, kUserClaims)), kRefused);
  EXPECT_NE(update(token_of(kAccount)).find(fmt::format(R"("data":{{"account":"{}","code":200,"message":"jwt updated"}})", kAccount.key)), std::string::npos);
  EXPECT_EQ(show(kAccount.issue(kUser.key, kUserClaims)), "");
  EXPECT_NE(request("$SYS.REQ.CLAIMS.LIST", "").find(kAccount.key), std::string::npos);
  EXPECT_NE(request(fmt::format("$SYS.REQ.ACCOUNT.{}.CLAIMS.LOOKUP", kAccount.key), "").find(token_of(kAccount)), std::string::npos);
  EXPECT_NE(request("$SYS.REQ.CLAIMS.PACK", "").find(kAccount.key + "|eyJ"), std::string::npos);
  // They are there after a restart.
  admin = nullptr;
  peers.clear();
  server.reset();
  start_with_directory();
  EXPECT_EQ(show(kAccount.issue(kUser.key, kUserClaims)), "");
}

TEST_F(ClaimsTest, WhatCannotBeRightChangesNothing) {
  start_with_directory();
  for (const std::string& bad : {std::string("nonsense"), kAccount.issue(kAccount.key, fmt::format(R"("type":"account",{})", kNoLimits)),
                                 kOther.issue(kUser.key, kUserClaims), std::string()})
    EXPECT_NE(update(bad).find(R"("code":500,"description":"jwt update resulted in error - )"), std::string::npos) << bad;
  EXPECT_NE(request(fmt::format("$SYS.REQ.ACCOUNT.{}.CLAIMS.UPDATE", kScoped.key), token_of(kAccount))
                .find("subject does not match jwt content"), std::string::npos);
  EXPECT_EQ(request("$SYS.REQ.CLAIMS.LIST", "").find(kAccount.key), std::string::npos);
}

TEST_F(ClaimsTest, ClientsFeelWhatChanges) {
  start_with_directory();
  const auto come = [&]() -> sim::SimPeer& {
    EXPECT_EQ(show(kAccount.issue(kUser.key, kUserClaims)), "");
    return *peers.back();
  };
  update(token_of(kAccount));
  auto& narrowed = come();
  ask(narrowed, "SUB a 1\r\nSUB b 2\r\n");
  update(token_of(kAccount, R"("default_permissions":{"sub":{"deny":["b"]}})"));
  EXPECT_EQ(take(narrowed), "-ERR 'Permissions Violation for Subscription to \"b\" (sid \"2\")'\r\n");
  EXPECT_EQ(ask(narrowed, "PUB a 0\r\n\r\nPUB b 0\r\n\r\n"), "MSG a 1 0\r\n\r\n");
  update(token_of(kAccount, R"("revocations":{"*":1000})"));
  EXPECT_EQ(take(narrowed), "-ERR 'User Authentication Revoked'\r\n");
  EXPECT_EQ(server->closed_connections().back().reason, CloseReason::kRevoked);
  update(token_of(kAccount));
  auto& surplus = come();
  update(kOperator.issue(kAccount.key, R"("type":"account","limits":{"subs":-1,"payload":-1,"conn":0,"leaf":-1,"imports":-1,"exports":-1,"wildcards":true})"));
  EXPECT_EQ(take(surplus), "-ERR 'maximum account active connections exceeded'\r\n");
  update(token_of(kAccount));
  auto& last = come();
  const int64_t now_s = sim.env().clock.wall() / 1'000'000'000;
  update(token_of(kAccount, "", fmt::format(R"("exp":{})", now_s + 5)));
  sim.advance(6s);
  EXPECT_NE(take(last).find("-ERR 'Account Authentication Expired'\r\n"), std::string::npos);
}

TEST_F(ClaimsTest, DeletedAccounts) {
  start_with_directory();
  update(token_of(kAccount));
  EXPECT_EQ(show(kAccount.issue(kUser.key, kUserClaims)), "");
  auto& client = *peers.back();
  const std::string body = fmt::format(R"("accounts":["{}"])", kAccount.key);
  EXPECT_NE(request("$SYS.REQ.CLAIMS.DELETE", kAccount.issue(kAccount.key, body)).find("not trusted"), std::string::npos);
  EXPECT_NE(request("$SYS.REQ.CLAIMS.DELETE", kOperator.issue(kOperator.key, fmt::format(R"("accounts":["{}"])", kOther.key))).find("system account"), std::string::npos);
  EXPECT_EQ(take(client), "");
  EXPECT_NE(request("$SYS.REQ.CLAIMS.DELETE", kOperator.issue(kOperator.key, body)).find(R"("message":"deleted 1 accounts")"), std::string::npos);
  EXPECT_EQ(take(client), "-ERR 'Account Authentication Expired'\r\n");
  EXPECT_EQ(show(kAccount.issue(kUser.key, kUserClaims)), kRefused);
  EXPECT_TRUE(sim.env().disk.exists(fmt::format("/jwt/{}.jwt.deleted", kAccount.key)));
}

TEST_F(ClaimsTest, AnActivationThatExpiresClosesTheWay) {
  start_with_directory();
  const int64_t now_s = sim.env().clock.wall() / 1'000'000'000;
  update(token_of(kAccount, R"("exports":[{"subject":"q","type":"service","token_req":true}])"));
  update(token_of(kScoped, fmt::format(R"("imports":[{{"account":"{}","subject":"q","type":"service","token":"{}"}}])", kAccount.key,
                                       kAccount.issue(kScoped.key, R"("type":"activation","subject":"q","kind":"service")",
                                                      fmt::format(R"("exp":{})", now_s + 5)))));
  const auto service = server->accounts().find(kAccount.key)->router().subscribe("q", "", [](const Message&, const Origin&) {});
  Router& importer = server->accounts().find(kScoped.key)->router();
  EXPECT_TRUE(importer.has_interest("q", ""));
  sim.advance(6s);
  EXPECT_FALSE(importer.has_interest("q", ""));
}

}  // namespace
}  // namespace sluice
