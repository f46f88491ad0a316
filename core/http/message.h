// One HTTP exchange, as a handler sees it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice {

enum class HttpMethod : uint8_t { kGet, kHead, kPost, kOptions, kOther };

struct HttpRequest {
  HttpMethod method = HttpMethod::kOther;
  std::string path;                                          ///< decoded, begins with '/'
  std::vector<std::pair<std::string, std::string>> query;    ///< decoded, in order
  std::vector<std::pair<std::string, std::string>> headers;  ///< names in lower case
  std::string body{};       ///< where HttpLimits::keep_body is set
  bool keep_alive = false;
  uint64_t connection = 0;  ///< a number of its own, never used again; 0 outside a server

  /// The first value of that query parameter ("" for `?name`).
  std::optional<std::string_view> param(std::string_view name) const;
  /// @param name in lower case
  std::optional<std::string_view> header(std::string_view name) const;
};

struct HttpResponse {
  uint16_t status = 200;
  std::string content_type = "application/json";
  std::string body;
  /// Further header fields; names and values without CR or LF.
  std::vector<std::pair<std::string, std::string>> headers;
};

/// "Not Found"; "" for a status without a name here.
std::string_view http_reason(uint16_t status);
/// A plain text answer that says its reason.
HttpResponse plain_response(uint16_t status);
/// "503 Service Unavailable" with Retry-After.
HttpResponse busy_response(uint64_t retry_after_seconds);
/// The whole answer. `head` leaves the body out but tells its length.
void append_http_response(std::string& out, const HttpResponse& response, bool head,
                          bool keep_alive);

/// %XX and, when `plus` is set, '+' for a blank. nullopt when an escape is malformed.
std::optional<std::string> percent_decode(std::string_view text, bool plus);

}  // namespace sluice
