#include "gateway/auto_streams.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "client/backoff.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;
using namespace std::chrono_literals;

constexpr Logger kLog{"auto_streams"};
/// Metadata of a stream made here: the configuration it was made with, so that edits of others are seen.
constexpr const char* kMadeAs = "sluice.made_as";
constexpr int64_t kLeaseValue_bytes = 1024;

Json base_config(const char* name, std::vector<std::string> subjects, const AutoStreamSettings& settings, int replicas) {
  return {{"name", name},
          {"subjects", std::move(subjects)},
          {"retention", "limits"},
          {"max_consumers", -1},
          {"max_msgs", -1},
          {"max_bytes", settings.max_bytes == 0 ? -1 : settings.max_bytes},
          {"max_age", settings.retention.count()},
          {"max_msgs_per_subject", -1},
          {"max_msg_size", -1},
          {"discard", "old"},
          {"storage", "file"},
          {"num_replicas", settings.replicas == 0 ? replicas : settings.replicas},
          {"duplicate_window", std::chrono::nanoseconds(std::min<std::chrono::nanoseconds>(2min, settings.retention)).count()},
          {"deny_delete", false},
          {"deny_purge", false},
          {"allow_rollup_hdrs", false},
          {"allow_direct", false}};
}

/// Members of `wanted` that `present` has otherwise: "max_age 24h0m0s, wanted 48h0m0s".
std::string difference(const Json& present, const Json& wanted) {
  std::string out;
  const auto text = [](const std::string& key, const Json& value) {
    const bool time = key == "max_age" || key == "duplicate_window";
    return time && value.is_number_integer() ? format_go_duration(std::chrono::nanoseconds(value.get<int64_t>())) : value.dump();
  };
  for (const auto& [key, value] : wanted.items()) {
    if (key == "metadata") continue;
    const Json there = present.value(key, Json());
    if (there == value) continue;
    // A server leaves out what is off or empty.
    if (there.is_null() && (value == false || value == "" || value == -1)) continue;
    if (!out.empty()) out += "; ";
    out += fmt::format("{} is {}, wanted {}", key, text(key, there), text(key, value));
  }
  return out;
}

/// What it was made with here; a null for streams of others.
Json made_as(const Json& present) {
  const Json metadata = present.value("metadata", Json::object());
  const Json text = metadata.is_object() ? metadata.value(kMadeAs, Json()) : Json();
  return text.is_string() ? Json::parse(text.get<std::string>(), nullptr, false) : Json();
}

}  // namespace

std::vector<std::pair<std::string, std::string>> encode_auto_streams(const AutoStreamsSettings& settings, int default_replicas) {
  std::vector<Json> configs;
  const auto add = [&](const AutoStreamSettings& one, const char* name, std::string subject) -> Json& {
    return configs.emplace_back(base_config(name, {std::move(subject)}, one, default_replicas));
  };
  if (settings.events.enabled) add(settings.events, "CHORIA_EVENTS", "choria.lifecycle.>");
  if (settings.machine.enabled) add(settings.machine, "CHORIA_MACHINE", "choria.machine.>");
  if (settings.advisories.enabled) add(settings.advisories, "CHORIA_STREAM_ADVISORIES", "$JS.EVENT.ADVISORY.>");
  if (settings.executor.enabled) {
    const std::string subject = settings.executor_collective + ".submission.in.choria.executor.>";
    Json& config = add(settings.executor, "CHORIA_EXECUTOR", subject);
    config["description"] = "Choria Executor Events";
    config["subject_transform"] = {{"src", subject}, {"dest", "choria.executor.>"}};
    config["allow_direct"] = true;
  }
  if (settings.audit.enabled) {
    Json& config = add(settings.audit, "CHORIA_AUDIT", "choria.audit.>");
    config["description"] = "RPC audit records of all nodes";
    config["duplicate_window"] = std::chrono::nanoseconds(std::min<std::chrono::nanoseconds>(1h, settings.audit.retention)).count();
    config["deny_delete"] = true;
    config["deny_purge"] = true;
    config["allow_direct"] = true;
  }
  if (settings.leader_election.enabled) {
    Json& config = add(settings.leader_election, "KV_CHORIA_LEADER_ELECTION", "$KV.CHORIA_LEADER_ELECTION.>");
    config["description"] = "Choria Leader Election Bucket";
    config["max_msgs_per_subject"] = 1;
    config["max_msg_size"] = kLeaseValue_bytes;
    config["discard"] = "new";
    config["deny_delete"] = true;
    config["allow_rollup_hdrs"] = true;
    config["allow_direct"] = true;
  }
  std::vector<std::pair<std::string, std::string>> out;
  for (Json& config : configs) {
    const std::string plain = config.dump();
    config["metadata"] = {{kMadeAs, plain}};
    out.emplace_back(config["name"].get<std::string>(), config.dump());
  }
  return out;
}

