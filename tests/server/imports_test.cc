// What crosses between accounts.
#include "server/imports.h"

#include "server/import_pattern.h"
#include "session.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using test::ServerTest;

TEST(ImportPattern, RenamesBothWays) {
  auto p = ImportPattern::make("svc.*.*", "local.$2.$1");
  ASSERT_TRUE(p.has_value()) << p.error().detail;
  std::string out;
  EXPECT_EQ(p->here, "local.*.*");
  EXPECT_TRUE(p->to_there.map("local.b.a", 0, out));
  EXPECT_EQ(out, "svc.a.b");
  EXPECT_TRUE(p->to_here.map("svc.a.b", 0, out));
  EXPECT_EQ(out, "local.b.a");
  p = ImportPattern::make("$JS.API.>", "other.>");
  ASSERT_TRUE(p.has_value());
  EXPECT_TRUE(p->to_there.map("other.STREAM.INFO.S", 0, out));
  EXPECT_EQ(out, "$JS.API.STREAM.INFO.S");
  p = ImportPattern::make("a.*", "");
  ASSERT_TRUE(p.has_value());
  EXPECT_TRUE(p->same);
  for (const char* bad : {"x", "x.*.*", "x.$2", "x.{{split(1,-)}}", "x.>"})
    EXPECT_FALSE(ImportPattern::make("a.*", bad).has_value()) << bad;
}

ServerOptions exporting(ExportOptions exported, ImportOptions import) {
  import.account = "A";
  return {.accounts = {{.name = "A", .users = {{"a", "p"}}, .exports = {std::move(exported)}},
                       {.name = "B", .users = {{"b", "p"}}, .imports = {std::move(import)}},
                       {.name = "C", .users = {{"c", "p"}}}}};
}

std::string why(const ServerOptions& options) {
  const Status status = check_options(options);
  return status ? "" : status.error().detail;
}

TEST(Imports, MustBeAllowed) {
  EXPECT_EQ(why(exporting({.subject = "q.>", .service = true}, {.subject = "q.a", .service = true})), "");
  EXPECT_NE(why(exporting({.subject = "q.a", .service = true}, {.subject = "q.>", .service = true}))
                .find("service import not authorized"), std::string::npos);
  EXPECT_NE(why(exporting({.subject = "q", .accounts = {"C"}}, {.subject = "q"}))
                .find("stream import not authorized"), std::string::npos);
  EXPECT_EQ(why(exporting({.subject = "q", .accounts = {"B"}}, {.subject = "q"})), "");
  EXPECT_NE(why(exporting({.subject = "q"}, {.subject = "q", .prefix = "x.*"}))
                .find("stream import prefix can not contain wildcard tokens"), std::string::npos);
  EXPECT_EQ(why(exporting({.subject = "q.*.x", .service = true, .account_token_position = 2},
                          {.subject = "q.B.x", .service = true})), "");
  EXPECT_NE(why(exporting({.subject = "q.*.x", .service = true, .account_token_position = 2},
                          {.subject = "q.C.x", .service = true})), "");
}

TEST(Imports, CyclesAreRefused) {
  ServerOptions o{.accounts = {{.name = "A", .exports = {{.subject = "x", .service = true}},
                                .imports = {{.account = "B", .subject = "x", .service = true}}},
                               {.name = "B", .exports = {{.subject = "x", .service = true}},
                                .imports = {{.account = "A", .subject = "x", .service = true}}}}};
  EXPECT_NE(why(o).find("service import forms a cycle"), std::string::npos) << why(o);
  o.accounts[1].imports[0].to = "y";
  o.accounts[0].imports[0].to = "z";
  EXPECT_EQ(why(o), "");
}

class ImportTest : public ServerTest {
 protected:
  std::unique_ptr<sim::SimPeer> as(std::string_view user) {
    return client(fmt::format(R"(,"user":"{}","pass":"p","name":"n-{}","no_responders":true)", user, user));
  }
  /// The reply of the last message, as the responder got it.
  static std::string reply_of(const std::string& message) {
    const size_t at = message.find("_R_.");
    return at == std::string::npos ? "" : message.substr(at, message.find(' ', at) - at);
  }
};

