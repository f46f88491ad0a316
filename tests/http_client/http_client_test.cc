// The client against our own server on one real loop.
#include "http_client/http_client.h"

#include <gtest/gtest.h>

#include <optional>

#include "http/server.h"
#include "uv/env.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

/// Bytes to whoever connects, then silence or the end: a server of every bad manner.
class RawServer {
 public:
  RawServer(Env& env, std::string answer, bool close) : answer_(std::move(answer)), close_(close) {
    auto made = env.network.listen("127.0.0.1", 0, [this](std::unique_ptr<Transport> peer) {
      peers_.push_back(std::make_unique<Peer>(*this, std::move(peer)));
    });
    listener_ = *std::move(made);
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(listener_->port()) + "/"; }

 private:
  struct Peer final : TransportHandler {
    Peer(RawServer& all, std::unique_ptr<Transport> t) : server(all), transport(std::move(t)) { transport->start(*this); }
    void on_bytes(std::string_view) override {
      std::string bytes = std::exchange(server.answer_, "");
      if (!bytes.empty()) transport->write(bytes);
      if (server.close_) transport->close(true);
    }
    void on_drained() override {}
    void on_closed(const Error&) override {}
    RawServer& server;
    std::unique_ptr<Transport> transport;
  };
  std::string answer_;
  bool close_;
  std::unique_ptr<Listener> listener_;
  std::vector<std::unique_ptr<Peer>> peers_;
};

class HttpClientTest : public testing::Test, public HttpService {
 protected:
  HttpClientTest() {
    HttpServerOptions options;
    options.limits = {.max_header_bytes = 8192, .max_body_bytes = 1 << 20, .keep_body = true, .stop_at_head = true};
    server_ = std::make_unique<HttpServer>(world_.env().timers, options, *this);
    EXPECT_TRUE(server_->listen(world_.env().network, "127.0.0.1", 0));
  }
  ~HttpClientTest() override {
    client_.reset();
    server_.reset();
  }
  bool take(HttpRequest& request, HttpAnswer& answer) override {
    seen_.push_back(std::move(request));
    answer({.status = status_, .content_type = "text/plain", .body = body_, .headers = {{"Retry-After", "7"}}});
    return true;
  }
  void make(HttpClientOptions options = {}) {
    auto made = make_http_client(world_.env(), std::move(options));
    ASSERT_TRUE(made) << made.error().detail;
    client_ = *std::move(made);
  }
  std::string url(const std::string& path = "/x") const {
    return "http://127.0.0.1:" + std::to_string(server_->port()) + path;
  }
  Result<HttpResponse> post(std::string where, std::string body = "body",
                            std::vector<std::pair<std::string, std::string>> headers = {}) {
    std::optional<Result<HttpResponse>> got;
    const Ticket call = client_->post({std::move(where), std::move(headers), std::move(body)},
                                      [&](Result<HttpResponse> answer) { got = std::move(answer); });
    EXPECT_FALSE(got) << "never inside the call";
    EXPECT_TRUE(world_.loop().run_until([&] { return got.has_value(); }, 20s));
    return got ? std::move(*got) : fail(Errc::kTimeout, "the test's own");
  }

  UvEnv world_;
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<HttpClient> client_;
  std::vector<HttpRequest> seen_;
  uint16_t status_ = 200;
  std::string body_ = "answer";
};

TEST_F(HttpClientTest, PostsAndReadsTheAnswer) {
  make();
  const auto answer = post(url("/a?b=c"), std::string("b\0dy", 4), {{"ce-id", "1"}, {"Content-Type", "text/x"}});
  ASSERT_TRUE(answer) << answer.error().detail;
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, "answer");
  EXPECT_EQ(answer->headers.front(), (std::pair<std::string, std::string>{"content-type", "text/plain"}));
  ASSERT_EQ(seen_.size(), 1u);
  EXPECT_EQ(seen_[0].method, HttpMethod::kPost);
  EXPECT_EQ(seen_[0].path, "/a");
  EXPECT_EQ(seen_[0].body, std::string("b\0dy", 4));
  EXPECT_EQ(seen_[0].header("ce-id"), "1");
  EXPECT_EQ(seen_[0].header("content-type"), "text/x");
  EXPECT_FALSE(seen_[0].header("expect"));
}

