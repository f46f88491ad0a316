// The client port with TLS, in the simulated world: what INFO says, who gets in, how it ends.
#include <gtest/gtest.h>

#include "crypto/tls_transport.h"
#include "session.h"
#include "test_paths.h"

namespace sluice::test {
namespace {

std::string file(const std::string& name) { return SLUICE_FIXTURES "/tls/" + name; }

/// A client's end of a TLS session.
class TlsPeerEnd : public TransportHandler {
 public:
  TlsPeerEnd(sim::SimEnv& sim, uint16_t port, const std::string& certificate = "")
      : certificate_(certificate) {
    connecting_ = sim.network().connect("127.0.0.1", port, [this](auto got) {
      transport_ = make_upgradable(std::move(*got));
      transport_->start(*this);
    });
  }
  void begin_tls() {
    TlsClientOptions options{.ca_file = file("ca.pem")};
    if (!certificate_.empty()) {
      options.cert_file = file(certificate_ + ".pem");
      options.key_file = file(certificate_ + "-key.pem");
    }
    transport_->begin_tls(*make_tls_client_context(options), "localhost");
  }
  void send(std::string bytes) { transport_->write(bytes); }
  std::string take() { return std::exchange(received, {}); }
  void on_bytes(std::string_view bytes) override { received += bytes; }
  void on_drained() override {}
  void on_closed(const Error&) override { closed = true; }

  std::string received;
  bool closed = false;

