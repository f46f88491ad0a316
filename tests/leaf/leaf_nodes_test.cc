// Two and three servers linked in the simulated world: what passes, what does not, and what happens
// when a link breaks.
#include "leaf/leaf_nodes.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "base/log.h"
#include "sim/sim_env.h"
#include "sim/sim_peer.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

/// One server on its own host, with its leaf nodes.
struct Site {
  Site(sim::SimEnv& sim, const std::string& host, ServerOptions options, LeafOptions leaf)
      : env(sim.env_at(host)), network(sim.net().host(host)) {
    options.server_name = host;
    options.host = host;
    leaf.host = host;
    server = std::make_unique<Server>(env, options);
    EXPECT_TRUE(server->start().has_value());
    nodes = std::make_unique<LeafNodes>(env, *server, leaf);
    const Status begun = nodes->start();
    EXPECT_TRUE(begun.has_value()) << (begun ? "" : begun.error().detail);
  }
  Env env;
  Network& network;
  std::unique_ptr<Server> server;
  std::unique_ptr<LeafNodes> nodes;
};

class LeafTest : public ::testing::Test {
 protected:
  LeafTest() { configure_logging({.level = LogLevel::kOff, .file = {}}); }

  static LeafOptions listening() {
    LeafOptions leaf;
    leaf.listen = true;
    return leaf;
  }
  static LeafOptions dialling(const std::string& url) {
    LeafOptions leaf;
    leaf.remotes = {{.urls = {url}}};
    return leaf;
  }
  Site& site(const std::string& host, LeafOptions leaf, ServerOptions options = {}) {
    sites.push_back(std::make_unique<Site>(sim, host, std::move(options), std::move(leaf)));
    settle();
    return *sites.back();
  }
  std::unique_ptr<sim::SimPeer> client(Site& at, const std::string& extra = "") {
    auto peer = std::make_unique<sim::SimPeer>(at.network, at.server->options().host, at.server->port());
    peer->send("CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true" + extra + "}\r\nPING\r\n");
    settle();
    EXPECT_TRUE(peer->take_received().ends_with("PONG\r\n"));
    return peer;
  }
  std::string ask(sim::SimPeer& peer, const std::string& bytes) {
    peer.send(bytes);
    settle();
    return peer.take_received();
  }
  std::string take(sim::SimPeer& peer) {
    settle();
    return peer.take_received();
  }
  void settle() {
    for (int i = 0; i < 4; ++i) sim.run_until_idle();
  }

  sim::SimEnv sim{11};
  std::vector<std::unique_ptr<Site>> sites;
};

