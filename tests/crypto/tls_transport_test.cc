// Both sides of TLS over the simulated network: the greeting in clear, the handshake first, peers
// that stay in clear, certificates that do not fit, rotation, and time.
#include "crypto/tls_transport.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <random>
#include <memory>
#include <optional>
#include <string>

#include "crypto/distinguished_name.h"
#include "crypto/tls_acceptor.h"
#include "sim/sim_env.h"
#include "sim/sim_peer.h"
#include "test_paths.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

std::string file(const std::string& name) { return std::string(SLUICE_FIXTURES) + "/tls/" + name; }

TlsListenerOptions listener(const std::string& name = "server") {
  TlsListenerOptions options;
  options.certificates = {{file(name + ".pem"), file(name + "-key.pem")}};
  return options;
}

/// One end of a stream: keeps what happens.
class End : public TransportHandler {
 public:
  explicit End(std::unique_ptr<Transport> transport) : transport_(std::move(transport)) {}
  void start() { transport_->start(*this); }
  void send(std::string bytes) { transport_->write(bytes); }
  Transport& transport() { return *transport_; }
  void on_bytes(std::string_view bytes) override { received += bytes; }
  void on_drained() override {}
  void on_established() override { ++established; }
  void on_closed(const Error& why) override { closed = why; }

  std::string received;
  int established = 0;
  std::optional<Error> closed;

 private:
  std::unique_ptr<Transport> transport_;
};

class TlsTest : public ::testing::Test {
 protected:
  /// A server's end with that policy, and a client's end that may begin TLS.
  void connect(const TlsListenerOptions& options, bool optional = false) {
    const Status loaded = acceptor_.load(options, optional);
    ASSERT_TRUE(loaded.has_value()) << loaded.error().detail;
    pair();
  }
  void pair() {
    auto [near, far] = sim.net().make_pair();
    server = std::make_unique<End>(acceptor_.wrap(std::move(near)));
    auto upgradable = make_upgradable(std::move(far));
    upgradable_ = upgradable.get();
    client = std::make_unique<End>(std::move(upgradable));
    server->start();
    client->start();
  }
  void begin(const TlsClientOptions& options, const std::string& name = "localhost") {
    auto context = make_tls_client_context(options);
    ASSERT_TRUE(context.has_value()) << context.error().detail;
    upgradable_->begin_tls(*context, name);
  }
  static TlsClientOptions trusting(const std::string& certificate = "") {
    TlsClientOptions options{.ca_file = file("ca.pem")};
    if (!certificate.empty()) {
      options.cert_file = file(certificate + ".pem");
      options.key_file = file(certificate + "-key.pem");
    }
    return options;
  }

  sim::SimEnv sim{7};
  HandshakeGate gate_{sim.env().executor};
  TlsAcceptor acceptor_{sim.clock(), sim.env().timers, gate_};
  std::unique_ptr<End> server;
  std::unique_ptr<End> client;
  UpgradableTransport* upgradable_ = nullptr;
};

TEST_F(TlsTest, GreetsInClearThenSpeaksTls) {
  connect(listener());
  EXPECT_FALSE(server->transport().established());
  server->send("INFO {}\r\n");
  sim.run_until_idle();
  EXPECT_EQ(client->received, "INFO {}\r\n");
  begin(trusting());
  client->send("CONNECT {}\r\n");  // waits for the handshake
  server->send("-ERR\r\n");        // so does this
  sim.run_until_idle();
  EXPECT_EQ(server->established, 1);
  EXPECT_EQ(server->received, "CONNECT {}\r\n");
  EXPECT_EQ(client->received, "INFO {}\r\n-ERR\r\n");
  ASSERT_NE(server->transport().tls(), nullptr);
  EXPECT_EQ(server->transport().tls()->version, "1.3");
  EXPECT_FALSE(server->transport().tls()->certificate);
}

