#include "http/message.h"

#include "base/check.h"

namespace sluice {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

std::optional<std::string_view> first_value(const Fields& fields, std::string_view name) {
  for (const auto& [key, value] : fields) {
    if (key == name) return value;
  }
  return std::nullopt;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  SLUICE_CHECK(name.find_first_of(":\r\n") == std::string_view::npos);
  SLUICE_CHECK(value.find_first_of("\r\n") == std::string_view::npos);
  out.append(name).append(": ").append(value).append("\r\n");
}

}  // namespace

std::optional<std::string_view> HttpRequest::param(std::string_view name) const {
  return first_value(query, name);
}
std::optional<std::string_view> HttpRequest::header(std::string_view name) const {
  return first_value(headers, name);
}

std::string_view http_reason(uint16_t status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Payload Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Entity";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    default:
      return "";
  }
}

HttpResponse plain_response(uint16_t status) {
  return {.status = status,
          .content_type = "text/plain; charset=utf-8",
          .body = std::string(http_reason(status)) + "\n",
          .headers = {}};
}

HttpResponse busy_response(uint64_t retry_after_seconds) {
  HttpResponse response = plain_response(503);
  response.headers.emplace_back("Retry-After", std::to_string(retry_after_seconds));
  return response;
}

void append_http_response(std::string& out, const HttpResponse& response, bool head,
                          bool keep_alive) {
  out.append("HTTP/1.1 ")
      .append(std::to_string(response.status))
      .append(" ")
      .append(http_reason(response.status));
  out.append("\r\n");
  if (response.status != 204) {
    append_field(out, "Content-Type", response.content_type);
    append_field(out, "Content-Length", std::to_string(response.body.size()));
  }
  for (const auto& [name, value] : response.headers) append_field(out, name, value);
  append_field(out, "Connection", keep_alive ? "keep-alive" : "close");
  out.append("\r\n");
  if (!head && response.status != 204) out.append(response.body);
}

std::optional<std::string> percent_decode(std::string_view text, bool plus) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
      if (high < 0 || low < 0) return std::nullopt;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      out += plus && text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

}  // namespace sluice