TEST_F(LeafTest, MessagesPassBothWays) {
  Site& hub = site("hub", listening());
  Site& spoke = site("spoke", dialling("nats-leaf://hub:7422"));
  ASSERT_EQ(hub.nodes->open_count(), 1u);
  ASSERT_EQ(spoke.nodes->open_count(), 1u);
  auto here = client(hub);
  auto there = client(spoke);
  ask(*here, "SUB a.* 1\r\n");
  EXPECT_EQ(ask(*there, "PUB a.b r.x 2\r\nhi\r\nPUB other 2\r\nno\r\n"), "");
  EXPECT_EQ(take(*here), "MSG a.b 1 r.x 2\r\nhi\r\n");
  ask(*there, "SUB c 7\r\n");
  ask(*here, "HPUB c 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
  EXPECT_EQ(take(*there), "HMSG c 7 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
  // Interest that ended is told, too.
  ask(*here, "UNSUB 1\r\n");
  const uint64_t sent = spoke.nodes->counters().out_msgs;
  ask(*there, "PUB a.b 2\r\nhi\r\n");
  EXPECT_EQ(spoke.nodes->counters().out_msgs, sent);
  const auto figures = hub.nodes->figures();
  ASSERT_EQ(figures.size(), 1u);
  EXPECT_EQ(figures[0].name, "spoke");
  EXPECT_FALSE(figures[0].is_spoke);
  EXPECT_TRUE(spoke.nodes->figures()[0].is_spoke);
}

TEST_F(LeafTest, AMessageGoesOverALinkOnceHoweverManyWantIt) {
  Site& hub = site("hub", listening());
  Site& spoke = site("spoke", dialling("nats-leaf://hub:7422"));
  auto one = client(hub);
  auto two = client(hub);
  ask(*one, "SUB a.> 1\r\nSUB a.* 2\r\nSUB a.b q 3\r\n");
  ask(*two, "SUB a.b 1\r\nSUB a.b q 2\r\nSUB a.b p 4\r\n");
  auto there = client(spoke);
  ask(*there, "PUB a.b 2\r\nhi\r\n");
  EXPECT_EQ(spoke.nodes->counters().out_msgs, 1u);
  const std::string first = take(*one);
  const std::string second = take(*two);
  const auto count = [](const std::string& text, const std::string& what) {
    size_t found = 0;
    for (size_t at = text.find(what); at != text.npos; at = text.find(what, at + 1)) ++found;
    return found;
  };
  EXPECT_EQ(count(first, "MSG a.b 1 2"), 1u) << first;
  EXPECT_EQ(count(first, "MSG a.b 2 2"), 1u) << first;
  EXPECT_EQ(count(second, "MSG a.b 1 2"), 1u) << second;
  EXPECT_EQ(count(second, "MSG a.b 4 2"), 1u) << second;
  EXPECT_EQ(count(first, "MSG a.b 3 2") + count(second, "MSG a.b 2 2"), 1u);
}

TEST_F(LeafTest, MembersOfAQueueHereGoBeforeThoseThere) {
  Site& hub = site("hub", listening());
  Site& spoke = site("spoke", dialling("nats-leaf://hub:7422"));
  auto far = client(hub);
  auto near = client(spoke);
  ask(*far, "SUB work q 1\r\n");
  ask(*near, "SUB work q 1\r\n");
  auto publisher = client(spoke);
  for (int i = 0; i < 10; ++i) ask(*publisher, "PUB work 1\r\nx\r\n");
  EXPECT_EQ(take(*far), "");
  EXPECT_EQ(take(*near).size(), 10 * std::string("MSG work 1 1\r\nx\r\n").size());
  ask(*near, "UNSUB 1\r\n");
  ask(*publisher, "PUB work 1\r\ny\r\n");
  EXPECT_EQ(take(*far), "MSG work 1 1\r\ny\r\n");
}

TEST_F(LeafTest, ThreeInARowAndNothingComesBack) {
  Site& top = site("top", listening());
  LeafOptions both = listening();
  both.remotes = {{.urls = {"nats-leaf://top:7422"}}};
  site("middle", both);
  Site& low = site("low", dialling("nats-leaf://middle:7422"));
  auto above = client(top);
  auto below = client(low);
  ask(*above, "SUB a 1\r\n");
  ask(*below, "SUB a 1\r\n");
  ask(*below, "PUB a 1\r\nx\r\n");
  EXPECT_EQ(take(*above), "MSG a 1 1\r\nx\r\n");
  EXPECT_EQ(take(*below), "");  // taken with the answer above: once
  ask(*above, "PUB a 1\r\ny\r\n");
  EXPECT_EQ(take(*below), "MSG a 1 1\r\ny\r\n");
}

TEST_F(LeafTest, ALoopIsCut) {
  LeafOptions both = listening();
  both.remotes = {{.urls = {"nats-leaf://two:7422"}}};
  Site& one = site("one", both);
  both.remotes = {{.urls = {"nats-leaf://one:7422"}}};
  Site& two = site("two", both);
  sim.advance(3s);
  settle();
  EXPECT_GE(one.nodes->counters().loops + two.nodes->counters().loops, 1u);
  EXPECT_LE(one.nodes->open_count(), 1u);
  sim.advance(45s);  // the first to dial again stays, the other keeps closing the loop
  settle();
  auto a = client(one);
  auto b = client(two);
  ask(*a, "SUB a 1\r\n");
  ask(*b, "PUB a 1\r\nx\r\n");
  EXPECT_EQ(take(*a), "MSG a 1 1\r\nx\r\n");
}

TEST_F(LeafTest, CredentialsAreChecked) {
  LeafOptions leaf = listening();
  leaf.user = "leaf";
  leaf.password = "secret";
  Site& hub = site("hub", leaf);
  Site& wrong = site("wrong", dialling("nats-leaf://leaf:other@hub:7422"));
  EXPECT_EQ(wrong.nodes->open_count(), 0u);
  EXPECT_EQ(hub.nodes->counters().auth_failures, 1u);
  Site& right = site("right", dialling("nats-leaf://leaf:secret@hub:7422"));
  EXPECT_EQ(right.nodes->open_count(), 1u);
}

TEST_F(LeafTest, SeveralUsersEachForItsAccount) {
  LeafOptions leaf = listening();
  leaf.users = {{"plain", "one", "A"}, {"hashed", "$2a$04$iJhYFnMNbYODsJL5HBLAm.2rJJp9VUUBznS4M1lo4sQQeWe1FwL.y", "B"}, {"global", "three", ""}};
  Site& hub = site("hub", leaf, {.accounts = {{.name = "A"}, {.name = "B"}}});
  const auto in = [&](const char* name) { return hub.server->accounts().find(name)->leaf_connections; };
  site("a", dialling("nats-leaf://plain:one@hub:7422"));
  EXPECT_EQ(in("A"), 1u);
  site("g", dialling("nats-leaf://global:three@hub:7422"));
  EXPECT_EQ(hub.server->accounts().global().leaf_connections, 1u);
  site("b", dialling("nats-leaf://hashed:two@hub:7422"));
  EXPECT_EQ(in("B"), 1u);
  for (const char* wrong : {"plain:three", "nobody:one", "global:one", "hashed:wrong", ":one"}) {
    Site& refused = site(std::string("x") + std::to_string(sites.size()), dialling(std::string("nats-leaf://") + wrong + "@hub:7422"));
    EXPECT_EQ(refused.nodes->open_count(), 0u) << wrong;
  }
  EXPECT_EQ(in("A"), 1u);
  EXPECT_EQ(in("B"), 1u);
  EXPECT_GE(hub.nodes->counters().auth_failures, 5u);
}

TEST_F(LeafTest, UsersThatCannotBeAreToldAtTheStart) {
  const auto why = [&](LeafOptions leaf) {
    leaf.listen = true;
    Server server(sim.env(), {});
    LeafNodes nodes(sim.env(), server, std::move(leaf));
    const Status begun = nodes.start();
    return begun ? "" : begun.error().detail;
  };
  EXPECT_EQ(why({.users = {{"a", "b", "NOPE"}}}), "cannot find local account \"NOPE\" specified in leafnode authorization");
  EXPECT_EQ(why({.users = {{"a", "b", ""}, {"a", "c", ""}}}), "duplicate user \"a\" detected in leafnode authorization");
  EXPECT_EQ(why({.user = "a", .password = "b", .users = {{"c", "d", ""}}}), "can not have a single user/pass and a users array");
}

TEST_F(LeafTest, AccountsStayApart) {
  ServerOptions options;
  options.accounts = {{.name = "A", .users = {{.user = "a", .password = "pa"}}},
                      {.name = "B", .users = {{.user = "b", .password = "pb"}}}};
  Site& hub = site("hub", listening(), options);
  LeafOptions leaf;
  leaf.remotes = {{.urls = {"nats-leaf://a:pa@hub:7422"}, .account = "B"}};
  Site& spoke = site("spoke", leaf, options);
  ASSERT_EQ(spoke.nodes->open_count(), 1u);
  auto hub_a = client(hub, ",\"user\":\"a\",\"pass\":\"pa\"");
  auto hub_b = client(hub, ",\"user\":\"b\",\"pass\":\"pb\"");
  ask(*hub_a, "SUB x 1\r\n");
  ask(*hub_b, "SUB x 1\r\n");
  auto spoke_b = client(spoke, ",\"user\":\"b\",\"pass\":\"pb\"");
  ask(*spoke_b, "PUB x 1\r\n1\r\n");
  EXPECT_EQ(take(*hub_a), "MSG x 1 1\r\n1\r\n");
  EXPECT_EQ(take(*hub_b), "");
  auto spoke_a = client(spoke, ",\"user\":\"a\",\"pass\":\"pa\"");
  ask(*spoke_a, "PUB x 1\r\n2\r\n");
  EXPECT_EQ(take(*hub_a), "");
}

TEST_F(LeafTest, DenyListsAndPermissions) {
  ServerOptions options;
  options.users = {{.user = "leaf",
                    .password = "secret",
                    .permissions = PermissionOptions{.publish = {.deny = {"private.>"}},
                                                     .subscribe = {.deny = {"secret.>"}}}},
                   {.user = "all", .password = "all"}};
  Site& hub = site("hub", listening(), options);
  LeafOptions leaf;
  leaf.remotes = {{.urls = {"nats-leaf://leaf:secret@hub:7422"},
                   .deny_imports = {"in.>"},
                   .deny_exports = {"out.>"}}};
  Site& spoke = site("spoke", leaf);
  ASSERT_EQ(spoke.nodes->open_count(), 1u);
  auto far = client(hub, ",\"user\":\"all\",\"pass\":\"all\"");
  auto near = client(spoke);
  ask(*far, "SUB > 1\r\n");
  ask(*near, "SUB in.a 1\r\nSUB secret.a 2\r\nSUB fine.a 3\r\n");
  take(*far);
  ask(*near, "PUB out.a 1\r\nx\r\nPUB private.a 1\r\nx\r\nPUB fine.b 1\r\nx\r\n");
  EXPECT_EQ(take(*far), "MSG fine.b 1 1\r\nx\r\n");
  ask(*far, "UNSUB 1\r\nPUB in.a 1\r\nx\r\nPUB secret.a 1\r\nx\r\nPUB fine.a 1\r\nx\r\n");
  EXPECT_EQ(take(*near), "MSG fine.a 3 1\r\nx\r\n");
}

TEST_F(LeafTest, ABrokenLinkIsDialledAgainAndInterestToldAnew) {
  Site& hub = site("hub", listening());
  Site& spoke = site("spoke", dialling("nats-leaf://hub:7422"));
  auto near = client(spoke);
  ask(*near, "SUB a 1\r\n");
  sim.net().reset("hub", "spoke");
  settle();
  EXPECT_EQ(spoke.nodes->open_count(), 0u);
  auto far = client(hub);
  ask(*far, "PUB a 1\r\nx\r\n");
  EXPECT_EQ(take(*near), "");
  sim.advance(1250ms);
  settle();
  EXPECT_EQ(spoke.nodes->open_count(), 1u);
  ask(*far, "PUB a 1\r\ny\r\n");
  EXPECT_EQ(take(*near), "MSG a 1 1\r\ny\r\n");
}

TEST_F(LeafTest, AConsumersMessageKeepsTheSubjectItWasStoredUnder) {
  Site& hub = site("hub", listening());
  Site& spoke = site("spoke", dialling("nats-leaf://hub:7422"));
  auto near = client(spoke);
  ask(*near, "SUB deliver.here 1\r\n");
  hub.server->bus().deliver("deliver.here", {},
                            {.subject = "orders.7", .reply = "$JS.ACK.S.C.1.1.1.1.0", .headers = {}, .payload = "x"});
  EXPECT_EQ(take(*near), "MSG orders.7 1 $JS.ACK.S.C.1.1.1.1.0 1\r\nx\r\n");
}

TEST_F(LeafTest, AClientOnTheLeafPortIsTold) {
  Site& hub = site("hub", listening());
  sim::SimPeer peer(hub.network, "hub", 7422);
  settle();
  EXPECT_TRUE(peer.take_received().starts_with("INFO {"));
  EXPECT_EQ(ask(peer, "CONNECT {\"lang\":\"go\"}\r\nPING\r\n"),
            "-ERR 'attempted to connect to leaf node port'\r\n");
  EXPECT_TRUE(peer.closed());
  sim::SimPeer silent(hub.network, "hub", 7422);
  settle();
  sim.advance(2s);
  settle();
  EXPECT_TRUE(silent.closed());
}

/// Servers before nats-server 2.11 say protocol 1: they get the message, but nobody may count on their trace.
TEST_F(LeafTest, ATracedMessageAndARemoteThatKnowsNoTraces) {
  Site& hub = site("hub", listening());
  const auto watcher = client(hub);
  ask(*watcher, "SUB t 1\r\n");
  const std::string block = "NATS/1.0\r\nNats-Trace-Dest: t\r\n";
  const auto publish = [&](const std::string& more) {
    const std::string headers = block + more + "\r\n";
    return ask(*watcher, fmt::format("HPUB far {} {}\r\n{}x\r\n", headers.size(), headers.size() + 1, headers));
  };
  for (const bool knows : {false, true}) {
    sim::SimPeer spoke(hub.network, "hub", 7422);
    settle();
    ask(spoke, fmt::format("CONNECT {{\"name\":\"s\",\"headers\":true,\"protocol\":{}}}\r\nLS+ far\r\n", knows ? 3 : 1));
    const std::string told = publish("");
    EXPECT_NE(told.find(R"("kind":4)"), std::string::npos) << told;
    EXPECT_NE(told.find(R"("hops":1)"), std::string::npos) << told;
    EXPECT_EQ(told.find("Message delivered but remote does not support message tracing") == std::string::npos, knows);
    EXPECT_NE(take(spoke).find("Nats-Trace-Dest: t\r\nNats-Trace-Hop: 1\r\n\r\nx"), std::string::npos);
    const std::string only = publish("Nats-Trace-Only: 1\r\n");
    EXPECT_EQ(only.find("Not delivered because remote does not support message tracing") == std::string::npos, knows);
    EXPECT_EQ(take(spoke).find("HMSG") == std::string::npos, !knows);
    // What comes over is told with the hop that it came by.
    const std::string from = block + "Nats-Trace-Hop: 4.2\r\n\r\n";
    ask(spoke, fmt::format("HMSG here {} {}\r\n{}x\r\n", from.size(), from.size() + 1, from));
    EXPECT_NE(take(*watcher).find(R"("Nats-Trace-Hop":["4.2"])"), std::string::npos);
  }
}

TEST_F(LeafTest, WhatCannotBeIsToldAtTheStart) {
  EXPECT_FALSE(check_leaf_options({.remotes = {{.urls = {}}}}).has_value());
  EXPECT_FALSE(check_leaf_options({.remotes = {{.urls = {"ws://hub"}}}}).has_value());
  EXPECT_FALSE(check_leaf_options({.remotes = {{.urls = {"hub:x"}}}}).has_value());
  EXPECT_FALSE(check_leaf_options({.remotes = {{.urls = {"hub"}, .user_seed = "SUA"}}}).has_value());
  EXPECT_FALSE(check_leaf_options({.remotes = {{.urls = {"hub"}, .deny_imports = {"a..b"}}}}).has_value());
  EXPECT_TRUE(check_leaf_options({.remotes = {{.urls = {"nats-leaf://u:p%40x@[::1]:1", "tls://hub"}}}}).has_value());
}

}  // namespace
}  // namespace sluice
