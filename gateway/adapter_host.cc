#include "gateway/adapter_host.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace sluice {
namespace {

constexpr Logger kLog{"adapters"};

std::string_view name_of(const AdapterOptions& options) {
  return std::visit([](const auto& o) -> std::string_view { return o.name; }, options);
}

}  // namespace

AdapterHost::AdapterHost(Env& env, CoreAccess core) : env_(env), core_(std::move(core)) {}
AdapterHost::~AdapterHost() = default;

Status AdapterHost::start(const Config& config) {
  if (auto built = prepare(config); !built) return built;
  (void)commit();
  return {};
}

// ---- exchange

HostedAdapter* AdapterHost::find(std::string_view name) const {
  const auto found = std::ranges::find_if(hosted_, [&](const Hosted& one) { return one->name() == name; });
  return found == hosted_.end() ? nullptr : found->get();
}

AdapterHost::Hosted AdapterHost::take(std::string_view name) {
  const auto found = std::ranges::find_if(hosted_, [&](const Hosted& one) { return one && one->name() == name; });
  if (found == hosted_.end()) return nullptr;
  Hosted out = std::move(*found);
  hosted_.erase(found);
  return out;
}

Status AdapterHost::prepare(const Config& fresh) {
  auto next = std::make_unique<Prepared>();
  for (size_t i = 0; i < fresh.adapters.size(); ++i) {
    const std::string name(name_of(fresh.adapters[i]));
    next->order.push_back(name);
    const HostedAdapter* present = find(name);
    if (present != nullptr && present->text() == fresh.adapter_texts[i]) continue;
    auto built = HostedAdapter::make(env_, core_, fresh.adapters[i], fresh.adapter_texts[i]);
    if (!built)
      return std::unexpected(Error{built.error().code, 0, fmt::format("adapter '{}': {}", name, built.error().detail)});
    (present != nullptr ? next->changes.changed : next->changes.added).push_back(name);
    next->fresh.push_back(*std::move(built));
  }
  for (const Hosted& one : hosted_) {
    if (std::ranges::find(next->order, one->name()) == next->order.end())
      next->changes.removed.emplace_back(one->name());
  }
  prepared_ = std::move(next);
  return {};
}

AdapterChanges AdapterHost::commit() {
  const std::unique_ptr<Prepared> now = std::exchange(prepared_, nullptr);
  for (const std::string& name : now->changes.removed) {
    SLUICE_LOG(kLog, kInfo, "adapter removed name={}", name);
    tell(leave(take(name), [] {}));
  }
  std::vector<Hosted> next;
  auto fresh = now->fresh.begin();
  for (const std::string& name : now->order) {
    if (fresh != now->fresh.end() && (*fresh)->name() == name) {
      HostedAdapter* one = fresh->get();
      next.push_back(std::move(*fresh++));
      exchange(one, take(name));
    } else {
      next.push_back(take(name));
    }
  }
  hosted_ = std::move(next);
  return std::move(now->changes);
}

void AdapterHost::exchange(HostedAdapter* fresh, Hosted old) {
  if (!old) return fresh->start([] {});
  SLUICE_LOG(kLog, kInfo, "adapter changes name={}", fresh->name());
  if (old->may_overlap()) {
    const Place place = leave(std::move(old), [] {});
    return fresh->start([this, place] { tell(place); });
  }
  // Whoever has the name by then: another reload may have come meanwhile.
  tell(leave(std::move(old), [this, name = std::string(fresh->name())] {
    HostedAdapter* heir = find(name);
    if (!stopped_ && heir != nullptr && !heir->started()) heir->start([] {});
  }));
}

AdapterHost::Place AdapterHost::leave(Hosted old, std::move_only_function<void()> gone) {
  leaving_.push_back({std::move(old), std::move(gone)});
  return std::prev(leaving_.end());
}

void AdapterHost::tell(Place place) {
  if (std::exchange(place->told, true)) return;
  place->hosted->stop([this, place] {
    auto gone = std::move(place->gone);
    leaving_.erase(place);
    gone();
    one_stopped();
  });
}

// ---- end

void AdapterHost::one_stopped() {
  if (!stopped_ || --stopping_ > 0) return;
  auto finished = std::exchange(stopped_, nullptr);
  finished();
}

void AdapterHost::stop(std::move_only_function<void()> done) {
  stopped_ = std::move(done);
  stopping_ = hosted_.size() + leaving_.size() + 1;
  for (auto& hosted : hosted_) hosted->stop([this] { one_stopped(); });
  for (auto place = leaving_.begin(); place != leaving_.end(); ++place) tell(place);
  one_stopped();
}

// ---- figures

void AdapterHost::collect(MetricSink& sink) const {
  for (const auto& hosted : hosted_) {
    const Adapter& adapter = hosted->adapter();
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
    counter("sluice_adapter_restarts_total", "Times the adapter was made again after it could not start.", hosted->restarts());
    sink.gauge("sluice_adapter_in_flight", "Messages taken and not yet durable.", labels,
               static_cast<double>(figures.in_flight));
    counter("sluice_adapter_lost_at_source_total", "Messages that were gone before they could be taken.", figures.lost_at_source);
    if (figures.lag_total)
      sink.gauge("sluice_adapter_lag", "Messages that wait at the source.", labels, static_cast<double>(*figures.lag_total));
    for (const auto& [part, waiting] : figures.lag) {
      MetricLabels with_part = labels;
      with_part.emplace_back("part", part);
      sink.gauge("sluice_adapter_part_lag", "The same by part of the source, the hundred largest.", with_part,
                 static_cast<double>(waiting));
    }
    for (const auto& [reason, count] : figures.rejected) {
      MetricLabels with_reason = labels;
      with_reason.emplace_back("reason", reason);
      sink.counter("sluice_adapter_rejected_total", "Messages sent to the dead letters.",
                   with_reason, static_cast<double>(count));
    }
    for (const auto& [reason, count] : figures.refused) {
      MetricLabels with_reason = labels;
      with_reason.emplace_back("reason", reason);
      sink.counter("sluice_adapter_refused_total", "Messages and requests turned away at the door.",
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

void AdapterHost::each(const std::function<void(const HostedAdapter&)>& visit) const {
  for (const auto& hosted : hosted_) visit(*hosted);
}

std::vector<std::string> AdapterHost::down() const {
  std::vector<std::string> out;
  for (const auto& hosted : hosted_) {
    if (hosted->adapter().health() != AdapterHealth::kRunning) out.emplace_back(hosted->name());
  }
  return out;
}

std::string AdapterHost::trouble() const {
  for (const auto& hosted : hosted_) {
    if (!hosted->failed().empty())
      return fmt::format("adapter {} cannot start: {}", hosted->name(), hosted->failed());
  }
  return "";
}

}  // namespace sluice
