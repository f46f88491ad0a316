// NATS inside WebSocket, in the simulated world, byte by byte.
#include <gtest/gtest.h>

#include "session.h"
#include "websocket/ws_deflate.h"
#include "websocket/ws_frames.h"

namespace sluice::test {
namespace {

constexpr const char* kRequest =
    "GET / HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
constexpr const char* kHello = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n";

std::string frame(std::string_view payload, WsFrameHeader header = {}) {
  std::string out;
  append_masked_ws_frame(out, header, payload, 0x01020304);
  return out;
}

struct Frame {
  WsOpcode opcode;
  bool fin;
  bool rsv1;
  std::string data;
};

/// What a server sent after the handshake, frame by frame.
std::vector<Frame> frames_of(const std::string& bytes) {
  WsFrameReader reader;
  reader.feed(bytes);
  std::vector<Frame> all;
  WsFramePart part;
  while (reader.next(part) == WsFrameReader::Outcome::kPart) {
    EXPECT_FALSE(part.masked);
    if (part.begins) all.push_back({part.opcode, part.fin, part.rsv1, {}});
    all.back().data += part.data;
  }
  return all;
}

std::string text_of(const std::vector<Frame>& frames) {
  std::string text;
  for (const Frame& each : frames) {
    if (each.opcode == WsOpcode::kBinary || each.opcode == WsOpcode::kContinuation)
      text += each.data;
  }
  return text;
}

class ServerWebSocketTest : public ServerTest {
 protected:
  static ServerOptions with_websocket() {
    ServerOptions options;
    options.websocket.enabled = true;
    options.websocket.no_tls = true;
    return options;
  }
  std::unique_ptr<sim::SimPeer> dial() {
    return std::make_unique<sim::SimPeer>(sim.network(), "127.0.0.1", server->websocket_port());
  }
  /// Past the handshake and INFO, which is kept in last_info.
  std::unique_ptr<sim::SimPeer> upgraded(const std::string& more = "") {
    auto peer = dial();
    const std::string got = ask(*peer, kRequest + more + "\r\n");
    const size_t end = got.find("\r\n\r\n");
    EXPECT_TRUE(got.starts_with("HTTP/1.1 101 ")) << got;
    answer = got.substr(0, end + 4);
    last_info = text_of(frames_of(got.substr(end + 4)));
    return peer;
  }
  std::string say(sim::SimPeer& peer, std::string_view text) {
    return text_of(frames_of(ask(peer, frame(text))));
  }
  std::string answer;
};

TEST_F(ServerWebSocketTest, ASession) {
  start(with_websocket());
  auto peer = upgraded();
  EXPECT_TRUE(last_info.starts_with("INFO {")) << last_info;
  EXPECT_NE(last_info.find("\"port\":" + std::to_string(server->websocket_port())), std::string::npos);
  EXPECT_EQ(say(*peer, kHello), "PONG\r\n");
  EXPECT_EQ(say(*peer, "SUB a 1\r\nPUB a 2\r\nhi\r\n"), "MSG a 1 2\r\nhi\r\n");
  // And with those on the plain port.
  auto plain = client();
  ask(*plain, "PUB a 5\r\nhello\r\n");
  EXPECT_EQ(text_of(frames_of(take(*peer))), "MSG a 1 5\r\nhello\r\n");
  ASSERT_EQ(server->connections().size(), 2u);
  EXPECT_TRUE(server->connections()[0].websocket);
  EXPECT_FALSE(server->connections()[1].websocket);
}

TEST_F(ServerWebSocketTest, OperationsMaySpanFramesAndReads) {
  start(with_websocket());
  auto peer = upgraded();
  const std::string all = std::string(kHello) + "SUB a 1\r\nPUB a 5\r\nhello\r\n";
  std::string bytes;
  for (size_t i = 0; i < all.size(); i += 3) bytes += frame(all.substr(i, 3));
  std::string got;
  for (const char c : bytes) got += ask(*peer, std::string(1, c));
  EXPECT_EQ(text_of(frames_of(got)), "PONG\r\nMSG a 1 5\r\nhello\r\n");
}

TEST_F(ServerWebSocketTest, PingFramesAndNatsPingsAreTwoThings) {
  start(with_websocket());
  auto peer = upgraded();
  const auto got = frames_of(ask(*peer, frame("are you there", {.opcode = WsOpcode::kPing})));
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].opcode, WsOpcode::kPong);
  EXPECT_EQ(got[0].data, "are you there");
}

