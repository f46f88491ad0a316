// An HTTP/1.1 server for reading: GET and HEAD of fixed paths. What /varz and /metrics stand on.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/metrics.h"
#include "http/message.h"
#include "http/request_parser.h"
#include "io/timers.h"
#include "io/transport.h"

namespace sluice {

struct HttpServerOptions {
  HttpLimits limits = {};
  size_t max_connections = 256;  ///< more are closed as they come
  /// Output waiting for one peer; pipelined requests behind it wait until it has gone.
  size_t max_queued_bytes = 4 * kMiB;
  std::chrono::nanoseconds request_timeout{
      10'000'000'000};                                     ///< accept or first byte → whole request
  std::chrono::nanoseconds idle_timeout{60'000'000'000};   ///< between two requests
  std::chrono::nanoseconds write_timeout{30'000'000'000};  ///< for an answer to go to the kernel
};

/// Loop thread only. Destroying it closes every connection at once.
class HttpServer {
 public:
  using Handler = std::move_only_function<HttpResponse(const HttpRequest&)>;

  HttpServer(Timers& timers, const HttpServerOptions& options);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// Serves `path` (whole, begins with '/'). Called for GET and HEAD; a HEAD's body is not sent.
  /// The handler must not destroy the server. A path can be added once.
  void add(std::string path, Handler handler);
  /// Listens; several addresses are allowed. kIo when the address can't be bound.
  Status listen(Network& network, const std::string& host, uint16_t port);
  /// Port of the last successful listen(); 0 = none.
  uint16_t port() const;
  /// Takes over one connection; what listen() does with each.
  void serve(std::unique_ptr<Transport> transport);

  size_t connections() const { return connections_.size(); }
  void collect(MetricSink& sink) const;

 private:
  class Connection;
  struct Counters {
    uint64_t requests = 0;
    uint64_t bad_requests = 0;  ///< 400, 408, 413, 431
    uint64_t refused = 0;       ///< max_connections reached
  };

  HttpResponse answer(const HttpRequest& request);
  void drop(uint64_t id);

  Timers& timers_;
  HttpServerOptions options_;
  Counters counters_;
  std::map<std::string, Handler, std::less<>> routes_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  uint64_t last_id_ = 0;
  std::map<uint64_t, std::unique_ptr<Connection>> connections_;
};

}  // namespace sluice
