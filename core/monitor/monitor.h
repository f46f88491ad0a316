// The HTTP port for people and tools: /varz /connz /jsz /healthz as nats-top, the exporters and
// test harnesses read them, /metrics of our own. It only looks; nothing can be changed through it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/metrics.h"
#include "http/server.h"
#include "io/env.h"
#include "monitor/pages.h"

namespace sluice {

/// Loop thread only.
class Monitor {
 public:
  /// `pages` outlives the monitor. `base_path` ("" or "/a") stands before every page.
  Monitor(Env& env, MonitorPages& pages, std::string base_path = {});
  ~Monitor();

  /// kIo when the address can't be bound. Port 0 = any.
  Status listen(const std::string& host, uint16_t port);
  uint16_t port() const { return http_.port(); }

  /// Further rooms that have figures for /metrics (adapters, replicator, loop).
  void add_metrics(std::function<void(MetricSink&)> collect);
  /// A further page with its JSON, such as /adapters.
  void add_page(std::string path, std::function<std::string()> json);

 private:
  HttpResponse index();
  HttpResponse metrics();

  Env& env_;
  MonitorPages& pages_;
  HttpServer http_;
  std::string base_path_;
  std::vector<std::string> own_pages_;
  std::vector<std::function<void(MetricSink&)>> metrics_;
};

}  // namespace sluice
