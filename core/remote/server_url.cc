#include "remote/server_url.h"

#include <charconv>
#include <optional>

namespace sluice {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return out;
}

}  // namespace

std::string ServerUrl::text() const {
  if (srv) return (tls ? "srv+tls://" : "srv://") + host;
  const bool v6 = host.find(':') != std::string::npos;
  return (tls ? "tls://" : "nats://") + (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<ServerUrl> parse_server_url(std::string_view text) {
  ServerUrl url;
  if (const size_t scheme = text.find("://"); scheme != std::string_view::npos) {
    const std::string_view name = text.substr(0, scheme);
    if (name != "nats" && name != "tls" && name != "srv" && name != "srv+tls")
      return fail(Errc::kInvalidArgument, "server URL: the scheme must be nats, tls, srv or srv+tls");
    url.tls = name.ends_with("tls");
    url.srv = name.starts_with("srv");
    text.remove_prefix(scheme + 3);
  }
  if (text.ends_with('/')) text.remove_suffix(1);
  if (const size_t at = text.rfind('@'); at != std::string_view::npos) {
    const std::string_view secret = text.substr(0, at);
    const size_t colon = secret.find(':');
    auto user = percent_decode(secret.substr(0, colon));
    std::optional<std::string> password =
        colon == std::string_view::npos ? std::string() : percent_decode(secret.substr(colon + 1));
    if (!user || !password)
      return fail(Errc::kInvalidArgument, "server URL: bad percent sign in user or password");
    url.user = std::move(*user);
    url.password = std::move(*password);
    url.has_password = colon != std::string_view::npos;
    text.remove_prefix(at + 1);
  }
  std::string_view port;
  if (text.starts_with('[')) {
    const size_t end = text.find(']');
    if (end == std::string_view::npos) return fail(Errc::kInvalidArgument, "server URL: no ]");
    url.host = text.substr(1, end - 1);
    text.remove_prefix(end + 1);
    if (text.starts_with(':'))
      port = text.substr(1);
    else if (!text.empty())
      return fail(Errc::kInvalidArgument, "server URL: rubbish after ]");
  } else {
    const size_t colon = text.find(':');
    url.host = text.substr(0, colon);
    if (colon != std::string_view::npos) port = text.substr(colon + 1);
  }
  if (url.host.empty() || url.host.find_first_of(" /?#") != std::string::npos)
    return fail(Errc::kInvalidArgument, "server URL: no usable host");
  if (url.srv && (!port.empty() || url.host.contains(':'))) return fail(Errc::kInvalidArgument, "server URL: DNS tells the ports of srv://");
  if (!port.empty()) {
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), url.port);
    if (error != std::errc{} || end != port.data() + port.size() || url.port == 0)
      return fail(Errc::kInvalidArgument, "server URL: bad port");
  }
  url.tls_name = url.host;
  return url;
}

}  // namespace sluice
