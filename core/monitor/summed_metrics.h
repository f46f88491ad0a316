// Figures of several engines of one kind as one: what bears the same name and labels is added up.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/metrics.h"

namespace sluice {

class SummedMetrics final : public MetricSink {
 public:
  void counter(std::string_view name, std::string_view help, const MetricLabels& labels,
               double value) override {
    add(true, name, help, labels, value);
  }
  void gauge(std::string_view name, std::string_view help, const MetricLabels& labels,
             double value) override {
    add(false, name, help, labels, value);
  }
  void pour_into(MetricSink& sink) const;

 private:
  using Labels = std::vector<std::pair<std::string, std::string>>;
  struct Family {
    bool counter = false;
    std::string help;
    std::map<Labels, double> values;
  };

  void add(bool counter, std::string_view name, std::string_view help, const MetricLabels& labels,
           double value);

  std::map<std::string, Family, std::less<>> families_;
};

}  // namespace sluice
