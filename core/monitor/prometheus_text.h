// Prometheus text out of what the rooms report.
#pragma once

#include <memory>
#include <string>

#include "base/metrics.h"

namespace sluice {

/// Collects one scrape; families in order of first appearance.
class PrometheusText final : public MetricSink {
 public:
  PrometheusText();
  ~PrometheusText() override;
  void counter(std::string_view name, std::string_view help, const MetricLabels& labels,
               double value) override;
  void gauge(std::string_view name, std::string_view help, const MetricLabels& labels,
             double value) override;
  /// Text format 0.0.4.
  std::string text() const;

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace sluice