TEST_F(ServerWebSocketTest, ErrorsGoOutBeforeACloseFrameThatSaysWhy) {
  ServerOptions options = with_websocket();
  options.token = "secret";
  start(options);
  auto peer = upgraded();
  const auto got = frames_of(ask(*peer, frame("CONNECT {\"auth_token\":\"wrong\"}\r\n")));
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].data, "-ERR 'Authorization Violation'\r\n");
  EXPECT_EQ(got[1].opcode, WsOpcode::kClose);
  EXPECT_EQ(got[1].data, "\x03\xf0" "Authentication Failure");  // 1008
  EXPECT_TRUE(peer->closed());
}

TEST_F(ServerWebSocketTest, CookiesStandForWhatConnectLeavesOut) {
  ServerOptions options = with_websocket();
  options.token = "secret";
  options.websocket.token_cookie = "nats_token";
  start(options);
  auto peer = upgraded("Cookie: a=b; nats_token=secret\r\n");
  EXPECT_EQ(say(*peer, kHello), "PONG\r\n");
  auto other = upgraded("Cookie: nats_token=wrong\r\n");
  EXPECT_EQ(say(*other, kHello), "-ERR 'Authorization Violation'\r\n");
}

TEST_F(ServerWebSocketTest, AClientsCloseIsAnswered) {
  start(with_websocket());
  auto peer = upgraded();
  const auto got = frames_of(ask(*peer, frame(std::string("\x03\xe8", 2), {.opcode = WsOpcode::kClose})));
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].opcode, WsOpcode::kClose);
  EXPECT_EQ(got[0].data, std::string("\x03\xe8", 2));
  EXPECT_TRUE(peer->closed());
  ASSERT_EQ(server->closed_connections().size(), 1u);
  EXPECT_EQ(server->closed_connections()[0].reason, CloseReason::kClientClosed);
}

TEST_F(ServerWebSocketTest, UnmaskedFramesNeedTheExtension) {
  start(with_websocket());
  std::string bare;
  append_ws_frame(bare, {}, kHello);
  auto strict = upgraded();
  EXPECT_EQ(ask(*strict, bare), "");
  EXPECT_TRUE(strict->closed());
  auto agreed = upgraded("Nats-No-Masking: true\r\n");
  EXPECT_NE(answer.find("Nats-No-Masking: true\r\n"), std::string::npos);
  EXPECT_EQ(text_of(frames_of(ask(*agreed, bare))), "PONG\r\n");
}

