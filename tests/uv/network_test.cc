#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "uv/env.h"
#include "uv/transport.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

struct Peer final : TransportHandler {
  std::unique_ptr<Transport> transport;
  std::string got;
  std::optional<Error> closed;
  int drained = 0;
  std::function<void()> then;

  void on_bytes(std::string_view bytes) override {
    volatile char beyond = bytes.data()[bytes.size() + 63];  // the padding may be read
    (void)beyond;
    got += bytes;
    if (then) then();
  }
  void on_drained() override { ++drained; }
  void on_closed(const Error& why) override { closed = why; }
};

class NetworkTest : public testing::Test {
 protected:
  void SetUp() override {
    auto listening =
        env.network.listen("127.0.0.1", 0, [this](std::unique_ptr<Transport> accepted) {
          server.transport = std::move(accepted);
          server.transport->start(server);
        });
    ASSERT_TRUE(listening) << listening.error().detail;
    listener = std::move(*listening);
    ASSERT_NE(listener->port(), 0);
  }
  void connect() {
    Ticket ticket = env.network.connect("localhost", listener->port(), [this](auto result) {
      ASSERT_TRUE(result) << result.error().detail;
      client.transport = std::move(*result);
      client.transport->start(client);
    });
    ASSERT_TRUE(until([&] { return client.transport && server.transport; }));
  }
  bool until(const std::function<bool()>& done) { return world.loop().run_until(done, 10s); }
  static void send(Peer& from, std::string bytes) { from.transport->write(bytes); }

  UvEnv world;
  Env& env = world.env();
  std::unique_ptr<Listener> listener;
  Peer server;
  Peer client;
};

TEST_F(NetworkTest, BytesGoBothWays) {
  connect();
  send(client, "ping");
  ASSERT_TRUE(until([&] { return server.got == "ping"; }));
  std::string reply = "pong";
  reply.reserve(4096);
  server.transport->write(reply);
  EXPECT_TRUE(reply.empty());
  EXPECT_GE(reply.capacity(), 4096u);  // nothing had to be queued
  ASSERT_TRUE(until([&] { return client.got == "pong"; }));
  EXPECT_EQ(client.transport->peer_address(), "127.0.0.1:" + std::to_string(listener->port()));
}

TEST_F(NetworkTest, QueuesWhatTheKernelDoesNotTakeAndDrainsInOrder) {
  connect();
  server.transport->pause_reading();
  std::string all;
  for (int i = 0; i < 40; ++i) {
    std::string part(1 << 20, static_cast<char>('a' + i % 26));
    part[0] = static_cast<char>('A' + i % 26);
    all += part;
    client.transport->write(part);
    EXPECT_TRUE(part.empty());
  }
  EXPECT_GT(client.transport->queued_bytes(), 0u);
  EXPECT_TRUE(server.got.empty());
  server.transport->resume_reading();
  ASSERT_TRUE(until([&] { return server.got.size() == all.size(); }));
  EXPECT_TRUE(server.got == all);
  EXPECT_TRUE(until([&] { return client.drained == 1; }));
  EXPECT_EQ(client.transport->queued_bytes(), 0u);
}

/// Who sends as fast as it can is read in turns, so that others are heard between them.
TEST_F(NetworkTest, OneConnectionHoldsTheLoopForOneTurnOnly) {
  connect();
  server.transport->pause_reading();
  const size_t all = 4 << 20;
  send(client, std::string(all, 'x'));  // the kernel has what it takes at once
  uint64_t round = 0;
  size_t in_round = 0, most = 0, seen = 0;
  server.then = [&] {
    if (std::exchange(round, world.loop().lag().rounds) != world.loop().lag().rounds) in_round = 0;
    in_round += server.got.size() - std::exchange(seen, server.got.size());
    most = std::max(most, in_round);
  };
  server.transport->resume_reading();
  ASSERT_TRUE(until([&] { return server.got.size() == all; }));
  EXPECT_GT(most, size_t{64} << 10);
  EXPECT_LE(most, kTurn_bytes);
}

TEST_F(NetworkTest, PeerIsToldOnceOfTheEnd) {
  connect();
  client.transport->close(false);
  ASSERT_TRUE(until([&] { return server.closed.has_value(); }));
  EXPECT_EQ(server.closed->code, Errc::kClosed);
  EXPECT_FALSE(client.closed.has_value());
  send(server, "into nothing");
  client.transport.reset();
}

TEST_F(NetworkTest, CloseWithFlushDeliversEverythingThoughDestroyed) {
  connect();
  client.transport->pause_reading();
  std::string big(8 << 20, 'x');
  server.transport->write(big);
  send(server, "-ERR 'last words'\r\n");
  send(client, "unread by the server: must not turn the end into a reset");
  server.transport->close(true);
  server.transport.reset();
  client.transport->resume_reading();
  ASSERT_TRUE(until([&] { return client.closed.has_value(); }));
  EXPECT_EQ(client.got.size(), (8u << 20) + 19u);
  EXPECT_TRUE(client.got.ends_with("-ERR 'last words'\r\n"));
  EXPECT_EQ(client.closed->code, Errc::kClosed);
}

