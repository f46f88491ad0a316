// The `websocket` section.
#include "config/config.h"
#include "config/sections.h"

namespace sluice {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;

/// `name: value` pairs.
void read_headers(ReadContext& context, const YamlNode& node, const FieldRow& row,
                  WebSocketOptions& options) {
  if (node.kind == YamlNode::Kind::kNull) return;
  if (node.kind != YamlNode::Kind::kMap) {
    context.problems.add(node.place, "'" + row.name + "' must be a section of 'name: value' lines");
    return;
  }
  for (const YamlNode::Entry& entry : node.entries) {
    if (auto value = read_text(context, entry.value))
      options.headers.emplace_back(entry.key, std::move(*value));
  }
}

}  // namespace

const FieldRows& websocket_fields() {
  static const FieldRows rows = [] {
    using O = WebSocketOptions;
    FieldTable<O> t("The listener for WebSocket clients.");
    t.flag("enabled", &O::enabled).doc("Listen at all.");
    t.address("listen", &O::host, &O::port).doc("Address WebSocket clients connect to. Port -1: any free one.");
    t.flag("no_tls", &O::no_tls).doc("Speak `ws://` in clear; otherwise `tls` is needed.");
    t.section("tls", &O::tls, tls_listener_fields()).doc("TLS, for `wss://`.");
    t.flag("same_origin", &O::same_origin)
        .doc("A page may connect only to the host it came from.");
    t.text_list("allowed_origins", &O::allowed_origins)
        .doc("Origins whose pages may connect, as `https://host[:port]`. Empty: any.");
    t.time("handshake_timeout", &O::handshake_timeout)
        .between(milliseconds(10), minutes(10))
        .doc("Time a client has for its HTTP request.");
    t.flag("compression", &O::compression).doc("permessage-deflate for clients that offer it.");
    t.time("ping_interval", &O::ping_interval)
        .between(milliseconds(0), hours(24))
        .doc("Silence after which a WebSocket client is asked for a sign of life. 0: the server's.");
    t.text("user_cookie", &O::user_cookie).doc("Cookie that holds a user name CONNECT left out.");
    t.text("pass_cookie", &O::pass_cookie).doc("Cookie that holds a password CONNECT left out.");
    t.text("token_cookie", &O::token_cookie).doc("Cookie that holds a token CONNECT left out.");
    t.text("jwt_cookie", &O::jwt_cookie).doc("Cookie that holds a user JWT CONNECT left out.");
    t.own("headers", FieldKind::kText, "", &read_headers)
        .doc("Fields added to the answer of the handshake, as `name: value` lines.");
    t.count("max_handshakes", &O::max_handshakes)
        .between(1, 1'000'000)
        .doc("Handshakes under way at one time; more are closed as they come.");
    return t.take();
  }();
  return rows;
}

}  // namespace sluice
