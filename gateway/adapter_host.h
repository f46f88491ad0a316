// Builds the adapters that the configuration names, starts and stops them, shows their figures.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "adapters/adapter.h"
#include "base/metrics.h"
#include "config/config.h"
#include "io/env.h"
#include "replicator/replicator.h"

namespace sluice {

/// Loop thread only.
class AdapterHost {
 public:
  AdapterHost(Env& env, LinkFactory make_link);
  ~AdapterHost();
  AdapterHost(const AdapterHost&) = delete;
  AdapterHost& operator=(const AdapterHost&) = delete;

  /// kInvalidArgument when one can't be built (a file that can't be read). A far network that does
  /// not answer is no error: it shows in trouble().
  Status start(const Config& config);
  /// `done` runs once, when every adapter has settled what was in flight.
  void stop(std::move_only_function<void()> done);

  void collect(MetricSink& sink) const;
  /// Calls `visit` for every adapter, in the configuration's order.
  void each(const std::function<void(const Adapter&)>& visit) const;
  /// The first adapter that could not start, in words; empty = all well.
  std::string trouble() const;

 private:
  struct Hosted;
  Env& env_;
  LinkFactory make_link_;
  std::vector<std::unique_ptr<Hosted>> hosted_;
  size_t stopping_ = 0;
  std::move_only_function<void()> stopped_;
};

}  // namespace sluice
