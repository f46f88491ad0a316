#include "gateway/adapter_host.h"

#include <fmt/format.h>

#include <utility>

#include "adapters/choria_registration/adapter.h"
#include "adapters/choria_submission/adapter.h"
#include "adapters/nats_subject/adapter.h"
#include "base/log.h"
#include "client/stream_client.h"

namespace sluice {
namespace {

constexpr Logger kLog{"adapters"};

Result<std::unique_ptr<Adapter>> make_adapter(Env& env, NatsLink& network, StreamClient& target,
                                              const ChoriaRegistrationOptions& options) {
  return make_choria_registration(env, network, target, options);
}
Result<std::unique_ptr<Adapter>> make_adapter(Env& env, NatsLink& network, StreamClient& target,
                                              const ChoriaSubmissionOptions& options) {
  return make_choria_submission(env, network, target, options);
}
Result<std::unique_ptr<Adapter>> make_adapter(Env& env, NatsLink& network, StreamClient& target,
                                              const NatsSubjectOptions& options) {
  return make_nats_subject(env, network, target, options);
}

}  // namespace

/// One adapter with all it stands on; taken down from the last member up. The source has a link of
/// its own: pausing it must not hold up the target's acks.
struct AdapterHost::Hosted {
  std::unique_ptr<NatsLink> source;
  std::unique_ptr<NatsLink> target;
  std::unique_ptr<StreamClient> streams;
  std::unique_ptr<Adapter> adapter;
  std::string failed;  ///< why it could not start
};

AdapterHost::AdapterHost(Env& env, LinkFactory make_link)
    : env_(env), make_link_(std::move(make_link)) {}
AdapterHost::~AdapterHost() = default;

Status AdapterHost::start(const Config& config) {
  for (const AdapterOptions& options : config.adapters) {
    auto hosted = std::make_unique<Hosted>();
    auto source = make_link_(std::visit([](const auto& o) { return o.network; }, options));
    if (!source) return std::unexpected(source.error());
    auto target = make_link_(LinkOptions{});  // the embedded core
    if (!target) return std::unexpected(target.error());
    hosted->source = std::move(*source);
    hosted->target = std::move(*target);
    hosted->streams = StreamClient::make(env_, *hosted->target);
    auto adapter = std::visit(
        [&](const auto& o) { return make_adapter(env_, *hosted->source, *hosted->streams, o); },
        options);
    if (!adapter) return std::unexpected(adapter.error());
    hosted->adapter = std::move(*adapter);
    hosted_.push_back(std::move(hosted));
  }
  for (auto& hosted : hosted_) {
    Hosted* one = hosted.get();
    one->adapter->start([one](Status status) {
      if (status) {
        SLUICE_LOG(kLog, kInfo, "adapter runs name={} type={}", one->adapter->name(),
                   one->adapter->kind());
        return;
      }
      one->failed = status.error().detail;
      SLUICE_LOG(kLog, kError, "adapter cannot start name={} type={} error={}",
                 one->adapter->name(), one->adapter->kind(), one->failed);
    });
  }
  return {};
}

void AdapterHost::stop(std::move_only_function<void()> done) {
  stopped_ = std::move(done);
  stopping_ = hosted_.size() + 1;
  auto one_less = [this] {
    if (--stopping_ > 0) return;
    auto finished = std::exchange(stopped_, nullptr);
    finished();
  };
  for (auto& hosted : hosted_) hosted->adapter->stop(one_less);
  one_less();
}

void AdapterHost::collect(MetricSink& sink) const {
  for (const auto& hosted : hosted_) {
    const Adapter& adapter = *hosted->adapter;
    const AdapterFigures& figures = adapter.figures();
    const MetricLabels labels = {{"adapter", adapter.name()}, {"type", adapter.kind()}};
    auto counter = [&](std::string_view name, std::string_view help, uint64_t value) {
      sink.counter(name, help, labels, static_cast<double>(value));
    };
    counter("sluice_adapter_received_total", "Messages taken from the source.", figures.received);
    counter("sluice_adapter_received_bytes_total", "Bytes of them.", figures.received_bytes);
    counter("sluice_adapter_accepted_total", "Messages durable in a stream.", figures.accepted);
    counter("sluice_adapter_duplicates_total", "Messages the stream held already.",
            figures.duplicates);
    counter("sluice_adapter_pauses_total", "Times the source was held back.", figures.paused);
    sink.gauge("sluice_adapter_in_flight", "Messages taken and not yet durable.", labels,
               static_cast<double>(figures.in_flight));
    for (const auto& [reason, count] : figures.rejected) {
      MetricLabels with_reason = labels;
      with_reason.emplace_back("reason", reason);
      sink.counter("sluice_adapter_rejected_total", "Messages sent to the dead letters.",
                   with_reason, static_cast<double>(count));
    }
    for (AdapterHealth health : {AdapterHealth::kStarting, AdapterHealth::kRunning,
                                 AdapterHealth::kDegraded, AdapterHealth::kStopped}) {
      MetricLabels with_state = labels;
      with_state.emplace_back("state", to_string(health));
      sink.gauge("sluice_adapter_state", "1 for the state the adapter is in.", with_state,
                 adapter.health() == health ? 1 : 0);
    }
  }
}

void AdapterHost::each(const std::function<void(const Adapter&)>& visit) const {
  for (const auto& hosted : hosted_) visit(*hosted->adapter);
}

std::string AdapterHost::trouble() const {
  for (const auto& hosted : hosted_) {
    if (!hosted->failed.empty()) {
      return fmt::format("adapter {} cannot start: {}", hosted->adapter->name(), hosted->failed);
    }
  }
  return "";
}

}  // namespace sluice
