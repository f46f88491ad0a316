#include "gateway/core_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "adapters/stream_ingest.h"
#include "base/log.h"
#include "base/nuid.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

constexpr Logger kLog{"alerts"};
constexpr size_t kMaxRequests_count = 500;
constexpr size_t kMaxNames_count = 20;

void name(Alert& alert, std::string what) {
  alert.raised = true;
  ++alert.value;
  if (alert.what.size() < kMaxNames_count) alert.what.push_back(std::move(what));
}

uint64_t number_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

std::string text_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace

std::string_view to_string(AlertKind kind) {
  switch (kind) {
    case AlertKind::kCoreAway:
      return "core_away";
    case AlertKind::kAdapterDown:
      return "adapter_down";
    case AlertKind::kDeadLetters:
      return "dead_letters";
    case AlertKind::kConsumerLag:
      return "consumer_lag";
    case AlertKind::kNoConsumers:
      return "no_consumers";
    case AlertKind::kStoreRefuses:
      return "store_refuses";
    case AlertKind::kCopyStuck:
      return "copy_stuck";
  }
  return "";
}

std::string_view advice_of(AlertKind kind) {
  switch (kind) {
    case AlertKind::kCoreAway:
      return "The JetStream that adapters write to does not answer: look at its servers, the network and the credentials. Sources are held back "
             "meanwhile.";
    case AlertKind::kAdapterDown:
      return "The adapter does not run: /adapters has the error, the log the reason. It is tried again by itself.";
    case AlertKind::kDeadLetters:
      return "Messages could not be stored: `sluice dlq ls` says why, `sluice dlq retry` hands them on again when the reason is gone.";
    case AlertKind::kConsumerLag:
      return "A consumer has more messages before it than alerts.consumer_lag: its programs are too slow, stopped, or do not acknowledge.";
    case AlertKind::kNoConsumers:
      return "A work queue holds messages and has no consumer: the programs that work it off are not there.";
    case AlertKind::kStoreRefuses:
      return "New messages are refused, what is stored can be read. Disk full: make room, it goes on by itself. A failed write: look at the disk, then restart.";
    case AlertKind::kCopyStuck:
      return "A copy does not get on: `sluice replicator status` has the error. Stalled: the link, or a target that refuses or is full; blocked: a person "
             "decides.";
  }
  return "";
}

CoreWatch::CoreWatch(Env& env, StreamClient& client, AlertSettings settings, std::function<OwnTrouble()> own)
    : env_(env), client_(client), settings_(settings), own_(std::move(own)), timer_(env.timers.make([this] { begin(); })) {}

void CoreWatch::begin() {
  round_ = {};
  next();
}

void CoreWatch::next() {
  if (round_.requests++ >= kMaxRequests_count) {
    round_.cut_short = true;
    return finish();
  }
  if (!round_.streams_done) {
    call_ = client_.api("STREAM.LIST", "", Json{{"offset", round_.stream_offset}}.dump(), [this](Result<std::string> page) {
      call_.release();
      on_streams(std::move(page));
    });
    return;
  }
  if (round_.with_consumers.empty()) return finish();
  call_ = client_.api("CONSUMER.LIST", round_.with_consumers.front(), Json{{"offset", round_.consumer_offset}}.dump(),
                      [this](Result<std::string> page) {
                        call_.release();
                        on_consumers(std::move(page));
                      });
}

void CoreWatch::on_streams(Result<std::string> page) {
  if (!page) return end(false);
  const Json root = Json::parse(*page, nullptr, false);
  const Json streams = root.is_object() ? root.value("streams", Json()) : Json();
  const size_t count = streams.is_array() ? streams.size() : 0;
  for (size_t i = 0; i < count; ++i) {
    const Json& config = streams[i].value("config", Json::object());
    const Json& state = streams[i].value("state", Json::object());
    const std::string stream = text_of(config, "name");
    const uint64_t messages = number_of(state, "messages"), consumers = number_of(state, "consumer_count");
    const std::string retention = text_of(config, "retention");
    if (stream == kDeadLetterStream) round_.dead_letters = {messages != 0, messages, {}};
    if (consumers != 0) round_.with_consumers.push_back(stream);
    if (consumers == 0 && messages != 0 && (retention == "workqueue" || retention == "interest")) name(round_.idle, stream);
  }
  round_.stream_offset += count;
  round_.streams_done = count == 0 || round_.stream_offset >= number_of(root, "total");
  next();
}

