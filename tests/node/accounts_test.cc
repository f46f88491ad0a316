// JetStream of several accounts over one store.
#include "node_world.h"

namespace sluice::test {
namespace {

void two_accounts(NodeWorld& w) {
  w.options.server.accounts = {
      {.name = "A", .users = {{"a", "p"}}, .jetstream = JetStreamLimits{}},
      {.name = "B", .users = {{"b", "p"}}, .jetstream = JetStreamLimits{.max_streams = 1}},
      {.name = "C", .users = {{"c", "p"}}}};
  w.options.server.no_auth_user = "a";
}

TEST(NodeAccounts, EqualStreamNamesAreTwoStreamsAlsoAfterARestart) {
  NodeWorld w;
  two_accounts(w);
  w.start();
  {
    auto& a = w.client("a", "a", "p");
    auto& b = w.client("b", "b", "p");
    w.make_stream(a, "S", "s.>");
    w.make_stream(b, "S", "s.>");
    w.make_consumer(a, "S", "D");
    EXPECT_EQ(w.publish(a, "s.1", "from a")["seq"], 1);
    EXPECT_EQ(w.publish(a, "s.1", "from a")["seq"], 2);
    EXPECT_EQ(w.publish(b, "s.1", "from b")["seq"], 1);
    w.ack_sync(a, w.pull(a, "S", "D", 1).at(0));
    EXPECT_EQ(w.api(b, "CONSUMER.INFO.S.D")["error"]["err_code"], 10014);
  }
  w.restart(Crash::kPower);
  auto& a = w.client("a", "a", "p");
  auto& b = w.client("b", "b", "p");
  EXPECT_EQ(w.stream_state(a, "S")["messages"], 2);
  EXPECT_EQ(w.stream_state(b, "S")["messages"], 1);
  EXPECT_EQ(w.consumer_info(a, "S", "D")["ack_floor"]["stream_seq"], 1);
  EXPECT_EQ(w.api(a, "STREAM.DELETE.S")["success"], true);
  EXPECT_EQ(w.stream_state(b, "S")["messages"], 1);
}

TEST(NodeAccounts, LimitsAndAccountsWithoutJetStream) {
  NodeWorld w;
  two_accounts(w);
  w.start();
  auto& b = w.client("b", "b", "p");
  w.make_stream(b, "S", "s.>");
  EXPECT_EQ(w.api(b, "STREAM.CREATE.T", R"({"name":"T","subjects":["t"]})")["error"]["err_code"], 10027);
  EXPECT_EQ(w.api(b, "INFO")["limits"]["max_streams"], 1);
  auto& c = w.client("c", "c", "p");
  const Json refused = w.api(c, "INFO");
  EXPECT_EQ(refused["error"]["err_code"], 10039) << refused.dump();
  EXPECT_EQ(refused["type"], "io.nats.jetstream.api.v1.account_info_response");
}

TEST(NodeAccounts, StreamsOfAnAccountThatIsNotConfiguredStayAsTheyAre) {
  NodeWorld w;
  two_accounts(w);
  w.start();
  {
    auto& a = w.client("a", "a", "p");
    w.make_stream(a, "S", "s.>");
    w.make_consumer(a, "S", "D");
    for (int i = 0; i < 3; ++i) w.publish(a, "s.1", "x");
    w.ack_sync(a, w.pull(a, "S", "D", 1).at(0));
  }
  const auto accounts = w.options.server.accounts;
  w.options.server.accounts = {};
  w.options.server.no_auth_user = {};
  w.restart(Crash::kKill);
  {
    // Enough to retire the journal files in which the consumer's state stands.
    auto& g = w.client("g");
    w.make_stream(g, "G", "g");
    for (int i = 0; i < 40; ++i) w.publish(g, "g", std::string(30'000, 'x'));
    w.sim.settle();
  }
  w.options.server.accounts = accounts;
  w.options.server.no_auth_user = "a";
  w.restart(Crash::kPower);
  auto& a = w.client("a", "a", "p");
  EXPECT_EQ(w.stream_state(a, "S")["messages"], 3);
  EXPECT_EQ(w.consumer_info(a, "S", "D")["ack_floor"]["stream_seq"], 1);
}

TEST(NodeAccounts, NewLimitsHoldFromTheReloadOn) {
  NodeWorld w;
  const auto with = [&](JetStreamLimits limits) {
    w.options.server.accounts = {{.name = "A", .users = {{"a", "p"}}, .jetstream = limits}};
    return w.options.server;
  };
  with({.max_streams = 1});
  w.start();
  auto& a = w.client("a", "a", "p");
  w.make_stream(a, "S1", "s1");
  EXPECT_EQ(w.api(a, "STREAM.CREATE.S2", R"({"name":"S2","subjects":["s2"]})")["error"]["err_code"], 10027);
  const auto raised = w.node->server().reload(with({.max_streams = 2, .max_consumers = 1}));
  ASSERT_TRUE(raised.has_value()) << raised.error().detail;
  EXPECT_TRUE(raised->waiting.empty());
  w.make_stream(a, "S2", "s2");
  const Json info = w.api(a, "INFO", "");
  EXPECT_EQ(info["limits"]["max_streams"], 2);
  EXPECT_EQ(info["limits"]["max_consumers"], 1);
  EXPECT_FALSE(w.api(a, "CONSUMER.CREATE.S1.c1", R"({"stream_name":"S1","config":{"name":"c1","ack_policy":"none"}})").contains("error"));
  EXPECT_EQ(w.api(a, "CONSUMER.CREATE.S1.c2", R"({"stream_name":"S1","config":{"name":"c2","ack_policy":"none"}})")["error"]["err_code"], 10026);
  // Below what is there: that stays, nothing more comes.
  ASSERT_TRUE(w.node->server().reload(with({.max_storage = 10, .max_streams = 1})).has_value());
  EXPECT_EQ(w.api(a, "STREAM.INFO.S2", "")["config"]["name"], "S2");
  EXPECT_EQ(w.api(a, "STREAM.CREATE.S3", R"({"name":"S3","subjects":["s3"]})")["error"]["err_code"], 10027);
  EXPECT_EQ(w.publish(a, "s1", std::string(100, 'x'))["error"]["err_code"], 10002);
  // None at all needs a restart.
  w.options.server.accounts[0].jetstream.reset();
  const auto ended = w.node->server().reload(w.options.server);
  ASSERT_TRUE(ended.has_value());
  ASSERT_EQ(ended->waiting.size(), 1U);
  EXPECT_EQ(ended->waiting[0].name, "accounts.jetstream");
}

/// A batch that is given up is told in its account and, with the account's name, in the system account: one event.
TEST(NodeAccounts, AGivenUpBatchIsToldInTheSystemAccountToo) {
  NodeWorld w;
  w.options.server.accounts = {{.name = "A", .users = {{"a", "p"}}, .jetstream = JetStreamLimits{}},
                               {.name = "SYS", .users = {{"s", "p"}}}};
  w.options.server.system_account = "SYS";
  w.start();
  auto& a = w.client("a", "a", "p");
  auto& system = w.client("s", "s", "p");
  const std::string subject = "$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.S";
  system.subscribe(subject);
  w.make_stream(a, "S", "s", R"(,"allow_atomic":true)");
  const auto give_up = [&] {
    for (const char* seq : {"1", "3"})
      a.publish("s", "x", "", fmt::format("NATS/1.0\r\nNats-Batch-Id: u\r\nNats-Batch-Sequence: {}\r\n\r\n", seq));
    w.sim.settle();
  };
  give_up();
  auto told = system.take(subject);
  ASSERT_EQ(told.size(), 1u);
  Json in_system = Json::parse(told[0].payload);
  EXPECT_EQ(in_system["account"], "A");
  EXPECT_EQ(in_system["reason"], "incomplete");

  a.subscribe(subject);
  give_up();
  told = system.take(subject);
  const auto own = a.take(subject);
  ASSERT_EQ(told.size(), 1u);
  ASSERT_EQ(own.size(), 1u);
  in_system = Json::parse(told[0].payload);
  const Json in_account = Json::parse(own[0].payload);
  EXPECT_FALSE(in_account.contains("account"));
  EXPECT_EQ(in_account["batch"], "u");
  in_system.erase("account");
  EXPECT_EQ(in_system, in_account);
}

}  // namespace
}  // namespace sluice::test
