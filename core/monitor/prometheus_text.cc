#include "monitor/prometheus_text.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <map>
#include <vector>

namespace sluice {
namespace {

std::vector<prometheus::ClientMetric::Label> labels_of(const MetricLabels& labels) {
  std::vector<prometheus::ClientMetric::Label> out;
  out.reserve(labels.size());
  for (const auto& [name, value] : labels) out.push_back({std::string(name), std::string(value)});
  return out;
}

}  // namespace

struct PrometheusText::Families {
  std::vector<prometheus::MetricFamily> all;
  std::map<std::string, size_t, std::less<>> index;

  prometheus::MetricFamily& of(std::string_view name, std::string_view help,
                               prometheus::MetricType type) {
    auto it = index.find(name);
    if (it == index.end()) {
      it = index.emplace(std::string(name), all.size()).first;
      all.push_back({std::string(name), std::string(help), type, {}});
    }
    return all[it->second];
  }
};

PrometheusText::PrometheusText() : families_(std::make_unique<Families>()) {}
PrometheusText::~PrometheusText() = default;

void PrometheusText::counter(std::string_view name, std::string_view help,
                             const MetricLabels& labels, double value) {
  prometheus::ClientMetric metric;
  metric.label = labels_of(labels);
  metric.counter.value = value;
  families_->of(name, help, prometheus::MetricType::Counter).metric.push_back(std::move(metric));
}

void PrometheusText::gauge(std::string_view name, std::string_view help, const MetricLabels& labels,
                           double value) {
  prometheus::ClientMetric metric;
  metric.label = labels_of(labels);
  metric.gauge.value = value;
  families_->of(name, help, prometheus::MetricType::Gauge).metric.push_back(std::move(metric));
}

std::string PrometheusText::text() const {
  return prometheus::TextSerializer().Serialize(families_->all);
}

}  // namespace sluice
