// Plain counters of the loop, collected when somebody asks (a scrape), never before.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

namespace sluice {

using MetricLabels = std::vector<std::pair<std::string_view, std::string_view>>;

/// Where a room puts its figures at a scrape. Names follow Prometheus: base units, `_total` for
/// counters, no label whose values are without bound (no subjects).
class MetricSink {
 public:
  virtual ~MetricSink() = default;
  virtual void counter(std::string_view name, std::string_view help, const MetricLabels& labels, double value) = 0;
  virtual void gauge(std::string_view name, std::string_view help, const MetricLabels& labels, double value) = 0;
};

}  // namespace sluice