TEST_F(HttpClientTest, KeepsItsConnection) {
  make();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(post(url(), std::string(100'000, 'x')));
  EXPECT_EQ(seen_.back().connection, seen_.front().connection);
}

TEST_F(HttpClientTest, RedirectsAreAnAnswerLikeOthers) {
  make();
  status_ = 302;
  EXPECT_EQ(post(url())->status, 302);
  EXPECT_EQ(seen_.size(), 1u);
}

TEST_F(HttpClientTest, ManyAtOnceOnFewConnections) {
  make({.max_connections = 3});
  int done = 0;
  std::vector<Ticket> calls;
  for (int i = 0; i < 50; ++i)
    calls.push_back(client_->post({url(), {}, std::to_string(i)}, [&](Result<HttpResponse> a) { done += a ? 1 : 0; }));
  EXPECT_TRUE(world_.loop().run_until([&] { return done == 50; }, 20s));
  EXPECT_LE(server_->connections(), 3u);
}

TEST_F(HttpClientTest, NobodyThere) {
  make();
  const std::string gone = url();
  server_.reset();
  const auto answer = post(gone);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Errc::kIo);
  EXPECT_FALSE(answer.error().detail.empty());
}

TEST_F(HttpClientTest, ASilentServerTimesOut) {
  make({.timeout = 100ms});
  RawServer silent(world_.env(), "HTTP/1.1 200 OK\r\nContent-Le", false);
  const auto answer = post(silent.url());
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Errc::kTimeout);
}

TEST_F(HttpClientTest, AnAnswerShorterThanItSaysIsNone) {
  make();
  RawServer liar(world_.env(), "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", true);
  const auto answer = post(liar.url());
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Errc::kIo);
}

TEST_F(HttpClientTest, RubbishIsNoAnswer) {
  make();
  RawServer rubbish(world_.env(), std::string(1000, '\0'), true);
  EXPECT_FALSE(post(rubbish.url()));
  RawServer empty(world_.env(), "", true);
  EXPECT_FALSE(post(empty.url()));
}

TEST_F(HttpClientTest, OfALongAnswerOnlySomeIsRead) {
  make({.max_answer_bytes = 10});
  body_ = std::string(500'000, 'x');
  const auto answer = post(url());
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, "xxxxxxxxxx");
}

TEST_F(HttpClientTest, ADroppedTicketCancels) {
  make();
  int told = 0;
  {
    const Ticket call = client_->post({url(), {}, "x"}, [&](Result<HttpResponse>) { ++told; });
  }
  EXPECT_TRUE(post(url()));
  EXPECT_EQ(told, 0);
}

TEST_F(HttpClientTest, MayGoInItsOwnAnswer) {
  make();
  bool told = false;
  const Ticket call = client_->post({url(), {}, "x"}, [&](Result<HttpResponse>) {
    client_.reset();
    told = true;
  });
  EXPECT_TRUE(world_.loop().run_until([&] { return told; }, 20s));
}

TEST_F(HttpClientTest, MayGoInTheMidst) {
  make();
  RawServer silent(world_.env(), "", false);
  int told = 0;
  const Ticket call = client_->post({silent.url(), {}, "x"}, [&](Result<HttpResponse>) { ++told; });
  (void)world_.loop().run_until([] { return false; }, 50ms);
  client_.reset();
  EXPECT_EQ(told, 0);
}

TEST_F(HttpClientTest, FilesThatAreNotThereAreTold) {
  const auto made = make_http_client(world_.env(), {.ca_file = "/no/such.pem"});
  ASSERT_FALSE(made);
  EXPECT_TRUE(made.error().detail.contains("/no/such.pem"));
}

TEST(HttpUrl, WhatIsOne) {
  for (const char* good : {"http://h", "https://h:1/p?q=1", "http://[::1]:8080/"}) EXPECT_TRUE(is_http_url(good)) << good;
  for (const char* bad : {"", "h", "ftp://h", "http://", "http:///p", "http://:80", "http://h/ x", "http://u:p@h/", "file:///etc/passwd"})
    EXPECT_FALSE(is_http_url(bad)) << bad;
}

}  // namespace
}  // namespace sluice
