// The system account: events, and answers on $SYS.REQ.
#include "session.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using test::ServerTest;

/// A monitor that tells what it was asked.
class Pages final : public SystemHost {
 public:
  Result<std::string> page(std::string_view page, std::string_view options, std::string_view account) override {
    if (options == "{") return fail(Errc::kCorrupt, "no JSON");
    return fmt::format(R"({{"page":"{}","options":"{}","account":"{}"}})", page, options.size(), account);
  }
  HostFigures figures() override { return {.process = R"("mem":1)", .jetstream = ""}; }
  void reload() override { ++reloads; }
  int reloads = 0;
};

class SystemTest : public ServerTest {
 protected:
  void SetUp() override {
    start({.server_name = "N",
           .accounts = {{.name = "SYS", .users = {{"sys", "p"}}}, {.name = "A", .users = {{"a", "p"}, {.user = "few", .password = "p", .permissions = PermissionOptions{.publish = {.deny = {"no"}}}}}}},
           .system_account = "SYS"});
    sys = client(R"(,"user":"sys","pass":"p")");
  }
  std::string request(sim::SimPeer& from, std::string_view subject, std::string_view body = "") {
    return ask(from, fmt::format("SUB r 77\r\nPUB {} r {}\r\n{}\r\nUNSUB 77\r\n", subject, body.size(), body));
  }
  std::unique_ptr<sim::SimPeer> as_a() { return client(R"(,"user":"a","pass":"p","name":"n")"); }

  std::unique_ptr<sim::SimPeer> sys;
};

TEST_F(SystemTest, ClientsThatComeAndGo) {
  ask(*sys, "SUB $SYS.ACCOUNT.A.CONNECT 1\r\nSUB $SYS.ACCOUNT.A.DISCONNECT 2\r\nSUB $SYS.ACCOUNT.A.SERVER.CONNS 3\r\n");
  auto a = as_a();
  std::string told = take(*sys);
  EXPECT_NE(told.find(R"("type":"io.nats.server.advisory.v1.client_connect")"), std::string::npos) << told;
  EXPECT_NE(told.find(R"("acc":"A","user":"a","name":"n")"), std::string::npos) << told;
  EXPECT_NE(told.find(R"("acc":"A","name":"A","conns":1,"leafnodes":0,"total_conns":1)"), std::string::npos) << told;
  a->close();
  told = take(*sys);
  EXPECT_NE(told.find(R"("reason":"Client Closed")"), std::string::npos) << told;
  EXPECT_NE(told.find(R"("conns":0)"), std::string::npos) << told;
}

TEST_F(SystemTest, RefusedLogins) {
  ask(*sys, "SUB $SYS.SERVER.*.CLIENT.AUTH.ERR 1\r\n");
  ask(*connect(), "CONNECT {\"user\":\"a\",\"pass\":\"secret-word\"}\r\n");
  const std::string told = take(*sys);
  EXPECT_NE(told.find(R"("reason":"Authentication Failure")"), std::string::npos) << told;
  EXPECT_EQ(told.find("secret-word"), std::string::npos);
}

TEST_F(SystemTest, FiguresComeByThemselves) {
  ask(*sys, fmt::format("SUB $SYS.SERVER.{}.STATSZ 1\r\n", server->id()));
  sim.advance(1s);
  EXPECT_NE(take(*sys).find(R"("statsz":{"start":)"), std::string::npos);
}

