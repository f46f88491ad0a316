#include "http/server.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>

#include "fake_peer.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

class HttpServerTest : public ::testing::Test {
 protected:
  HttpServerTest()
      : HttpServerTest(HttpServerOptions{.max_connections = 3, .max_queued_bytes = 500}) {}
  explicit HttpServerTest(const HttpServerOptions& options) : server(timers, options) {
    server.add("/hello", [](const HttpRequest& request) {
      HttpResponse response;
      response.body = "{\"who\":\"" + std::string(request.param("who").value_or("nobody")) + "\"}";
      return response;
    });
    server.add("/throws",
               [](const HttpRequest&) -> HttpResponse { throw std::runtime_error("no"); });
    server.add("/big", [](const HttpRequest&) {
      return HttpResponse{
          .content_type = "text/plain", .body = std::string(1000, 'b'), .headers = {{"X-A", "1"}}};
    });
  }

  std::shared_ptr<FakePeer> connect() {
    auto peer = std::make_shared<FakePeer>();
    server.serve(std::make_unique<FakeTransport>(peer));
    return peer;
  }
  /// The status line's number of the first answer.
  static std::string status(const FakePeer& peer) {
    return peer.received.size() < 12 ? "" : peer.received.substr(9, 3);
  }

  FakeTimers timers;
  HttpServer server;
};

TEST_F(HttpServerTest, AnswersAndKeepsTheConnection) {
  auto peer = connect();
  peer->send("GET /hello?who=me HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(peer->received,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
            "12\r\nConnection: keep-alive\r\n\r\n"
            "{\"who\":\"me\"}");
  EXPECT_FALSE(peer->closed);
  peer->received.clear();
  peer->send("HEAD /hello HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(peer->received,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
            "16\r\nConnection: keep-alive\r\n\r\n");
  peer->received.clear();
  peer->send("GET /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_NE(peer->received.find("Connection: close\r\n\r\n{"), std::string::npos);
  EXPECT_TRUE(peer->closed);
  EXPECT_EQ(server.connections(), 0u);
}

TEST_F(HttpServerTest, PipelinedRequestsAreAnsweredInOrder) {
  auto peer = connect();
  peer->send(
      "GET /hello?who=1 HTTP/1.1\r\nHost: h\r\n\r\nGET /hello?who=2 HTTP/1.1\r\nHost: h\r\n\r\nGET "
      "/hello?wh");
  peer->send("o=3 HTTP/1.1\r\nHost: h\r\n\r\n");
  const size_t first = peer->received.find("\"1\"");
  const size_t second = peer->received.find("\"2\"");
  const size_t third = peer->received.find("\"3\"");
  EXPECT_LT(first, second);
  EXPECT_LT(second, third);
  EXPECT_NE(third, std::string::npos);
}

TEST_F(HttpServerTest, ErrorAnswers) {
  const auto ask = [&](std::string_view bytes) {
    auto peer = connect();
    peer->send(bytes);
    const std::string answer = status(*peer) + (peer->closed ? " closed" : "");
    peer->hang_up();
    return answer;
  };
  EXPECT_EQ(ask("GET /none HTTP/1.1\r\nHost: h\r\n\r\n"), "404");
  EXPECT_EQ(ask("DELETE /hello HTTP/1.1\r\nHost: h\r\n\r\n"), "405");
  EXPECT_EQ(ask("GET /throws HTTP/1.1\r\nHost: h\r\n\r\n"), "500");
  EXPECT_EQ(ask("rubbish\r\n\r\n"), "400 closed");
  EXPECT_EQ(ask("GET /" + std::string(9000, 'x') + " HTTP/1.1\r\n"), "431 closed");
  EXPECT_EQ(ask("POST /hello HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n"),
            "413");
  EXPECT_EQ(server.connections(), 0u);
}

TEST_F(HttpServerTest, APeerInTheMidstOfItsBodyHearsTheRefusal) {
  auto peer = connect();
  peer->send("POST /hello HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n");
  EXPECT_EQ(status(*peer), "413");
  for (int i = 0; i < 100; ++i) peer->send(std::string(64 * kKiB, 'x'));
  EXPECT_FALSE(peer->closed) << "closing with unread bytes would take the answer away";
  timers.advance(2s);
  EXPECT_TRUE(peer->closed);
}

TEST_F(HttpServerTest, MethodNotAllowedSaysWhatIs) {
  auto peer = connect();
  peer->send("PUT /hello HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nxy");
  EXPECT_NE(peer->received.find("Allow: GET, HEAD\r\n"), std::string::npos);
}

TEST_F(HttpServerTest, SlowRequestsTimeOutWhateverTheyDrip) {
  auto peer = connect();
  peer->send("GET /hello HTTP/1.1\r\n");
  for (int i = 0; i < 9; ++i) {
    timers.advance(1s);
    peer->send("A: b\r\n");
  }
  EXPECT_FALSE(peer->closed);
  timers.advance(1s);
  EXPECT_EQ(status(*peer), "408");
  EXPECT_TRUE(peer->closed);
}

TEST_F(HttpServerTest, IdleConnectionsEndSilently) {
  auto never_asked = connect();
  auto asked = connect();
  asked->send("GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
  timers.advance(10s);
  EXPECT_TRUE(never_asked->closed);
  EXPECT_EQ(never_asked->received, "");
  EXPECT_FALSE(asked->closed);
  timers.advance(50s);
  EXPECT_TRUE(asked->closed);
}

TEST_F(HttpServerTest, TooManyConnectionsAreClosedAsTheyCome) {
  auto a = connect();
  auto b = connect();
  auto c = connect();
  auto d = connect();
  EXPECT_TRUE(d->closed);
  EXPECT_FALSE(c->closed);
  a->hang_up();
  EXPECT_FALSE(connect()->closed);
}

TEST_F(HttpServerTest, HoldsPipelinedRequestsBackWhileAnswersWait) {
  auto peer = connect();
  peer->kernel_takes = false;
  const std::string ask = "GET /big HTTP/1.1\r\nHost: h\r\n\r\n";
  peer->send(ask + ask + ask);
  EXPECT_TRUE(peer->paused);
  EXPECT_LT(peer->queued.size(), 1500u);
  peer->drain();
  EXPECT_TRUE(peer->paused);
  peer->kernel_takes = true;
  peer->drain();
  EXPECT_FALSE(peer->paused);
  size_t answers = 0;
  for (size_t at = peer->received.find("HTTP/1.1 200"); at != std::string::npos;
       at = peer->received.find("HTTP/1.1 200", at + 1)) {
    ++answers;
  }
  EXPECT_EQ(answers, 3u);
  EXPECT_FALSE(peer->closed);
}

TEST_F(HttpServerTest, APeerThatDoesNotReadIsDropped) {
  auto peer = connect();
  peer->kernel_takes = false;
  peer->send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
  timers.advance(29s);
  EXPECT_FALSE(peer->closed);
  timers.advance(1s);
  EXPECT_TRUE(peer->closed);
}

TEST_F(HttpServerTest, TheLastAnswerGoesOutBeforeTheEnd) {
  auto peer = connect();
  peer->kernel_takes = false;
  peer->send("GET /big HTTP/1.0\r\n\r\nmore");
  EXPECT_FALSE(peer->closed);
  peer->send("ignored");
  peer->drain();
  EXPECT_TRUE(peer->closed);
  EXPECT_EQ(status(*peer), "200");
  EXPECT_EQ(server.connections(), 0u);
}

}  // namespace
}  // namespace sluice
