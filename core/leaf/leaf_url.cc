#include "leaf/leaf_url.h"

#include <algorithm>

#include "base/parse_number.h"

namespace sluice {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string unescaped(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const int high = i + 2 < text.size() && text[i] == '%' ? hex_digit(text[i + 1]) : -1;
    const int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
    if (low < 0) {
      out += text[i];
      continue;
    }
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

}  // namespace

Result<LeafUrl> parse_leaf_url(std::string_view text) {
  const auto bad = [](const char* why) {
    return fail(Errc::kInvalidArgument, std::string("leaf remote URL: ") + why);
  };
  LeafUrl url;
  if (const size_t colon = text.find("://"); colon != text.npos) {
    const std::string_view scheme = text.substr(0, colon);
    text.remove_prefix(colon + 3);
    url.tls = scheme == "tls";
    if (scheme == "ws" || scheme == "wss")
      return fail(Errc::kUnsupported, "leaf remote URL: leaf nodes over WebSocket are not carried out");
    if (!url.tls && scheme != "nats" && scheme != "nats-leaf" && scheme != "leafnode")
      return bad("unknown scheme");
  }
  text = text.substr(0, text.find('/'));
  if (const size_t at = text.rfind('@'); at != text.npos) {
    const std::string_view user = text.substr(0, at);
    text.remove_prefix(at + 1);
    const size_t colon = std::min(user.find(':'), user.size());
    url.user = unescaped(user.substr(0, colon));
    url.password = unescaped(user.substr(std::min(colon + 1, user.size())));
  }
  const size_t bracket = text.rfind(']');
  const size_t colon = text.find(':', bracket == text.npos ? 0 : bracket);
  if (colon != text.npos) {
    const auto port = parse_decimal<uint16_t>(text.substr(colon + 1));
    if (!port || *port == 0) return bad("the port is no number");
    url.port = *port;
    text = text.substr(0, colon);
  }
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  if (text.empty()) return bad("no host");
  url.host = text;
  return url;
}

}  // namespace sluice