void CoreWatch::on_consumers(Result<std::string> page) {
  const std::string stream = round_.with_consumers.front();
  if (!page && page.error().code != Errc::kNotFound) return end(false);
  // A stream that went meanwhile has no consumers.
  const Json root = page ? Json::parse(*page, nullptr, false) : Json::object();
  const Json consumers = root.is_object() ? root.value("consumers", Json()) : Json();
  const size_t count = consumers.is_array() ? consumers.size() : 0;
  for (size_t i = 0; i < count; ++i) {
    const uint64_t lag = number_of(consumers[i], "num_pending");
    round_.largest_lag = std::max(round_.largest_lag, lag);
    if (lag > settings_.consumer_lag) name(round_.lag, stream + "/" + text_of(consumers[i], "name"));
  }
  round_.consumer_offset += count;
  if (count == 0 || round_.consumer_offset >= number_of(root, "total")) {
    round_.with_consumers.pop_front();
    round_.consumer_offset = 0;
  }
  next();
}

void CoreWatch::finish() {
  largest_lag_ = round_.largest_lag;
  if (round_.cut_short) ++cut_short_;
  set(AlertKind::kDeadLetters, std::move(round_.dead_letters));
  set(AlertKind::kConsumerLag, std::move(round_.lag));
  set(AlertKind::kNoConsumers, std::move(round_.idle));
  end(true);
}

void CoreWatch::end(bool core_answers) {
  ++rounds_;
  // An adapter that is down in two rounds running is down; in one it may be starting.
  OwnTrouble own = own_();
  Alert adapters, copies, store;
  for (const std::string& one : own.adapters)
    if (std::ranges::find(down_before_, one) != down_before_.end()) name(adapters, one);
  down_before_ = std::move(own.adapters);
  for (std::string& one : own.copies) name(copies, std::move(one));
  if (!own.store.empty()) name(store, std::move(own.store));
  set(AlertKind::kAdapterDown, std::move(adapters));
  set(AlertKind::kCopyStuck, std::move(copies));
  set(AlertKind::kStoreRefuses, std::move(store));
  set(AlertKind::kCoreAway, core_answers ? Alert{} : Alert{true, 1, {client_.link().peer()}});
  timer_->start(settings_.interval);
}

void CoreWatch::set(AlertKind kind, Alert fresh) {
  Alert& now = alerts_[static_cast<size_t>(kind)];
  const bool changed = now.raised != fresh.raised;
  now = std::move(fresh);
  if (!changed) return;
  if (now.raised)
    SLUICE_LOG(kLog, kWarn, "alert raised alert={} value={} what=\"{}\" advice=\"{}\"", to_string(kind), now.value, fmt::join(now.what, " "),
               advice_of(kind));
  else
    SLUICE_LOG(kLog, kInfo, "alert cleared alert={}", to_string(kind));
  publish(kind, now);
}

void CoreWatch::publish(AlertKind kind, const Alert& alert) {
  const Json advisory = {{"type", "io.sluice.advisory.v1.alert"},
                         {"id", make_nuid(env_.random)},
                         {"timestamp", format_rfc3339(env_.clock.wall())},
                         {"alert", to_string(kind)},
                         {"state", alert.raised ? "raised" : "cleared"},
                         {"value", alert.value},
                         {"what", alert.what},
                         {"advice", advice_of(kind)}};
  const std::string subject = "sluice.advisory.alert." + std::string(to_string(kind));
  if (!client_.link().publish({subject, {}, {}, advisory.dump(-1, ' ', false, Json::error_handler_t::replace)})) ++advisories_lost_;
}

void CoreWatch::collect(MetricSink& sink) const {
  for (size_t i = 0; i < kAlertKinds_count; ++i) {
    const std::string_view kind = to_string(static_cast<AlertKind>(i));
    sink.gauge("sluice_alert", "1 while the alert is raised.", {{"alert", kind}}, alerts_[i].raised ? 1 : 0);
  }
  const auto gauge = [&](std::string_view metric, std::string_view help, uint64_t value) {
    sink.gauge(metric, help, {}, static_cast<double>(value));
  };
  const auto counter = [&](std::string_view metric, std::string_view help, uint64_t value) {
    sink.counter(metric, help, {}, static_cast<double>(value));
  };
  gauge("sluice_dead_letters", "Messages in SLUICE_DLQ.", alert(AlertKind::kDeadLetters).value);
  gauge("sluice_consumers_lagging", "Consumers with more messages before them than alerts.consumer_lag.",
        alert(AlertKind::kConsumerLag).value);
  gauge("sluice_consumer_lag_largest_messages", "Messages before the consumer that is farthest behind.", largest_lag_);
  gauge("sluice_streams_without_consumers", "Work queues and interest streams with messages and nobody to take them.",
        alert(AlertKind::kNoConsumers).value);
  counter("sluice_core_watch_rounds_total", "Looks at the core.", rounds_);
  counter("sluice_core_watch_cut_short_total", "Looks that left consumers out, as there are too many.", cut_short_);
  counter("sluice_core_watch_advisories_lost_total", "Alert advisories that could not be sent.", advisories_lost_);
}

}  // namespace sluice