TEST_F(NetworkTest, LoopClosesThoughSomethingStillFlushes) {
  connect();
  client.transport->pause_reading();
  std::string big(8 << 20, 'x');
  server.transport->write(big);
  server.transport->close(true);
}

TEST_F(NetworkTest, HandlerMayDestroyItsTransport) {
  connect();
  server.then = [&] { server.transport.reset(); };
  send(client, "bye");
  ASSERT_TRUE(until([&] { return client.closed.has_value(); }));
}

TEST_F(NetworkTest, BrokenPipeIsToldLaterNotInsideWrite) {
  connect();
  server.transport->pause_reading();
  client.transport.reset();
  bool inside = false;
  ASSERT_TRUE(until([&] {
    if (server.closed.has_value()) return true;
    inside = true;
    send(server, "x");
    EXPECT_FALSE(server.closed.has_value());
    inside = false;
    return false;
  }));
  EXPECT_FALSE(inside);
}

TEST_F(NetworkTest, ConnectFailsLaterWithTheAddressInWords) {
  uint16_t port = listener->port();
  listener.reset();
  std::optional<Error> why;
  bool returned = false;
  Ticket ticket = env.network.connect("127.0.0.1", port, [&](auto result) {
    EXPECT_TRUE(returned);
    ASSERT_FALSE(result);
    why = result.error();
  });
  returned = true;
  ASSERT_TRUE(until([&] { return why.has_value(); }));
  EXPECT_NE(why->detail.find("127.0.0.1:" + std::to_string(port)), std::string::npos);
}

TEST_F(NetworkTest, UnknownHostFails) {
  std::optional<Error> why;
  Ticket ticket =
      env.network.connect("no such host", 1, [&](auto result) { why = result.error(); });
  EXPECT_TRUE(until([&] { return why.has_value(); }));
}

TEST_F(NetworkTest, DroppedTicketCancels) {
  bool called = false;
  {
    Ticket ticket =
        env.network.connect("127.0.0.1", listener->port(), [&](auto) { called = true; });
  }
  {
    Ticket ticket =
        env.network.connect("127.0.0.1", listener->port(), [&](auto) { called = true; });
    world.loop().run_until([rounds = 0]() mutable { return ++rounds > 3; }, 1s);
    called = false;
  }
  int rounds = 0;
  world.loop().run_until([&] { return ++rounds > 10 || called; }, 50ms);
  EXPECT_FALSE(called);
}

TEST_F(NetworkTest, PortInUseIsAnErrorInWords) {
  auto second = env.network.listen("127.0.0.1", listener->port(), [](auto) {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::kIo);
  EXPECT_NE(second.error().detail.find("in use"), std::string::npos);
}

TEST_F(NetworkTest, ListenerMayBeDestroyedByItsCallback) {
  auto port = listener->port();
  auto other =
      env.network.listen("127.0.0.1", 0, [&](std::unique_ptr<Transport>) { listener.reset(); });
  ASSERT_TRUE(other);
  listener = std::move(*other);
  port = listener->port();
  Ticket ticket = env.network.connect("127.0.0.1", port, [](auto) {});
  EXPECT_TRUE(until([&] { return listener == nullptr; }));
}

TEST_F(NetworkTest, WaitsWhenDescriptorsRunOutAndRecovers) {
  // The client's socket exists before the limit falls; accepting needs one more.
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_GE(fd, 0);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  int probe = ::dup(fd);
  ::close(probe);
  rlimit low = before;
  low.rlim_cur = static_cast<rlim_t>(probe);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(listener->port());
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  EXPECT_FALSE(world.loop().run_until([&] { return server.transport != nullptr; }, 30ms));
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(until([&] { return server.transport != nullptr; }));
  ::close(fd);
}

TEST_F(NetworkTest, ACrowdLeavesDescriptorsForFiles) {
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_GE(fd, 0);
  std::vector<int> crowd;
  while (crowd.size() < 64) crowd.push_back(::dup(fd));
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit low = before;
  low.rlim_cur = static_cast<rlim_t>(crowd.back()) + 5;  // four are free, and an eighth is kept
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(listener->port());
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  char byte = 0;
  EXPECT_TRUE(until([&] { return ::recv(fd, &byte, 1, MSG_DONTWAIT) == 0 || errno == ECONNRESET; })) << "turned away at once";
  EXPECT_EQ(server.transport, nullptr);
  int file = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  EXPECT_GE(file, 0) << "a file can still be opened";
  ::close(file);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  for (int one : crowd) ::close(one);
  ::close(fd);
  Ticket ticket = env.network.connect("127.0.0.1", listener->port(), [](auto) {});
  EXPECT_TRUE(until([&] { return server.transport != nullptr; }));
}

}  // namespace
}  // namespace sluice
