#include "http/request_parser.h"

#include <http_parser.h>

#include <algorithm>
#include <string>
#include <utility>

namespace sluice {
namespace {

std::string lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return text;
}

/// @return false when an escape is malformed.
bool parse_query(std::string_view text, HttpRequest& request) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('&'), text.size());
    const std::string_view part = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (part.empty()) continue;
    const size_t equals = std::min(part.find('='), part.size());
    auto name = percent_decode(part.substr(0, equals), true);
    auto value = percent_decode(part.substr(std::min(equals + 1, part.size())), true);
    if (!name || !value) return false;
    request.query.emplace_back(std::move(*name), std::move(*value));
  }
  return true;
}

}  // namespace

class HttpRequestParser::State {
 public:
  explicit State(const HttpLimits& limits) : limits_(limits) {
    http_parser_init(&parser_, HTTP_REQUEST);
    parser_.data = this;
  }

  Outcome parse(std::string_view& bytes) {
    if (error_status_ != 0) return Outcome::kBad;
    if (whole_) begin();
    if (std::exchange(at_head_, false)) http_parser_pause(&parser_, 0);
    const size_t used = http_parser_execute(&parser_, &settings(), bytes.data(), bytes.size());
    bytes.remove_prefix(std::min(used, bytes.size()));
    if (whole_) {
      http_parser_pause(&parser_, 0);
      return Outcome::kRequest;
    }
    if (at_head_) return Outcome::kHead;
    const http_errno error = HTTP_PARSER_ERRNO(&parser_);
    if (error == HPE_OK) return Outcome::kMore;
    if (error_status_ == 0) error_status_ = error == HPE_HEADER_OVERFLOW ? 431 : 400;
    return Outcome::kBad;
  }

  const HttpRequest& request() const { return request_; }
  HttpRequest take_request() { return std::move(request_); }
  size_t body_bytes_max() const {
    return (parser_.flags & F_CHUNKED) != 0 ? limits_.max_body_bytes
                                            : static_cast<size_t>(parser_.content_length);
  }
  uint16_t error_status() const { return error_status_; }
  bool in_request() const { return begun_ && !whole_; }

 private:
  enum class Last : uint8_t { kNone, kField, kValue };

  static const http_parser_settings& settings() {
    static const http_parser_settings kSettings = [] {
      http_parser_settings made;
      http_parser_settings_init(&made);
      made.on_message_begin = [](http_parser* parser) { return of(parser).on_begin(); };
      made.on_url = [](http_parser* parser, const char* at, size_t size) {
        return of(parser).on_url({at, size});
      };
      made.on_header_field = [](http_parser* parser, const char* at, size_t size) {
        return of(parser).on_field({at, size});
      };
      made.on_header_value = [](http_parser* parser, const char* at, size_t size) {
        return of(parser).on_value({at, size});
      };
      made.on_headers_complete = [](http_parser* parser) { return of(parser).on_headers(); };
      made.on_body = [](http_parser* parser, const char* at, size_t size) {
        return of(parser).on_body({at, size});
      };
      made.on_message_complete = [](http_parser* parser) { return of(parser).on_complete(); };
      return made;
    }();
    return kSettings;
  }
  static State& of(http_parser* parser) { return *static_cast<State*>(parser->data); }

  void begin() {
    request_ = {};
    url_.clear();
    header_bytes_ = body_bytes_ = 0;
    last_ = Last::kNone;
    begun_ = whole_ = headers_done_ = at_head_ = false;
  }

  int bad(uint16_t status) {
    error_status_ = status;
    return -1;
  }

  int count_header(size_t bytes) {
    header_bytes_ += bytes;
    return header_bytes_ > limits_.max_header_bytes ? bad(431) : 0;
  }