TEST_F(TlsTest, LargeMessagesPassWholeInBothDirections) {
  connect(listener());
  server->send("INFO\r\n");
  sim.run_until_idle();
  client->received.clear();
  begin(trusting());
  std::string text;
  for (int i = 0; i < 300'000; ++i) text += static_cast<char>('a' + i % 23);
  client->send(text);
  server->send(text);
  sim.settle();
  EXPECT_TRUE(server->received == text);
  EXPECT_TRUE(client->received == text);
}

TEST_F(TlsTest, HandshakeFirstGreetsInsideTls) {
  TlsListenerOptions options = listener("server-rsa");
  options.handshake_first = true;
  connect(options);
  server->send("INFO {}\r\n");
  sim.run_until_idle();
  EXPECT_EQ(client->received, "");
  begin(trusting());
  sim.run_until_idle();
  EXPECT_EQ(client->received, "INFO {}\r\n");
  EXPECT_EQ(server->established, 1);
}

TEST_F(TlsTest, HandshakeFirstFallsBackToAGreetingInClear) {
  TlsListenerOptions options = listener();
  options.handshake_first = true;
  options.first_fallback = 50ms;
  connect(options);
  server->send("INFO {}\r\n");
  sim.advance(49ms);
  EXPECT_EQ(client->received, "");
  sim.advance(1ms);
  sim.run_until_idle();
  EXPECT_EQ(client->received, "INFO {}\r\n");
  begin(trusting());
  client->send("PING\r\n");
  sim.run_until_idle();
  EXPECT_EQ(server->received, "PING\r\n");
}

TEST_F(TlsTest, APeerThatSaysNothingIsCutAtTheTimeout) {
  for (const bool first : {false, true}) {
    TlsListenerOptions options = listener();
    options.handshake_first = first;
    options.timeout = 500ms;
    connect(options);
    server->send("INFO {}\r\n");
    sim.advance(499ms);
    EXPECT_FALSE(server->closed.has_value());
    sim.advance(1ms);
    sim.run_until_idle();
    ASSERT_TRUE(server->closed.has_value());
    EXPECT_EQ(server->closed->code, Errc::kTimeout);
    EXPECT_TRUE(client->closed.has_value());
    EXPECT_EQ(client->received, first ? "" : "INFO {}\r\n");
  }
}

TEST_F(TlsTest, PlainBytesWhereTlsIsRequiredEndTheStreamWithoutAWord) {
  connect(listener());
  server->send("INFO {}\r\n");
  sim.run_until_idle();
  client->received.clear();
  client->send("CONNECT {}\r\nPING\r\n");
  sim.run_until_idle();
  ASSERT_TRUE(server->closed.has_value());
  EXPECT_EQ(server->closed->code, Errc::kDenied);
  EXPECT_EQ(server->received, "");
  EXPECT_EQ(client->received, "");
  EXPECT_TRUE(client->closed.has_value());
}

TEST_F(TlsTest, WhereTlsIsOptionalTheFirstByteDecides) {
  connect(listener(), true);
  server->send("INFO {}\r\n");
  sim.run_until_idle();
  client->send("CONNECT {}\r\n");
  sim.run_until_idle();
  EXPECT_EQ(server->received, "CONNECT {}\r\n");
  EXPECT_EQ(server->established, 1);
  EXPECT_EQ(server->transport().tls(), nullptr);
  server->send("PONG\r\n");
  sim.run_until_idle();
  EXPECT_EQ(client->received, "INFO {}\r\nPONG\r\n");

  pair();
  server->send("INFO {}\r\n");
  sim.run_until_idle();
  begin(trusting());
  client->send("CONNECT {}\r\n");
  sim.run_until_idle();
  EXPECT_EQ(server->received, "CONNECT {}\r\n");
  EXPECT_NE(server->transport().tls(), nullptr);
}

TEST_F(TlsTest, WhereTlsIsOptionalASilentPeerIsTakenAsPlainAtTheTimeout) {
  connect(listener(), true);
  server->send("INFO {}\r\n");
  sim.advance(2s);
  sim.run_until_idle();
  EXPECT_EQ(server->established, 1);
  client->send("PING\r\n");
  sim.run_until_idle();
  EXPECT_EQ(server->received, "PING\r\n");
}

TEST_F(TlsTest, ClientCertificatesAreDemandedVerifiedAndRead) {
  TlsListenerOptions options = listener();
  options.ca_file = file("ca.pem");
  options.verify = true;
  for (const std::string shown : {"client", "stranger", ""}) {
    connect(options);
    server->send("INFO {}\r\n");
    sim.run_until_idle();
    begin(trusting(shown));
    client->send("CONNECT {}\r\n");
    sim.run_until_idle();
    if (shown != "client") {
      ASSERT_TRUE(server->closed.has_value()) << shown;
      EXPECT_EQ(server->closed->code, Errc::kDenied);
      EXPECT_EQ(server->received, "");
      EXPECT_TRUE(client->closed.has_value());
      continue;
    }
    EXPECT_EQ(server->received, "CONNECT {}\r\n");
    const TlsPeer& peer = *server->transport().tls();
    EXPECT_TRUE(peer.certificate);
    EXPECT_EQ(peer.subject, "CN=probe,OU=Tests,O=Sluice");
    EXPECT_EQ(peer.emails, std::vector<std::string>{"ada@example.org"});
    EXPECT_EQ(peer.dns_names, std::vector<std::string>{"ada.example.org"});
    EXPECT_EQ(peer.public_key_sha256.size(), 64u);
    EXPECT_EQ(peer.certificate_sha256.size(), 64u);
  }
}

TEST_F(TlsTest, OnlyPinnedCertificatesComeIn) {
  TlsListenerOptions options = listener();
  options.ca_file = file("ca.pem");
  options.verify = true;
  connect(options);
  server->send("INFO {}\r\n");
  sim.run_until_idle();
  begin(trusting("client"));
  sim.run_until_idle();
  ASSERT_NE(server->transport().tls(), nullptr);
  const std::string pin = server->transport().tls()->public_key_sha256;
  for (const std::string& allowed : {pin, std::string(64, '0')}) {
    options.pinned_certs = {allowed};
    connect(options);
    server->send("INFO {}\r\n");
    sim.run_until_idle();
    begin(trusting("client"));
    sim.run_until_idle();
    EXPECT_EQ(server->established, allowed == pin ? 1 : 0);
    EXPECT_EQ(server->closed.has_value(), allowed != pin);
  }
}

TEST_F(TlsTest, AClientRefusesACertificateOfAnotherAuthorityOrName) {
  connect(listener());
  server->send("INFO {}\r\n");
  sim.run_until_idle();
  begin({.ca_file = file("other-ca.pem")});
  sim.run_until_idle();
  ASSERT_TRUE(client->closed.has_value());
  EXPECT_TRUE(server->closed.has_value());

  pair();
  server->send("INFO {}\r\n");
  sim.run_until_idle();
  begin(trusting(), "elsewhere.example.org");
  sim.run_until_idle();
  EXPECT_TRUE(client->closed.has_value());
}

TEST_F(TlsTest, NewCertificatesServeNewStreamsAndOldOnesLiveOn) {
  connect(listener());
  server->send("INFO {}\r\n");
  sim.run_until_idle();
  begin(trusting());
  sim.run_until_idle();
  auto old_server = std::move(server);
  auto old_client = std::move(client);
  connect(listener("server-two"));
  server->send("INFO {}\r\n");
  sim.run_until_idle();
  begin(trusting());
  sim.run_until_idle();
  EXPECT_EQ(server->established, 1);
  old_client->send("still here");
  sim.run_until_idle();
  EXPECT_EQ(old_server->received, "still here");

  // A file that can't be used changes nothing.
  EXPECT_FALSE(acceptor_.load(listener("no-such"), false).has_value());
  pair();
  server->send("INFO {}\r\n");
  sim.run_until_idle();
  begin(trusting());
  sim.run_until_idle();
  EXPECT_EQ(server->established, 1);
}

TEST_F(TlsTest, ARoundPaysForSoManyStepsOnly) {
  int done = 0;
  for (size_t i = 0; i < 3 * HandshakeGate::kStepsInARound; ++i) gate_.run([&done] { ++done; });
  EXPECT_EQ(done, static_cast<int>(HandshakeGate::kStepsInARound));
  EXPECT_EQ(gate_.delayed(), 2 * HandshakeGate::kStepsInARound);
  for (int rounds = 2; rounds <= 4 && done < 24; ++rounds) {
    const int before = done;
    sim.run_round();
    EXPECT_LE(done - before, static_cast<int>(HandshakeGate::kStepsInARound));
  }
  sim.run_until_idle();
  EXPECT_EQ(done, 24);
}

TEST_F(TlsTest, ACrowdOfHandshakesAllSucceed) {
  connect(listener());
  std::vector<std::unique_ptr<End>> servers;
  std::vector<std::unique_ptr<End>> clients;
  std::vector<UpgradableTransport*> transports;
  for (int i = 0; i < 40; ++i) {
    pair();
    server->send("INFO {}\r\n");
    transports.push_back(upgradable_);
    servers.push_back(std::move(server));
    clients.push_back(std::move(client));
  }
  sim.run_until_idle();
  const auto context = make_tls_client_context(trusting());
  for (UpgradableTransport* each : transports) each->begin_tls(*context, "localhost");
  sim.run_until_idle();
  for (const auto& each : servers) EXPECT_EQ(each->established, 1);
  // One goes while it waits for its turn: nothing is called on it any more.
  pair();
  server->send("INFO {}\r\n");
  sim.run_until_idle();
  begin(trusting());
  server.reset();
  sim.run_until_idle();
}

TEST_F(TlsTest, GarbageInsteadOfAHandshakeEndsTheStream) {
  connect(listener());
  server->send("INFO {}\r\n");
  sim.run_until_idle();
  client->send(std::string("\x16\x03\x01\x40\x00", 5) + std::string(20'000, 'x'));
  sim.run_until_idle();
  ASSERT_TRUE(server->closed.has_value());
  EXPECT_EQ(server->closed->code, Errc::kDenied);
}

TEST_F(TlsTest, TheRateOfHandshakesIsBounded) {
  TlsListenerOptions options = listener();
  options.connection_rate_limit = 2;
  ASSERT_TRUE(acceptor_.load(options, false).has_value());
  EXPECT_TRUE(acceptor_.admit());
  EXPECT_TRUE(acceptor_.admit());
  EXPECT_FALSE(acceptor_.admit());
  sim.advance(1s);
  EXPECT_TRUE(acceptor_.admit());
}

TEST(TlsContext, TellsWhatCannotBeUsed) {
  const auto error = [](const TlsServerOptions& options) {
    auto made = make_tls_server_context(options);
    return made ? std::string("fine") : made.error().detail;
  };
  TlsServerOptions options = listener();
  EXPECT_EQ(error(options), "fine");
  options.cipher_suites = {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
                           "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", "TLS_AES_128_GCM_SHA256"};
  options.curve_preferences = {"CurveP256", "X25519"};
  EXPECT_EQ(error(options), "fine");
  options.cipher_suites = {"TLS_NONE"};
  EXPECT_EQ(error(options), "unrecognized cipher TLS_NONE");
  options.cipher_suites = {"TLS_RSA_WITH_AES_128_GCM_SHA256"};
  EXPECT_TRUE(error(options).starts_with("insecure cipher suites configured without"));
  options.allow_insecure_cipher_suites = true;
  EXPECT_EQ(error(options), "fine");
  options.cipher_suites.clear();
  options.curve_preferences = {"CurveP123"};
  EXPECT_EQ(error(options), "unrecognized curve preference CurveP123");
  options = listener();
  options.certificates[0].key_file = file("client-key.pem");
  EXPECT_TRUE(error(options).starts_with(file("client-key.pem") + ": ")) << error(options);
  EXPECT_TRUE(error(TlsServerOptions{}).starts_with("TLS needs a certificate"));
}

TEST(TlsContext, RefusesKeysThatEverybodyCanReadWhenAskedTo) {
  const auto folder = std::filesystem::temp_directory_path() /
                      ("sluice-tls-" + std::to_string(std::random_device{}()));
  std::filesystem::create_directory(folder);
  const auto key = folder / "key.pem";
  std::filesystem::copy_file(file("server-key.pem"), key);
  TlsServerOptions options;
  options.certificates = {{file("server.pem"), key.string()}};
  options.private_keys_only = true;
  using std::filesystem::perms;
  std::filesystem::permissions(key, perms::owner_read | perms::group_read | perms::others_read);
  auto made = make_tls_server_context(options);
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().code, Errc::kDenied);
  std::filesystem::permissions(key, perms::owner_read | perms::group_read);
  made = make_tls_server_context(options);
  ASSERT_TRUE(made.has_value());
  EXPECT_GT((*made)->not_after(), 2'000'000'000'000'000'000);
  std::filesystem::remove_all(folder);
}

TEST(DistinguishedName, ComparesComponentsInAnyOrder) {
  EXPECT_TRUE(same_distinguished_name("CN=a,OU=b,O=c", "O=c, CN=a, ou=b"));
  EXPECT_TRUE(same_distinguished_name("CN=a\\,b,O=c", "O=c,CN=a\\,b"));
  EXPECT_FALSE(same_distinguished_name("CN=a,O=c", "CN=a"));
  EXPECT_FALSE(same_distinguished_name("CN=a", "CN=A"));
  EXPECT_FALSE(same_distinguished_name("ada", "ada"));
  EXPECT_FALSE(same_distinguished_name("", ""));
}

}  // namespace
}  // namespace sluice
