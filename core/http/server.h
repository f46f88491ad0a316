// An HTTP/1.1 server. What /varz and /metrics stand on (fixed pages), and the event sources (a service).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "http/message.h"
#include "http/request_parser.h"
#include "http/service.h"
#include "io/timers.h"
#include "io/transport.h"

namespace sluice {

struct HttpServerOptions {
  HttpLimits limits = {};
  size_t max_connections = 256;  ///< more are closed as they come
  /// Output waiting for one peer; pipelined requests behind it wait until it has gone.
  size_t max_queued_bytes = 4 * kMiB;
  size_t max_pipelined_count = 64;        ///< requests of one peer without their answer; then it is held back
  size_t max_body_memory_bytes = 64 * kMiB;  ///< announced by all peers together; more are told to come later
  std::chrono::nanoseconds request_timeout{
      10'000'000'000};                                     ///< accept or first byte → whole request
  std::chrono::nanoseconds idle_timeout{60'000'000'000};   ///< between two requests
  std::chrono::nanoseconds write_timeout{30'000'000'000};  ///< for an answer to go to the kernel
  std::chrono::nanoseconds busy_timeout{1'000'000'000};    ///< for a request that nobody takes
  std::chrono::nanoseconds answer_timeout{30'000'000'000}; ///< for a request that was taken
};

struct HttpServerCounters {
  uint64_t requests = 0;
  uint64_t bad_requests = 0;  ///< 400, 408, 413, 431
  uint64_t refused = 0;       ///< max_connections reached
  uint64_t busy = 0;          ///< not taken or not answered in time, or no memory for the body
};

/// Loop thread only. Destroying it closes every connection at once.
class HttpServer {
 public:
  using Handler = std::move_only_function<HttpResponse(const HttpRequest&)>;

  /// Serves pages: see add().
  HttpServer(Timers& timers, const HttpServerOptions& options);
  /// Everything goes to `service`.
  HttpServer(Timers& timers, const HttpServerOptions& options, HttpService& service);
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
  /// Requests that the service did not take are offered to it again, the longest waiting first.
  void offer_again();

  size_t connections() const { return connections_.size(); }
  const HttpServerCounters& counters() const { return counters_; }
  void collect(MetricSink& sink) const;

 private:
  friend class HttpConnection;
  class Pages;

  void drop(uint64_t id);

  Timers& timers_;
  HttpServerOptions options_;
  HttpServerCounters counters_;
  std::unique_ptr<Pages> pages_;
  HttpService& service_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  uint64_t last_id_ = 0;
  size_t body_memory_bytes_ = 0;
  std::deque<uint64_t> waiting_;  ///< connections whose request was not taken, in their order
  std::map<uint64_t, std::unique_ptr<class HttpConnection>> connections_;
};

}  // namespace sluice
