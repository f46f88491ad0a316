// One figure of a store's metrics.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/metrics.h"
#include "store/store.h"

namespace sluice::simulate {

/// The sum over all labels; 0 when there is none of that name.
inline uint64_t figure(const Store& store, std::string_view name) {
  struct Sink : MetricSink {
    explicit Sink(std::string_view wanted_name) : wanted(wanted_name) {}
    void counter(std::string_view found, std::string_view, const MetricLabels&, double value) override {
      if (found == wanted) sum += value;
    }
    void gauge(std::string_view found, std::string_view help, const MetricLabels& labels, double value) override {
      counter(found, help, labels, value);
    }
    std::string_view wanted;
    double sum = 0;
  } sink(name);
  store.collect(sink);
  return static_cast<uint64_t>(sink.sum);
}

}  // namespace sluice::simulate
