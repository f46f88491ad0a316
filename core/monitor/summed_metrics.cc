#include "monitor/summed_metrics.h"

namespace sluice {

void SummedMetrics::add(bool counter, std::string_view name, std::string_view help,
                        const MetricLabels& labels, double value) {
  Family& family = families_[std::string(name)];
  family.counter = counter;
  family.help = help;
  Labels owned;
  for (const auto& [key, text] : labels) owned.emplace_back(key, text);
  family.values[std::move(owned)] += value;
}

void SummedMetrics::pour_into(MetricSink& sink) const {
  for (const auto& [name, family] : families_) {
    for (const auto& [owned, value] : family.values) {
      MetricLabels labels;
      for (const auto& [key, text] : owned) labels.emplace_back(key, text);
      if (family.counter) {
        sink.counter(name, family.help, labels, value);
      } else {
        sink.gauge(name, family.help, labels, value);
      }
    }
  }
}

}  // namespace sluice
