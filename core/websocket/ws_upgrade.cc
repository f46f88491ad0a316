#include "websocket/ws_upgrade.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>

#include "base/base64.h"
#include "base/parse_number.h"
#include "crypto/digest.h"

namespace sluice {
namespace {

constexpr size_t kBrowserFrame_bytes = 4096;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// Calls `each` for the trimmed parts between separators.
template <class Each>
void for_parts(std::string_view text, char separator, Each&& each) {
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    each(trimmed(text.substr(0, end)));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

/// Whether one of the fields of that name lists the token, in whatever case.
bool field_lists(const HttpRequest& request, std::string_view field, std::string_view token) {
  bool found = false;
  for (const auto& [name, value] : request.headers) {
    if (name != field) continue;
    for_parts(value, ',', [&](std::string_view part) { found = found || lower(part) == token; });
  }
  return found;
}

bool offers_deflate(const HttpRequest& request) {
  bool found = false;
  for (const auto& [name, value] : request.headers) {
    if (name != "sec-websocket-extensions") continue;
    for_parts(value, ',', [&](std::string_view extension) {
      const std::string_view kind = trimmed(extension.substr(0, extension.find(';')));
      found = found || lower(kind) == "permessage-deflate";
    });
  }
  return found;
}

std::string cookie_of(const HttpRequest& request, const std::string& wanted) {
  std::string found;
  if (wanted.empty()) return found;
  for (const auto& [name, value] : request.headers) {
    if (name != "cookie") continue;
    for_parts(value, ';', [&](std::string_view part) {
      const size_t equals = part.find('=');
      if (equals == part.npos || part.substr(0, equals) != wanted || !found.empty()) return;
      std::string_view text = part.substr(equals + 1);
      if (text.size() >= 2 && text.front() == '"' && text.back() == '"')
        text = text.substr(1, text.size() - 2);
      found = text;
    });
  }
  return found;
}

bool origin_is_fine(const HttpRequest& request, const WebSocketOptions& options, bool tls) {
  if (!options.same_origin && options.allowed_origins.empty()) return true;
  auto given = request.header("origin");
  if (!given || given->empty()) given = request.header("sec-websocket-origin");
  if (!given || given->empty()) return true;  // not a browser
  const auto origin = parse_origin(*given);
  if (!origin) return false;
  if (options.same_origin) {
    const std::string host(request.header("host").value_or(""));
    const auto own = parse_origin((tls ? "https://" : "http://") + host);
    if (!own || own->host != origin->host || own->port != origin->port) return false;
  }
  if (options.allowed_origins.empty()) return true;
  return std::ranges::any_of(options.allowed_origins, [&](const std::string& allowed) {
    return parse_origin(allowed) == origin;
  });
}

bool is_address(const std::string& text) {
  std::array<unsigned char, 16> bytes{};
  return inet_pton(AF_INET, text.c_str(), bytes.data()) == 1 ||
         inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1;
}

void read_browser(const HttpRequest& request, WsUpgrade& upgrade) {
  const std::string_view agent = request.header("user-agent").value_or("");
  if (!agent.starts_with("Mozilla/")) return;
  upgrade.max_frame_bytes = kBrowserFrame_bytes;
  upgrade.whole_compressed = agent.find("Version/") != agent.npos &&
                             agent.find("Safari/") != agent.npos;
}

}  // namespace

Status check_websocket_options(const WebSocketOptions& options) {
  if (!options.enabled) return {};
  if (!options.no_tls && !options.tls.enabled())
    return fail(Errc::kInvalidArgument, "websocket requires TLS configuration");
  for (const std::string& origin : options.allowed_origins) {
    if (!parse_origin(origin))
      return fail(Errc::kInvalidArgument, "unable to parse allowed origin: " + origin);
  }
  for (const auto& [name, value] : options.headers) {
    const bool clean = !name.empty() && (name + value).find_first_of("\r\n") == std::string::npos &&
                       name.find_first_of(": ") == std::string::npos;
    if (!clean) return fail(Errc::kInvalidArgument, "websocket: invalid header \"" + name + "\"");
  }
  return {};
}

std::optional<WsOrigin> parse_origin(std::string_view text) {
  const size_t colon = text.find("://");
  if (colon == text.npos || colon == 0) return std::nullopt;
  WsOrigin origin;
  origin.scheme = lower(text.substr(0, colon));
  std::string_view host = text.substr(colon + 3);
  host = host.substr(0, host.find_first_of("/?#"));
  const size_t bracket = host.rfind(']');
  const size_t port = host.find(':', bracket == host.npos ? 0 : bracket);
  origin.port = origin.scheme == "https" ? 443 : 80;
  if (port != host.npos) {
    const auto number = parse_decimal<uint16_t>(host.substr(port + 1));
    if (!number) return std::nullopt;
    origin.port = *number;
    host = host.substr(0, port);
  }
  if (host.empty()) return std::nullopt;
  origin.host = lower(host);
  return origin;
}

std::string accept_key_of(std::string_view key) {
  return base64_encode(sha1(std::string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
}

std::expected<WsUpgrade, WsRefusal> check_upgrade(const HttpRequest& request,
                                                  const WebSocketOptions& options, bool tls) {
  const auto bad = [](std::string_view why) { return std::unexpected(WsRefusal{400, why}); };
  if (request.method != HttpMethod::kGet)
    return std::unexpected(WsRefusal{405, "request method must be GET"});
  if (request.header("host").value_or("").empty()) return bad("'Host' missing in request");
  if (!field_lists(request, "upgrade", "websocket"))
    return bad("invalid value for header 'Upgrade'");
  if (!field_lists(request, "connection", "upgrade"))
    return bad("invalid value for header 'Connection'");
  const std::string_view key = request.header("sec-websocket-key").value_or("");
  const auto bytes = base64_decode(key);
  if (!bytes || bytes->size() != 16) return bad("key missing or of a wrong size");
  if (!field_lists(request, "sec-websocket-version", "13")) return bad("invalid version");
  if (!origin_is_fine(request, options, tls))
    return std::unexpected(WsRefusal{403, "origin not allowed"});
  if (request.path == "/mqtt") return std::unexpected(WsRefusal{404, "MQTT is not offered"});
  WsUpgrade upgrade;
  upgrade.accept_key = accept_key_of(key);
  upgrade.path = request.path;
  upgrade.deflate = options.compression && offers_deflate(request);
  upgrade.no_masking = lower(request.header("nats-no-masking").value_or("")) == "true";
  read_browser(request, upgrade);
  const std::string_view forwarded = request.header("x-forwarded-for").value_or("");
  const std::string client(trimmed(forwarded.substr(0, forwarded.find(','))));
  if (is_address(client)) upgrade.forwarded_for = client;
  upgrade.cookies = {.jwt = cookie_of(request, options.jwt_cookie),
                     .user = cookie_of(request, options.user_cookie),
                     .pass = cookie_of(request, options.pass_cookie),
                     .token = cookie_of(request, options.token_cookie)};
  return upgrade;
}

std::string upgrade_response(const WsUpgrade& upgrade, const WebSocketOptions& options) {
  std::string out =
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Accept: " + upgrade.accept_key + "\r\n";
  if (upgrade.deflate) {
    out +=
        "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
        "client_no_context_takeover\r\n";
  }
  if (upgrade.no_masking) out += "Nats-No-Masking: true\r\n";
  for (const auto& [name, value] : options.headers) out += name + ": " + value + "\r\n";
  return out + "\r\n";
}

std::string refusal_response(const WsRefusal& refusal) {
  HttpResponse response = plain_response(refusal.status);
  response.headers.emplace_back("Sec-Websocket-Version", "13");
  std::string out;
  append_http_response(out, response, false, false);
  return out;
}

}  // namespace sluice