AutoStreams::AutoStreams(Env& env, StreamClient& client, const AutoStreamsSettings& settings, int default_replicas)
    : env_(env), client_(client), retry_timer_(env.timers.make([this] { next(); })) {
  for (auto& [name, config] : encode_auto_streams(settings, default_replicas)) {
    views_.push_back({name, AutoStreamState::kWaiting, {}});
    wanted_.push_back(std::move(config));
  }
}

void AutoStreams::next() {
  if (at_ == views_.size()) return;
  call_ = client_.api("STREAM.INFO", views_[at_].stream, "", [this](Result<std::string> info) {
    call_.release();
    on_info(std::move(info));
  });
}

void AutoStreams::on_info(Result<std::string> info) {
  if (!info && info.error().code == Errc::kNotFound) return write("STREAM.CREATE", AutoStreamState::kMade);
  if (!info) return again(info.error());
  const Json present = Json::parse(*info, nullptr, false).value("config", Json::object());
  const Json wanted = Json::parse(wanted_[at_]);
  const std::string different = difference(present, wanted);
  if (different.empty()) return done(AutoStreamState::kThere, {});
  const Json before = made_as(present);
  if (before.is_object() && difference(present, before).empty()) return write("STREAM.UPDATE", AutoStreamState::kUpdated);
  done(AutoStreamState::kDiffers, different);
}

void AutoStreams::write(const char* verb, AutoStreamState then) {
  call_ = client_.api(verb, views_[at_].stream, wanted_[at_], [this, then](Result<std::string> written) {
    call_.release();
    if (!written) return again(written.error());
    done(then, {});
  });
}

void AutoStreams::done(AutoStreamState state, std::string detail) {
  AutoStreamView& view = views_[at_];
  view.state = state;
  view.detail = std::move(detail);
  if (state == AutoStreamState::kDiffers)
    SLUICE_LOG(kLog, kWarn, "stream was edited by others, left as it is stream={} difference=\"{}\"", view.stream, view.detail);
  else if (state == AutoStreamState::kRefused)
    SLUICE_LOG(kLog, kError, "stream refused stream={} error=\"{}\"", view.stream, view.detail);
  else
    SLUICE_LOG(kLog, kInfo, "stream ready stream={} state={}", view.stream, to_string(state));
  failures_ = 0;
  ++at_;
  next();
}

/// Codes of the API are answers, but for those that pass by themselves.
void AutoStreams::again(const Error& why) {
  const bool passes = why.api_code == 0 || why.api_code == 10008 || why.api_code == 10005 || why.api_code == 10023;
  if (!passes) return done(AutoStreamState::kRefused, why.detail);
  views_[at_].detail = why.detail;
  if (failures_ == 0)
    SLUICE_LOG(kLog, kWarn, "stream not ready, asked again stream={} why=\"{}\"", views_[at_].stream, why.detail);
  retry_timer_->start(twenty_sec_backoff(++failures_, env_.random));
}

}  // namespace sluice
