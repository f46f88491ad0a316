// Bytes → HTTP/1.x requests, one at a time. Pure: knows no socket. The grammar is http-parser's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/limits.h"
#include "http/message.h"

namespace sluice {

struct HttpLimits {
  size_t max_header_bytes = 8 * kKiB;  ///< request line and header fields
  size_t max_body_bytes = 64 * kKiB;
  bool keep_body = false;     ///< into HttpRequest::body; else bodies are read and thrown away
  bool stop_at_head = false;  ///< tell kHead before a body is read
};

class HttpRequestParser {
 public:
  enum class Outcome : uint8_t {
    kHead,     ///< request() has all but its body, which follows; bytes behind were not used
    kMore,     ///< all bytes used, no whole request yet
    kRequest,  ///< request() holds one; bytes behind it were not used
    kBad,      ///< error_status() tells the answer; nothing can be parsed any more
  };

  explicit HttpRequestParser(const HttpLimits& limits);
  ~HttpRequestParser();
  HttpRequestParser(const HttpRequestParser&) = delete;
  HttpRequestParser& operator=(const HttpRequestParser&) = delete;

  /// Cuts what it used off the front of `bytes`.
  Outcome parse(std::string_view& bytes);
  const HttpRequest& request() const;
  /// After kRequest: the request, given away.
  HttpRequest take_request();
  /// After kHead: bytes of the body, as far as the head tells: max_body_bytes when it comes in chunks.
  size_t body_bytes_max() const;
  /// 400, 413 or 431.
  uint16_t error_status() const;
  /// Whether a request has begun and not ended.
  bool in_request() const;

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace sluice