TEST_F(ServerWebSocketTest, CompressionBothWays) {
  ServerOptions options = with_websocket();
  options.websocket.compression = true;
  start(options);
  auto peer = upgraded("Sec-WebSocket-Extensions: permessage-deflate\r\n");
  WsDeflate codec;
  const std::string text(5000, 'x');
  std::string packed;
  codec.deflate(std::string(kHello) + "SUB a 1\r\nPUB a 5000\r\n" + text + "\r\n", packed);
  const auto got = frames_of(ask(*peer, frame(packed, {.rsv1 = true})));
  std::string unpacked;
  for (const Frame& each : got) {
    if (!each.rsv1) {
      unpacked += each.data;  // 64 bytes and less are not worth it
    } else {
      EXPECT_LT(each.data.size(), 500u);
      ASSERT_TRUE(codec.inflate(each.data, 100'000, unpacked).has_value());
    }
  }
  EXPECT_EQ(unpacked, "PONG\r\nMSG a 1 5000\r\n" + text + "\r\n");
}

TEST_F(ServerWebSocketTest, ABombEndsItsSessionOnly) {
  ServerOptions options = with_websocket();
  options.websocket.compression = true;
  start(options);
  auto other = upgraded();
  auto peer = upgraded("Sec-WebSocket-Extensions: permessage-deflate\r\n");
  WsDeflate codec;
  std::string packed;
  codec.deflate(std::string(64 * kMiB, '\0'), packed);
  const auto got = frames_of(ask(*peer, frame(packed, {.rsv1 = true})));
  ASSERT_FALSE(got.empty());
  EXPECT_EQ(got.back().opcode, WsOpcode::kClose);
  EXPECT_EQ(got.back().data.substr(0, 2), "\x03\xf1");  // 1009
  EXPECT_TRUE(peer->closed());
  EXPECT_EQ(say(*other, kHello), "PONG\r\n");
}

TEST_F(ServerWebSocketTest, BrowsersGetSmallFrames) {
  start(with_websocket());
  auto peer = upgraded("User-Agent: Mozilla/5.0\r\n");
  const std::string text(10'000, 'x');
  const auto got = frames_of(
      ask(*peer, frame(std::string(kHello) + "SUB a 1\r\nPUB a 10000\r\n" + text + "\r\n")));
  EXPECT_GE(got.size(), 3u);
  for (const Frame& each : got) EXPECT_LE(each.data.size(), 4096u);
  EXPECT_EQ(text_of(got), "PONG\r\nMSG a 1 10000\r\n" + text + "\r\n");
}

TEST_F(ServerWebSocketTest, HandshakesThatAreBadOrLateAreRefused) {
  ServerOptions options = with_websocket();
  options.websocket.handshake_timeout = 2s;
  options.websocket.same_origin = true;
  start(options);
  auto bad = dial();
  const std::string got = ask(*bad, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(got.starts_with("HTTP/1.1 400 Bad Request\r\n")) << got;
  EXPECT_NE(got.find("Sec-Websocket-Version: 13\r\n"), std::string::npos);
  EXPECT_TRUE(got.ends_with("\r\n\r\nBad Request\n"));
  EXPECT_TRUE(bad->closed());
  auto foreign = dial();
  EXPECT_TRUE(ask(*foreign, std::string(kRequest) + "Origin: https://evil.org\r\n\r\n")
                  .starts_with("HTTP/1.1 403 Forbidden\r\n"));
  auto eager = dial();
  EXPECT_TRUE(ask(*eager, kRequest + std::string("\r\n") + frame("PING\r\n"))
                  .starts_with("HTTP/1.1 400 "));
  auto endless = dial();
  EXPECT_TRUE(ask(*endless, kRequest + ("X: " + std::string(100'000, 'x')))
                  .starts_with("HTTP/1.1 431 "));
  auto slow = dial();
  ask(*slow, "GET / HT");
  auto gone = dial();
  ask(*gone, "GET");
  gone->close();
  sim.advance(2s);
  sim.run_until_idle();
  EXPECT_TRUE(slow->closed());
  EXPECT_EQ(server->connection_count(), 0u);
}

TEST_F(ServerWebSocketTest, HandshakesAtOneTimeAreBounded) {
  ServerOptions options = with_websocket();
  options.websocket.max_handshakes = 2;
  start(options);
  auto one = dial();
  auto two = dial();
  sim.run_until_idle();
  auto three = dial();
  sim.run_until_idle();
  EXPECT_TRUE(three->closed());
  EXPECT_FALSE(one->closed());
  ask(*one, std::string(kRequest) + "\r\n");
  auto four = upgraded();
  EXPECT_EQ(say(*four, kHello), "PONG\r\n");
}

TEST_F(ServerWebSocketTest, TheAddressOfAProxysClientAndItsOwnPingInterval) {
  ServerOptions options = with_websocket();
  options.websocket.ping_interval = 1s;
  start(options);
  auto peer = upgraded("X-Forwarded-For: 192.0.2.7, 10.0.0.1\r\n");
  EXPECT_NE(last_info.find("\"client_ip\":\"192.0.2.7\""), std::string::npos);
  EXPECT_EQ(say(*peer, kHello), "PONG\r\n");
  sim.advance(1500ms);
  EXPECT_EQ(text_of(frames_of(take(*peer))), "PING\r\n");
}

TEST_F(ServerWebSocketTest, AGoingServerSaysSo) {
  start(with_websocket());
  auto peer = upgraded();
  EXPECT_EQ(say(*peer, kHello), "PONG\r\n");
  server->drain(1s, [] {});
  sim.advance(1s);
  const auto got = frames_of(take(*peer));
  ASSERT_FALSE(got.empty());
  EXPECT_EQ(got.back().data, "\x03\xe9" "Server Shutdown");  // 1001
}

}  // namespace
}  // namespace sluice::test