TEST_F(ImportTest, AServiceAnswersAcrossAccounts) {
  start(exporting({.subject = "q.*", .service = true}, {.subject = "q.*", .to = "ask.*", .service = true}));
  auto responder = as("a");
  auto asker = as("b");
  auto stranger = as("c");
  ask(*responder, "SUB q.> 1\r\n");
  EXPECT_EQ(ask(*asker, "SUB in 7\r\nPUB ask.x in 2\r\nhi\r\n"), "");
  const std::string request = take(*responder);
  EXPECT_TRUE(request.starts_with("HMSG q.x 1 _R_.")) << request;
  EXPECT_NE(request.find("Nats-Request-Info: {\"acc\":\"B\",\"rtt\":"), std::string::npos) << request;
  const std::string reply = reply_of(request);
  ask(*responder, fmt::format("PUB {} 2\r\nok\r\nPUB {} 2\r\nno\r\n", reply, reply));
  EXPECT_EQ(take(*asker), "MSG in 7 2\r\nok\r\n");
  EXPECT_EQ(ask(*stranger, "SUB in 1\r\nPUB ask.x in 0\r\n\r\n"),
            "HMSG in 1 37 37\r\nNATS/1.0 503\r\nNats-Subject: ask.x\r\n\r\n\r\n");
}

TEST_F(ImportTest, ShareTellsWhoAsks) {
  start(exporting({.subject = "q", .service = true}, {.subject = "q", .service = true, .share = true}));
  auto responder = as("a");
  auto asker = as("b");
  ask(*responder, "SUB q 1\r\n");
  ask(*asker, "PUB q r 0\r\n\r\n");
  const std::string request = take(*responder);
  EXPECT_NE(request.find("\"user\":\"b\""), std::string::npos) << request;
  EXPECT_NE(request.find("\"name\":\"n-b\""), std::string::npos) << request;
}

TEST_F(ImportTest, NobodyThereIsDecidedAtTheEndOfTheWay) {
  start(exporting({.subject = "q", .service = true}, {.subject = "q", .service = true}));
  auto asker = as("b");
  EXPECT_EQ(ask(*asker, "SUB in 7\r\nPUB q in 0\r\n\r\n"),
            "HMSG in 7 33 33\r\nNATS/1.0 503\r\nNats-Subject: q\r\n\r\n\r\n");
  EXPECT_FALSE(server->accounts().find("B")->router().has_interest("q", ""));
  auto responder = as("a");
  ask(*responder, "SUB q 1\r\n");
  EXPECT_TRUE(server->accounts().find("B")->router().has_interest("q", ""));
}

TEST_F(ImportTest, StreamsOfAnswersEndWithAnEmptyOne) {
  start(exporting({.subject = "q", .service = true, .response = ResponseType::kStream},
                  {.subject = "q", .service = true}));
  auto responder = as("a");
  auto asker = as("b");
  ask(*responder, "SUB q 1\r\n");
  ask(*asker, "SUB in 7\r\nPUB q in 0\r\n\r\n");
  const std::string reply = reply_of(take(*responder));
  Router& router = server->accounts().find("A")->router();
  EXPECT_TRUE(router.has_interest(reply, ""));
  ask(*responder, fmt::format("PUB {0} 1\r\n1\r\nPUB {0} 1\r\n2\r\n", reply));
  EXPECT_EQ(take(*asker), "MSG in 7 1\r\n1\r\nMSG in 7 1\r\n2\r\n");
  // Who does not listen any more is no interest.
  ask(*asker, "UNSUB 7\r\n");
  EXPECT_FALSE(router.has_interest(reply, ""));
  ask(*asker, "SUB in 7\r\n");
  ask(*responder, fmt::format("PUB {0} 0\r\n\r\nPUB {0} 1\r\n3\r\n", reply));
  EXPECT_EQ(take(*asker), "MSG in 7 0\r\n\r\n");
}