 private:
  std::string certificate_;
  Ticket connecting_;
  std::unique_ptr<UpgradableTransport> transport_;
};

class ServerTlsTest : public ServerTest {
 protected:
  static ServerOptions with_tls() {
    ServerOptions options;
    options.tls.certificates = {{file("server.pem"), file("server-key.pem")}};
    return options;
  }
  std::unique_ptr<TlsPeerEnd> secure(const std::string& certificate = "") {
    auto peer = std::make_unique<TlsPeerEnd>(sim, server->port(), certificate);
    sim.run_until_idle();
    info = peer->take();
    if (!peer->closed) peer->begin_tls();
    sim.run_until_idle();
    return peer;
  }
  std::string ask(TlsPeerEnd& peer, const std::string& bytes) {
    peer.send(bytes);
    sim.run_until_idle();
    return peer.take();
  }
  std::string info;
};

constexpr const char* kHello = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n";

TEST_F(ServerTlsTest, ASessionInsideTls) {
  start(with_tls());
  auto peer = secure();
  EXPECT_NE(info.find("\"tls_required\":true"), info.npos);
  EXPECT_EQ(info.find("tls_available"), info.npos);
  EXPECT_EQ(ask(*peer, kHello), "PONG\r\n");
  EXPECT_EQ(ask(*peer, "SUB a 1\r\nPUB a 2\r\nhi\r\n"), "MSG a 1 2\r\nhi\r\n");
  ASSERT_EQ(server->connections().size(), 1u);
  EXPECT_EQ(server->connections()[0].tls_version, "1.3");
  EXPECT_EQ(server->connections()[0].tls_cipher_suite, "TLS_AES_256_GCM_SHA384");
}

TEST_F(ServerTlsTest, APlainClientIsCutWithoutAWord) {
  start(with_tls());
  auto peer = connect();
  EXPECT_EQ(ServerTest::ask(*peer, kHello), "");
  EXPECT_TRUE(peer->closed());
  ASSERT_EQ(server->closed_connections().size(), 1u);
  EXPECT_EQ(to_string(*server->closed_connections()[0].reason), "TLS Handshake Failure");
  EXPECT_EQ(server->counters().tls_handshake_failures, 1u);
}

TEST_F(ServerTlsTest, TheAuthenticationTimerBeginsBehindTheHandshake) {
  ServerOptions options = with_tls();
  options.user = "ada";
  options.password = "secret";
  options.tls.timeout = 10s;
  options.auth_timeout = 1s;
  start(options);
  TlsPeerEnd peer(sim, server->port());
  sim.run_until_idle();
  sim.advance(9s);
  EXPECT_FALSE(peer.closed);
  peer.begin_tls();
  sim.run_until_idle();
  peer.take();
  sim.advance(999ms);
  EXPECT_FALSE(peer.closed);
  sim.advance(1ms);
  sim.run_until_idle();
  EXPECT_EQ(peer.take(), "-ERR 'Authentication Timeout'\r\n");
  EXPECT_TRUE(peer.closed);
}

TEST_F(ServerTlsTest, WithAllowNonTlsBothKindsAreServed) {
  ServerOptions options = with_tls();
  options.allow_non_tls = true;
  start(options);
  auto plain = connect();
  EXPECT_NE(last_info.find("\"tls_available\":true"), last_info.npos);
  EXPECT_EQ(last_info.find("tls_required"), last_info.npos);
  EXPECT_EQ(ServerTest::ask(*plain, kHello), "PONG\r\n");
  auto peer = secure();
  EXPECT_EQ(ask(*peer, kHello), "PONG\r\n");
}

TEST_F(ServerTlsTest, ACertificateIsAUser) {
  ServerOptions options = with_tls();
  options.tls.ca_file = file("ca.pem");
  options.tls.verify_and_map = true;
  options.users = {{.user = "ada@example.org"}, {.user = "O=Sluice, CN=grace, OU=Tests"}};
  start(options);
  auto ada = secure("client");
  EXPECT_NE(info.find("\"tls_verify\":true"), info.npos);
  EXPECT_EQ(ask(*ada, kHello), "PONG\r\n");
  auto grace = secure("client-subject");
  // What CONNECT says of a user does not count.
  EXPECT_EQ(ask(*grace, "CONNECT {\"verbose\":false,\"user\":\"ada@example.org\"}\r\nPING\r\n"),
            "PONG\r\n");
  ASSERT_EQ(server->connections().size(), 2u);
  EXPECT_EQ(server->connections()[0].user, "ada@example.org");
  EXPECT_EQ(server->connections()[1].user, "O=Sluice, CN=grace, OU=Tests");
}

TEST_F(ServerTlsTest, ACertificateThatNamesNobodyIsRefused) {
  ServerOptions options = with_tls();
  options.tls.ca_file = file("ca.pem");
  options.tls.verify_and_map = true;
  options.users = {{.user = "somebody"}};
  start(options);
  auto peer = secure("client");
  EXPECT_EQ(ask(*peer, kHello), "-ERR 'Authorization Violation'\r\n");
  EXPECT_TRUE(peer->closed);
}

TEST_F(ServerTlsTest, TooManyHandshakesInASecondAreThrottled) {
  ServerOptions options = with_tls();
  options.tls.connection_rate_limit = 1;
  start(options);
  auto first = secure();
  EXPECT_EQ(ask(*first, kHello), "PONG\r\n");
  auto second = secure();
  EXPECT_TRUE(second->closed);
  EXPECT_EQ(server->counters().throttled_connections, 1u);
}

TEST_F(ServerTlsTest, NewFilesServeNewClients) {
  start(with_tls());
  auto old = secure();
  EXPECT_EQ(ask(*old, kHello), "PONG\r\n");
  ServerOptions fresh = with_tls();
  fresh.tls.certificates = {{file("no-such.pem"), file("no-such-key.pem")}};
  EXPECT_FALSE(server->reload_tls(fresh.tls, false).has_value());
  fresh.tls.certificates = {{file("server-two.pem"), file("server-two-key.pem")}};
  EXPECT_TRUE(server->reload_tls(fresh.tls, false).has_value());
  auto young = secure();
  EXPECT_EQ(ask(*young, kHello), "PONG\r\n");
  EXPECT_EQ(ask(*old, "PING\r\n"), "PONG\r\n");
}

}  // namespace
}  // namespace sluice::test
