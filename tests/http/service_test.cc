// A server whose requests have bodies and whose answers come when they come.
#include "http/service.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "fake_peer.h"
#include "http/server.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

/// Keeps what it takes until the test answers.
class Desk final : public HttpService {
 public:
  std::optional<HttpResponse> refuse_body(const HttpRequest& request) override {
    if (request.header("x-refuse")) return plain_response(401);
    return std::nullopt;
  }
  bool take(HttpRequest& request, HttpAnswer& answer) override {
    ++offers;
    if (taken.size() >= room) return false;
    bodies.push_back(std::move(request.body));
    taken.push_back(std::move(answer));
    return true;
  }
  void answer(size_t at, const std::string& text) {
    taken.at(at)({.status = 200, .content_type = "text/plain", .body = text, .headers = {}});
  }

  size_t room = 100;
  size_t offers = 0;
  std::vector<std::string> bodies;
  std::vector<HttpAnswer> taken;
};

class HttpServiceTest : public ::testing::Test {
 protected:
  static HttpServerOptions options() {
    HttpServerOptions made;
    made.limits = {.max_header_bytes = 1000, .max_body_bytes = 100, .keep_body = true, .stop_at_head = true};
    made.max_pipelined_count = 3;
    made.max_body_memory_bytes = 150;
    return made;
  }
  std::shared_ptr<FakePeer> connect() {
    auto peer = std::make_shared<FakePeer>();
    server.serve(std::make_unique<FakeTransport>(peer));
    return peer;
  }
  static std::string post(const std::string& body, const std::string& fields = "") {
    return "POST /e HTTP/1.1\r\nHost: h\r\n" + fields + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
           body;
  }
  /// Statuses and bodies of the answers so far: "200:a 503:…".
  static std::string answers(const FakePeer& peer) {
    std::string out;
    std::string_view rest = peer.received;
    while (rest.starts_with("HTTP/1.1 ")) {
      const std::string_view head = rest.substr(0, rest.find("\r\n\r\n") + 4);
      rest.remove_prefix(head.size());
      out += (out.empty() ? "" : " ") + std::string(head.substr(9, 3));
      const size_t at = head.find("Content-Length: ");
      if (at == std::string_view::npos) continue;
      const size_t size = std::stoul(std::string(head.substr(at + 16)));
      if (head[9] == '2') out += ":" + std::string(rest.substr(0, size));
      rest.remove_prefix(size);
    }
    return out;
  }

  FakeTimers timers;
  Desk desk;
  HttpServer server{timers, options(), desk};
};

TEST_F(HttpServiceTest, TakesBodiesWholeHoweverTheyCome) {
  auto peer = connect();
  const std::string chunked =
      "POST /e HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: v\r\n\r\n";
  for (const char c : post("hello") + chunked + post("")) peer->send(std::string(1, c));
  EXPECT_EQ(desk.bodies, (std::vector<std::string>{"hello", "abcde", ""}));
}

TEST_F(HttpServiceTest, AnswersGoOutInTheOrderOfTheRequests) {
  auto peer = connect();
  peer->send(post("1") + post("2") + post("3"));
  desk.answer(2, "c");
  desk.answer(1, "b");
  EXPECT_EQ(answers(*peer), "");
  desk.answer(0, "a");
  EXPECT_EQ(answers(*peer), "200:a 200:b 200:c");
}

TEST_F(HttpServiceTest, APeerWithManyUnansweredRequestsIsHeldBack) {
  auto peer = connect();
  peer->send(post("1") + post("2") + post("3") + post("4") + post("5"));
  EXPECT_EQ(desk.bodies.size(), 3u);
  EXPECT_TRUE(peer->paused);
  desk.answer(0, "a");
  EXPECT_EQ(desk.bodies.size(), 4u);
  desk.answer(1, "b");
  EXPECT_EQ(desk.bodies.size(), 5u);
  for (size_t i = 2; i < 5; ++i) desk.answer(i, "x");
  EXPECT_FALSE(peer->paused);
  EXPECT_EQ(answers(*peer), "200:a 200:b 200:x 200:x 200:x");
}

TEST_F(HttpServiceTest, WhatWasNotTakenIsOfferedAgainTheLongestWaitingFirst) {
  desk.room = 0;
  auto a = connect();
  auto b = connect();
  a->send(post("a1") + post("a2"));
  b->send(post("b1"));
  EXPECT_TRUE(a->paused);
  EXPECT_EQ(desk.bodies.size(), 0u);
  desk.room = 2;
  server.offer_again();
  EXPECT_EQ(desk.bodies, (std::vector<std::string>{"a1", "b1"}));
  desk.room = 3;
  server.offer_again();
  EXPECT_EQ(desk.bodies.back(), "a2");
  EXPECT_FALSE(a->paused);
  EXPECT_FALSE(b->paused);
}

