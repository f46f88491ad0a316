// The HTTP handshake: whom it lets in, what it grants, how it refuses.
#include "websocket/ws_upgrade.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace sluice {
namespace {

using Headers = std::vector<std::pair<std::string, std::string>>;

HttpRequest request(const Headers& more = {}, const std::string& without = "") {
  HttpRequest made{.method = HttpMethod::kGet, .path = "/", .query = {}, .headers = {}};
  const Headers usual = {{"host", "example.org:8080"},
                         {"upgrade", "WebSocket"},
                         {"connection", "keep-alive, Upgrade"},
                         {"sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="},
                         {"sec-websocket-version", "13"}};
  for (const auto& [name, value] : usual) {
    const bool replaced = std::ranges::any_of(more, [&](const auto& m) { return m.first == name; });
    if (name != without && !replaced) made.headers.emplace_back(name, value);
  }
  for (const auto& field : more) made.headers.push_back(field);
  return made;
}

int status(const HttpRequest& asked, const WebSocketOptions& options = {}, bool tls = false) {
  const auto checked = check_upgrade(asked, options, tls);
  return checked ? 101 : checked.error().status;
}

TEST(WsUpgrade, AnswersTheSampleOfRfc6455) {
  const auto granted = check_upgrade(request(), {}, false);
  ASSERT_TRUE(granted.has_value());
  EXPECT_EQ(granted->accept_key, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  EXPECT_EQ(upgrade_response(*granted, {}),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
}

TEST(WsUpgrade, RefusesWhatIsNoUpgrade) {
  HttpRequest post = request();
  post.method = HttpMethod::kOther;
  EXPECT_EQ(status(post), 405);
  for (const std::string field :
       {"host", "upgrade", "connection", "sec-websocket-key", "sec-websocket-version"}) {
    EXPECT_EQ(status(request({}, field)), 400) << field;
  }
  EXPECT_EQ(status(request({{"upgrade", "h2c"}})), 400);
  EXPECT_EQ(status(request({{"sec-websocket-version", "8"}})), 400);
  EXPECT_EQ(status(request({{"sec-websocket-key", "dG9vIHNob3J0"}})), 400);
  EXPECT_EQ(status(request({{"sec-websocket-key", "not base64!"}})), 400);
  HttpRequest mqtt = request();
  mqtt.path = "/mqtt";
  EXPECT_EQ(status(mqtt), 404);
  EXPECT_EQ(refusal_response({403, ""}),
            "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\n"
            "Content-Length: 10\r\nSec-Websocket-Version: 13\r\nConnection: close\r\n\r\nForbidden\n");
}

TEST(WsUpgrade, OriginsAreHeldAgainstTheHostAndTheList) {
  const Headers own = {{"origin", "http://Example.org:8080"}};
  const Headers other = {{"origin", "http://elsewhere.org"}};
  const WebSocketOptions same{.same_origin = true};
  EXPECT_EQ(status(request(other)), 101);
  EXPECT_EQ(status(request(), same), 101);  // no browser
  EXPECT_EQ(status(request(own), same), 101);
  EXPECT_EQ(status(request(other), same), 403);
  EXPECT_EQ(status(request({{"origin", "http://example.org"}}), same), 403);
  EXPECT_EQ(status(request({{"origin", "null"}}), same), 403);
  EXPECT_EQ(status(request({{"host", "example.org"}, {"origin", "https://example.org:443"}}), same,
                   true), 101);
  WebSocketOptions listed{.allowed_origins = {"https://elsewhere.org", "http://example.org:8080"}};
  EXPECT_EQ(status(request(own), listed), 101);
  EXPECT_EQ(status(request(other), listed), 403);  // another scheme
  EXPECT_EQ(status(request({{"origin", "https://elsewhere.org:443"}}), listed), 101);
  listed.same_origin = true;  // both must hold
  EXPECT_EQ(status(request({{"origin", "https://elsewhere.org"}}), listed), 403);
  EXPECT_EQ(status(request(own), listed), 101);
}

TEST(WsUpgrade, GrantsWhatIsOfferedAndAllowed) {
  const Headers offer = {{"sec-websocket-extensions", "x-other, permessage-deflate; client_max_window_bits"},
                         {"nats-no-masking", "true"}};
  EXPECT_FALSE(check_upgrade(request(offer), {}, false)->deflate);
  EXPECT_TRUE(check_upgrade(request(offer), {}, false)->no_masking);
  WebSocketOptions options{.compression = true, .headers = {{"X-Site", "a"}}};
  const auto granted = check_upgrade(request(offer), options, false);
  EXPECT_TRUE(granted->deflate);
  EXPECT_EQ(upgrade_response(*granted, options),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
            "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
            "client_no_context_takeover\r\nNats-No-Masking: true\r\nX-Site: a\r\n\r\n");
  EXPECT_FALSE(check_upgrade(request(), options, false)->deflate);
}

TEST(WsUpgrade, ReadsCookiesBrowserAndForwardedAddress) {
  const WebSocketOptions options{.jwt_cookie = "jwt", .user_cookie = "u", .token_cookie = "t"};
  const auto granted = check_upgrade(
      request({{"cookie", "a=b; jwt=ey.J; u=\"ada\"; pass=unread"},
               {"x-forwarded-for", "10.1.2.3, 192.0.2.1"},
               {"user-agent", "Mozilla/5.0 (Macintosh) Version/17 Safari/605"}}),
      options, false);
  ASSERT_TRUE(granted.has_value());
  EXPECT_EQ(granted->cookies.jwt, "ey.J");
  EXPECT_EQ(granted->cookies.user, "ada");
  EXPECT_EQ(granted->cookies.pass, "");
  EXPECT_EQ(granted->cookies.token, "");
  EXPECT_EQ(granted->forwarded_for, "10.1.2.3");
  EXPECT_EQ(granted->max_frame_bytes, 4096u);
  EXPECT_TRUE(granted->whole_compressed);
  const auto junk = check_upgrade(request({{"x-forwarded-for", "\"}junk"}}), options, false);
  EXPECT_EQ(junk->forwarded_for, "");
}

TEST(WsUpgrade, OptionsThatContradictThemselvesAreTold) {
  EXPECT_TRUE(check_websocket_options({}).has_value());
  EXPECT_TRUE(check_websocket_options({.enabled = true, .no_tls = true}).has_value());
  EXPECT_EQ(check_websocket_options({.enabled = true}).error().detail,
            "websocket requires TLS configuration");
  EXPECT_FALSE(check_websocket_options(
                   {.enabled = true, .no_tls = true, .allowed_origins = {"nonsense"}}).has_value());
  EXPECT_FALSE(check_websocket_options(
                   {.enabled = true, .no_tls = true, .headers = {{"a", "b\r\nc: d"}}}).has_value());
}

}  // namespace
}  // namespace sluice