TEST_F(ImportTest, LateAnswersAreDropped) {
  start(exporting({.subject = "q", .service = true, .threshold = 5s}, {.subject = "q", .service = true}));
  auto responder = as("a");
  auto asker = as("b");
  ask(*responder, "SUB q 1\r\n");
  ask(*asker, "SUB in 7\r\nPUB q in 0\r\n\r\n");
  const std::string reply = reply_of(take(*responder));
  sim.advance(7s);
  take(*responder);
  ask(*responder, fmt::format("PUB {} 2\r\nok\r\n", reply));
  EXPECT_EQ(take(*asker).find("ok"), std::string::npos);
}

TEST_F(ImportTest, AStreamIsHeardUnderItsLocalName) {
  start(exporting({.subject = "s.>"}, {.subject = "s.>", .prefix = "from_a"}));
  auto publisher = as("a");
  auto listener = as("b");
  ask(*listener, "SUB from_a.s.* 1\r\nSUB from_a.> grp 2\r\n");
  ask(*publisher, "PUB s.x reply 1\r\n1\r\n");
  const std::string got = take(*listener);
  EXPECT_NE(got.find("MSG from_a.s.x 1 reply 1\r\n1\r\n"), std::string::npos) << got;
  EXPECT_NE(got.find("MSG from_a.s.x 2 reply 1\r\n1\r\n"), std::string::npos) << got;
  // Not the other way round.
  ask(*publisher, "SUB > 9\r\n");
  ask(*listener, "PUB from_a.s.y 0\r\n\r\nPUB s.y 0\r\n\r\n");
  EXPECT_EQ(take(*publisher), "");
}

/// What a consumer delivers goes by one subject and shows another, shorter than any reply perhaps.
TEST_F(ImportTest, DeliveriesGoByTheirRoute) {
  start({.accounts = {{.name = "A", .users = {{"a", "p"}},
                       .exports = {{.subject = "q", .service = true, .response = ResponseType::kStream},
                                   {.subject = "deliver.>"}}},
                      {.name = "B", .users = {{"b", "p"}},
                       .imports = {{.account = "A", .subject = "q", .service = true},
                                   {.account = "A", .subject = "deliver.>", .prefix = "from"}}}}});
  auto responder = as("a");
  auto asker = as("b");
  ask(*responder, "SUB q 1\r\n");
  ask(*asker, "SUB in 7\r\nSUB from.deliver.* 8\r\nPUB q in 0\r\n\r\n");
  const std::string reply = reply_of(take(*responder));
  Router& router = server->accounts().find("A")->router();
  const Message stored{.subject = "s", .reply = "$JS.ACK.x", .headers = {}, .payload = "1"};
  EXPECT_EQ(router.deliver(reply, "", stored), 1U);
  EXPECT_EQ(take(*asker), "MSG s 7 $JS.ACK.x 1\r\n1\r\n");
  EXPECT_EQ(router.deliver("deliver.d", "", stored), 1U);
  EXPECT_EQ(take(*asker), "MSG s 8 $JS.ACK.x 1\r\n1\r\n");
  EXPECT_EQ(router.deliver("_R_.none", "", stored), 0U);
}

TEST_F(ImportTest, ImportedStreamsAreNotPassedOn) {
  start({.accounts = {{.name = "A", .users = {{"a", "p"}}, .exports = {{.subject = "s"}}},
                      {.name = "B", .users = {{"b", "p"}}, .exports = {{.subject = "s"}},
                       .imports = {{.account = "A", .subject = "s"}}},
                      {.name = "C", .users = {{"c", "p"}}, .imports = {{.account = "B", .subject = "s"}}}}});
  auto a = as("a");
  auto b = as("b");
  auto c = as("c");
  ask(*b, "SUB s 1\r\n");
  ask(*c, "SUB s 1\r\n");
  ask(*a, "PUB s 0\r\n\r\n");
  EXPECT_EQ(take(*b), "MSG s 1 0\r\n\r\n");
  EXPECT_EQ(take(*c), "");
}

}  // namespace
}  // namespace sluice