TEST_F(HttpServiceTest, NotTakenInTimeIsToldToComeLaterAndNothingBehindItIsTaken) {
  desk.room = 1;
  auto peer = connect();
  peer->send(post("1") + post("2") + post("3"));
  timers.advance(1s);
  EXPECT_EQ(answers(*peer), "503") << "the first one was not answered either, and order is kept";
  EXPECT_NE(peer->received.find("Retry-After: 1\r\n"), std::string::npos);
  EXPECT_NE(peer->received.find("Connection: close\r\n"), std::string::npos);
  desk.room = 9;
  server.offer_again();
  desk.answer(0, "late");
  EXPECT_EQ(desk.bodies.size(), 1u);
  EXPECT_EQ(answers(*peer), "503");
  timers.advance(3s);
  EXPECT_TRUE(peer->closed);
  EXPECT_EQ(server.counters().busy, 1u);
}

TEST_F(HttpServiceTest, TakenAndNeverAnsweredIsToldToComeLater) {
  auto peer = connect();
  peer->send(post("1"));
  timers.advance(29s);
  EXPECT_EQ(answers(*peer), "");
  timers.advance(1s);
  EXPECT_EQ(answers(*peer), "503");
}

TEST_F(HttpServiceTest, Continue) {
  auto peer = connect();
  peer->send("POST /e HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(peer->received, "HTTP/1.1 100 Continue\r\n\r\n");
  peer->send("ok");
  EXPECT_EQ(desk.bodies.back(), "ok");

  auto refused = connect();
  refused->send("POST /e HTTP/1.1\r\nHost: h\r\nX-Refuse: 1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(answers(*refused), "401");
  auto odd = connect();
  odd->send("POST /e HTTP/1.1\r\nHost: h\r\nExpect: cake\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(answers(*odd), "417");
  auto large = connect();
  large->send("POST /e HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 101\r\n\r\n");
  EXPECT_EQ(answers(*large), "413");
  EXPECT_EQ(desk.bodies.size(), 1u);
}

TEST_F(HttpServiceTest, BodiesOfAllPeersShareOneMemory) {
  auto a = connect();
  a->send("POST /e HTTP/1.1\r\nHost: h\r\nContent-Length: 90\r\n\r\n");
  auto b = connect();
  b->send("POST /e HTTP/1.1\r\nHost: h\r\nContent-Length: 61\r\n\r\n");
  EXPECT_EQ(answers(*b), "503");
  auto c = connect();
  c->send("POST /e HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
  EXPECT_EQ(answers(*c), "503") << "a body in chunks counts with what it may become";
  a->hang_up();
  auto d = connect();
  d->send(post(std::string(90, 'd')));
  auto e = connect();
  e->send(post(std::string(90, 'e')));
  EXPECT_EQ(desk.bodies.size(), 2u) << "a body that was taken is its taker's";
}

TEST_F(HttpServiceTest, ChunksBeyondTheLimitEndTheRequest) {
  auto peer = connect();
  peer->send("POST /e HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n" + std::string(100, 'x') +
             "\r\n1\r\nx");
  EXPECT_EQ(answers(*peer), "413");
  EXPECT_EQ(desk.offers, 0u);
}

TEST_F(HttpServiceTest, APeerThatGoesTakesNothingWithIt) {
  auto peer = connect();
  peer->send(post("1"));
  peer->hang_up();
  EXPECT_EQ(server.connections(), 0u);
  desk.answer(0, "a");  // nobody hears it
  auto waiting = connect();
  desk.room = 0;
  waiting->send(post("2"));
  waiting->hang_up();
  desk.room = 9;
  server.offer_again();
  EXPECT_EQ(desk.bodies.size(), 1u);
}

TEST_F(HttpServiceTest, TheLastRequestOfAConnectionIsAnsweredThenItEnds) {
  desk.room = 0;
  auto peer = connect();
  peer->send(post("1", "Connection: close\r\n"));
  desk.room = 1;
  server.offer_again();
  EXPECT_FALSE(peer->closed);
  desk.answer(0, "a");
  EXPECT_EQ(answers(*peer), "200:a");
  EXPECT_TRUE(peer->closed);
}

}  // namespace
}  // namespace sluice
