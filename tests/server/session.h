// A server in the simulated world, and clients that speak bytes.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/log.h"
#include "server/server.h"
#include "sim/sim_env.h"
#include "sim/sim_peer.h"

namespace sluice::test {

using namespace std::chrono_literals;

class ServerTest : public ::testing::Test {
 protected:
  explicit ServerTest(uint64_t seed = 1) : sim(seed) {
    configure_logging({.level = LogLevel::kOff, .file = {}});
  }

  /// Must come before anything else in a test.
  void start(ServerOptions options = {}) {
    server = std::make_unique<Server>(sim.env(), std::move(options));
    ASSERT_TRUE(server->start().has_value());
    own_subscriptions = server->subscription_count();
  }

  /// Connected, its INFO read away.
  std::unique_ptr<sim::SimPeer> connect() {
    auto peer = std::make_unique<sim::SimPeer>(sim.network(), "127.0.0.1", server->port());
    sim.run_until_idle();
    const auto info = peer->take_line();
    EXPECT_TRUE(info.has_value() && info->starts_with("INFO {"));
    last_info = info.value_or("");
    return peer;
  }

  /// Connected and past CONNECT, quiet (verbose off).
  std::unique_ptr<sim::SimPeer> client(std::string_view extra = "") {
    auto peer = connect();
    const std::string line = "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true" +
                             std::string(extra) + "}\r\n";
    EXPECT_EQ(ask(*peer, line + "PING\r\n"), "PONG\r\n");
    return peer;
  }

  /// Sends, lets the world run, and takes all that came.
  std::string ask(sim::SimPeer& peer, std::string_view bytes) {
    peer.send(bytes);
    sim.run_until_idle();
    return peer.take_received();
  }

  std::string take(sim::SimPeer& peer) {
    sim.run_until_idle();
    return peer.take_received();
  }

  sim::SimEnv sim;
  std::unique_ptr<Server> server;
  std::string last_info;
  size_t own_subscriptions = 0;  ///< of the server itself
};

}  // namespace sluice::test
