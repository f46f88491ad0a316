// HTTP requests that we make: libcurl's multi interface on the loop's poller and timers.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/limits.h"
#include "base/ticket.h"
#include "http/message.h"
#include "io/env.h"

namespace sluice {

struct HttpClientOptions {
  std::string ca_file = {};    ///< PEM; empty = the system's authorities
  std::string cert_file = {};  ///< PEM; a certificate of ours
  std::string key_file = {};
  std::chrono::milliseconds connect_timeout{5000};  ///< with the TLS handshake
  std::chrono::milliseconds timeout{30000};         ///< of one request, all in all
  size_t max_connections = 16;
  size_t max_answer_bytes = 64 * kKiB;  ///< more of a body is not read
};

struct HttpPost {
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;  ///< without CR or LF
  std::string body;
};

/// Loop thread only.
class HttpClient {
 public:
  virtual ~HttpClient() = default;
  /// `done` runs once, later, with an answer of whatever status, redirects included: they are not
  /// followed. kTimeout; kIo for everything else that keeps a whole answer away, an answer shorter than
  /// it said among it. Dropping the ticket cancels. `done` may destroy the client.
  virtual Ticket post(HttpPost request, std::move_only_function<void(Result<HttpResponse>)> done) = 0;
};

/// Certificates of https are always verified. No proxy is used, whatever the environment says.
/// @return kInvalidArgument when a file of the options can't be read.
Result<std::unique_ptr<HttpClient>> make_http_client(Env& env, HttpClientOptions options);

/// Whether `url` is http or https with a host, no user in it and nothing that can't be sent.
bool is_http_url(std::string_view url);

}  // namespace sluice