TEST_F(SystemTest, AnswersAboutTheServer) {
  EXPECT_NE(request(*sys, "$SYS.REQ.SERVER.PING").find(R"("statsz":{)"), std::string::npos);
  EXPECT_NE(request(*sys, "$SYS.REQ.SERVER.PING.IDZ").find(R"({"name":"N","host":"0.0.0.0","id":")"), std::string::npos);
  EXPECT_EQ(request(*sys, "$SYS.REQ.SERVER.PING", R"({"server_name":"other"})"), "");
  EXPECT_NE(request(*sys, "$SYS.REQ.SERVER.PING.VARZ").find(R"("error":{"code":500)"), std::string::npos);
  Pages pages;
  server->set_system_host(&pages);
  EXPECT_NE(request(*sys, fmt::format("$SYS.REQ.SERVER.{}.VARZ", server->id()))
                .find(R"("data":{"page":"VARZ","options":"0","account":""})"), std::string::npos);
  EXPECT_NE(request(*sys, "$SYS.REQ.SERVER.PING.CONNZ", "{").find(R"("error":{"code":400,"description":"no JSON"}})"), std::string::npos);
  EXPECT_NE(request(*sys, "$SYS.REQ.SERVER.PING").find(R"("statsz":{"start":"2026-01-01T00:00:00Z","mem":1,)"), std::string::npos);
  request(*sys, fmt::format("$SYS.REQ.SERVER.{}.RELOAD", server->id()));
  EXPECT_EQ(pages.reloads, 1);
  EXPECT_NE(request(*as_a(), "$SYS.REQ.SERVER.PING.CONNZ").find(R"("page":"CONNZ","options":"0","account":"A")"), std::string::npos);
  server->set_system_host(nullptr);
}

TEST_F(SystemTest, AnswersAboutAccounts) {
  auto a = as_a();
  EXPECT_NE(request(*sys, "$SYS.REQ.ACCOUNT.A.CONNS").find("account_connections"), std::string::npos);
  const std::string all = request(*sys, "$SYS.REQ.ACCOUNT.PING.STATZ");
  EXPECT_NE(all.find(R"("acc":"A")"), std::string::npos) << all;
  EXPECT_NE(all.find(R"("acc":"SYS")"), std::string::npos) << all;
  // An account is asked about itself alone.
  const std::string own = request(*a, "$SYS.REQ.ACCOUNT.PING.STATZ");
  EXPECT_NE(own.find(R"("acc":"A")"), std::string::npos) << own;
  EXPECT_EQ(own.find(R"("acc":"SYS")"), std::string::npos) << own;
  EXPECT_EQ(request(*a, "$SYS.REQ.SERVER.PING"), "");
}

TEST_F(SystemTest, AClientCanBeCut) {
  auto a = as_a();
  const uint64_t cid = server->connections().back().cid;
  EXPECT_NE(request(*sys, fmt::format("$SYS.REQ.SERVER.{}.KICK", server->id()), "{}").find(R"("description":"no such client or leafnode id")"), std::string::npos);
  EXPECT_EQ(request(*sys, fmt::format("$SYS.REQ.SERVER.{}.KICK", server->id()), fmt::format(R"({{"cid":{}}})", cid))
                .find("error"), std::string::npos);
  sim.run_until_idle();
  EXPECT_TRUE(a->closed());
  EXPECT_EQ(server->closed_connections().back().reason, CloseReason::kKicked);
}

TEST_F(SystemTest, WhoAmI) {
  auto a = client(R"(,"user":"few","pass":"p")");
  const std::string told = request(*a, "$SYS.REQ.USER.INFO");
  EXPECT_NE(told.find(R"("data":{"user":"few","account":"A","account_name":"A","permissions":{"publish":{"deny":["no"]}}})"),
            std::string::npos) << told;
}

TEST_F(SystemTest, GoodByes) {
  ask(*sys, "SUB $SYS.SERVER.*.LAMEDUCK 1\r\nSUB $SYS.SERVER.*.SHUTDOWN 2\r\n");
  server->drain(DrainPlan(1s, 1s), [] {});
  EXPECT_NE(take(*sys).find(".LAMEDUCK 1 "), std::string::npos);
  server->hurry_drain();
  EXPECT_NE(take(*sys).find(".SHUTDOWN 2 "), std::string::npos);
}

}  // namespace
}  // namespace sluice
