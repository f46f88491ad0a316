#include "http/request_parser.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>

namespace sluice {
namespace {

using Outcome = HttpRequestParser::Outcome;

/// Each request as a line; "bad <status>" ends it. Pieces are exactly sized heap copies.
std::string run(std::string_view bytes, size_t step, const HttpLimits& limits = {}) {
  HttpRequestParser parser(limits);
  std::string seen;
  for (size_t at = 0; at < bytes.size(); at += step) {
    const std::string_view piece = bytes.substr(at, step);
    const auto copy = std::make_unique<char[]>(piece.size());
    std::memcpy(copy.get(), piece.data(), piece.size());
    std::string_view rest(copy.get(), piece.size());
    while (!rest.empty()) {
      const Outcome outcome = parser.parse(rest);
      if (outcome == Outcome::kMore) break;
      if (outcome == Outcome::kBad) return seen + "bad " + std::to_string(parser.error_status());
      const HttpRequest& request = parser.request();
      seen += std::to_string(static_cast<int>(request.method)) + " " + request.path;
      for (const auto& [name, value] : request.query)
        seen.append(" ").append(name).append("=").append(value);
      for (const auto& [name, value] : request.headers)
        seen.append(" ").append(name).append(":").append(value);
      seen += request.keep_alive ? " keep\n" : " close\n";
    }
  }
  return seen;
}

std::string parse(std::string_view bytes, const HttpLimits& limits = {}) {
  const std::string whole = run(bytes, bytes.size() + 1, limits);
  for (size_t step = 1; step < bytes.size() && step < 40; ++step)
    EXPECT_EQ(run(bytes, step, limits), whole) << step;
  return whole;
}

TEST(HttpRequestParser, ReadsRequests) {
  EXPECT_EQ(parse("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), "0 / host:h keep\n");
  EXPECT_EQ(parse("GET /connz?subs=1&sort=by%20name&x+y=&flag#frag HTTP/1.1\r\nHOST: "
                  "h\r\nConnection: close\r\n\r\n"),
            "0 /connz subs=1 sort=by name x y= flag= host:h connection:close close\n");
  EXPECT_EQ(parse("HEAD http://a:1/p%41 HTTP/1.0\r\n\r\n"), "1 /pA close\n");
  EXPECT_EQ(parse("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /y "
                  "HTTP/1.1\r\nHost: h\r\n\r\n"),
            "2 /x host:h content-length:3 keep\n0 /y host:h keep\n");
  EXPECT_EQ(
      parse("GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
      "0 /ws host:h upgrade:websocket connection:Upgrade close\n");
  EXPECT_EQ(parse("GET / HTTP/1.1\r\nA:\r\nB: \r\nHost: h\r\n\r\n"), "0 / a: b: host:h keep\n");
  EXPECT_EQ(parse("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"), "3 * host:h keep\n");
  EXPECT_EQ(parse("POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
                  "chunked\r\n\r\n3\r\nabc\r\n0\r\nT: v\r\n\r\n"),
            "2 /x host:h transfer-encoding:chunked keep\n");
}

TEST(HttpRequestParser, RefusesMalformedOnes) {
  for (const char* bad :
       {"garbage\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/2.0\r\nHost: h\r\n\r\n",
        "GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", "GET /?a=%1 HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET nopath HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "\x16\x03\x01\x02"}) {
    EXPECT_EQ(parse(bad), "bad 400") << bad;
  }
}

TEST(HttpRequestParser, BoundsHeadersAndBodies) {
  HttpLimits limits;
  limits.max_header_bytes = 100;
  limits.max_body_bytes = 10;
  EXPECT_EQ(parse("GET /" + std::string(200, 'a') + " HTTP/1.1\r\n", limits), "bad 431");
  EXPECT_EQ(parse("GET / HTTP/1.1\r\nHost: h\r\nA: " + std::string(200, 'a'), limits), "bad 431");
  EXPECT_EQ(parse("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n", limits), "bad 413");
  EXPECT_EQ(
      parse("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n01234567890",
            limits),
      "bad 413");
  std::string many = "GET / HTTP/1.1\r\nHost: h\r\n";
  for (int i = 0; i < 50; ++i) many += "a:\r\n";
  EXPECT_EQ(parse(many, limits), "bad 431");
}

}  // namespace
}  // namespace sluice
