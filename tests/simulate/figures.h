// One figure of a part's metrics.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "base/metrics.h"

namespace sluice::simulate {

/// The sum over all labels, or over those with this value; 0 when there is none of that name. `Part` has collect().
template <class Part>
uint64_t figure(const Part& part, std::string_view name, std::string_view label_value = "") {
  struct Sink : MetricSink {
    Sink(std::string_view wanted_name, std::string_view wanted_value) : wanted(wanted_name), value_wanted(wanted_value) {}
    void counter(std::string_view found, std::string_view, const MetricLabels& labels, double value) override {
      if (found != wanted) return;
      if (value_wanted.empty() || std::ranges::any_of(labels, [this](const auto& label) { return label.second == value_wanted; })) sum += value;
    }
    void gauge(std::string_view found, std::string_view help, const MetricLabels& labels, double value) override {
      counter(found, help, labels, value);
    }
    std::string_view wanted, value_wanted;
    double sum = 0;
  } sink(name, label_value);
  part.collect(sink);
  return static_cast<uint64_t>(sink.sum);
}

}  // namespace sluice::simulate
