// The HTTP port for people and tools: /varz /connz /jsz /healthz as nats-top, the exporters and test harnesses
// read them, /metrics of our own. It only looks; nothing can be changed through it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/metrics.h"
#include "consumer/consumers.h"
#include "http/server.h"
#include "io/env.h"
#include "server/server.h"
#include "store/store.h"
#include "stream/streams.h"

namespace sluice {

/// What the monitor looks at. All of it outlives the monitor; store, streams and consumers may be null
/// (no JetStream).
struct MonitorSubject {
  Server& server;
  Store* store = nullptr;
  Streams* streams = nullptr;
  Consumers* consumers = nullptr;
  std::string store_dir;
  int64_t max_file_bytes = -1;
  int64_t max_memory_bytes = -1;
};

/// Memory and CPU of this process, from the operating system; the one who builds the daemon gives it.
struct ProcessFigures {
  uint64_t resident_bytes = 0;
  double cpu_seconds = 0;
};

/// Loop thread only.
class Monitor {
 public:
  Monitor(Env& env, MonitorSubject subject, std::function<ProcessFigures()> process);
  ~Monitor();

  /// kIo when the address can't be bound. Port 0 = any.
  Status listen(const std::string& host, uint16_t port);
  uint16_t port() const { return http_.port(); }

  /// Further rooms that have figures for /metrics (adapters, replicator, loop).
  void add_metrics(std::function<void(MetricSink&)> collect);
  /// A further condition for /healthz: empty = well, else what is wrong.
  void add_health(std::function<std::string()> check);
  /// A further page with its JSON, such as /adapters.
  void add_page(std::string path, std::function<std::string()> json);

 private:
  HttpResponse index();
  HttpResponse varz();
  HttpResponse connz(const HttpRequest& request);
  HttpResponse jsz(const HttpRequest& request);
  HttpResponse healthz(const HttpRequest& request);
  HttpResponse metrics();
  std::optional<HttpResponse> missing_asset(const HttpRequest& request) const;
  std::string trouble() const;

  Env& env_;
  MonitorSubject subject_;
  std::function<ProcessFigures()> process_;
  HttpServer http_;
  std::string host_;
  std::vector<std::string> pages_;
  std::vector<std::function<void(MetricSink&)>> metrics_;
  std::vector<std::function<std::string()>> checks_;
  double last_cpu_s_ = 0;
  MonoTime last_cpu_at_{0};
};

}  // namespace sluice