  int on_begin() {
    begun_ = true;
    return 0;
  }
  int on_url(std::string_view bytes) {
    url_.append(bytes);
    return count_header(bytes.size());
  }
  int on_field(std::string_view bytes) {
    // Fields behind a chunked body are of no use here.
    if (headers_done_) return count_header(bytes.size());
    if (last_ != Last::kField) {
      request_.headers.emplace_back();
      header_bytes_ += 4;  // ": " and the line end
    }
    last_ = Last::kField;
    request_.headers.back().first += lower(std::string(bytes));
    return count_header(bytes.size());
  }
  int on_value(std::string_view bytes) {
    if (!headers_done_ && last_ != Last::kNone) {
      last_ = Last::kValue;
      request_.headers.back().second.append(bytes);
    }
    return count_header(bytes.size());
  }

  int on_headers() {
    headers_done_ = true;
    const bool needs_host = parser_.http_major == 1 && parser_.http_minor >= 1;
    if (parser_.http_major != 1 || (needs_host && !request_.header("host"))) return bad(400);
    if (!read_url()) return bad(400);
    request_.method = parser_.method == HTTP_GET       ? HttpMethod::kGet
                      : parser_.method == HTTP_HEAD    ? HttpMethod::kHead
                      : parser_.method == HTTP_POST    ? HttpMethod::kPost
                      : parser_.method == HTTP_OPTIONS ? HttpMethod::kOptions
                                                       : HttpMethod::kOther;
    // A switch to another protocol is not offered: answered as an ordinary request, then closed.
    const bool wants_other = parser_.upgrade != 0;
    request_.keep_alive = !wants_other && http_should_keep_alive(&parser_) != 0;
    if (parser_.content_length != UINT64_MAX && parser_.content_length > limits_.max_body_bytes)
      return bad(413);
    const bool chunked = (parser_.flags & F_CHUNKED) != 0;
    const bool sized = parser_.content_length != UINT64_MAX && parser_.content_length > 0;
    if (limits_.stop_at_head && (chunked || sized)) {
      at_head_ = true;
      http_parser_pause(&parser_, 1);
    }
    return 0;
  }

  bool read_url() {
    http_parser_url parts;
    http_parser_url_init(&parts);
    if (parser_.method == HTTP_CONNECT || url_ == "*") {
      request_.path = url_;  // no route has such a path
      return true;
    }
    if (http_parser_parse_url(url_.data(), url_.size(), 0, &parts) != 0) return false;
    const auto part = [&](http_parser_url_fields field) -> std::string_view {
      if ((parts.field_set & (1u << field)) == 0) return {};
      return std::string_view(url_).substr(parts.field_data[field].off,
                                           parts.field_data[field].len);
    };
    auto path = percent_decode(part(UF_PATH), false);
    if (!path) return false;
    request_.path = path->empty() ? "/" : std::move(*path);
    return parse_query(part(UF_QUERY), request_);
  }

  int on_body(std::string_view bytes) {
    body_bytes_ += bytes.size();
    if (body_bytes_ > limits_.max_body_bytes) return bad(413);
    if (limits_.keep_body) request_.body.append(bytes);
    return 0;
  }
  int on_complete() {
    whole_ = true;
    http_parser_pause(&parser_, 1);
    return 0;
  }

  HttpLimits limits_;
  http_parser parser_;
  HttpRequest request_;
  std::string url_;
  size_t header_bytes_ = 0;
  size_t body_bytes_ = 0;
  Last last_ = Last::kNone;
  bool begun_ = false;
  bool whole_ = false;
  bool headers_done_ = false;
  bool at_head_ = false;
  uint16_t error_status_ = 0;
};

HttpRequestParser::HttpRequestParser(const HttpLimits& limits)
    : state_(std::make_unique<State>(limits)) {}
HttpRequestParser::~HttpRequestParser() = default;
HttpRequestParser::Outcome HttpRequestParser::parse(std::string_view& bytes) {
  return state_->parse(bytes);
}
const HttpRequest& HttpRequestParser::request() const { return state_->request(); }
HttpRequest HttpRequestParser::take_request() { return state_->take_request(); }
size_t HttpRequestParser::body_bytes_max() const { return state_->body_bytes_max(); }
uint16_t HttpRequestParser::error_status() const { return state_->error_status(); }
bool HttpRequestParser::in_request() const { return state_->in_request(); }

}  // namespace sluice
