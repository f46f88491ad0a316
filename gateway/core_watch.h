// What a person should be told: looks at the core now and then, raises alerts and takes them back.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/metrics.h"
#include "client/stream_client.h"
#include "config/config.h"
#include "io/env.h"

namespace sluice {

enum class AlertKind : uint8_t { kCoreAway, kAdapterDown, kDeadLetters, kConsumerLag, kNoConsumers, kStoreRefuses, kCopyStuck };
inline constexpr size_t kAlertKinds_count = 7;
/// Stable words, in metrics and subjects.
std::string_view to_string(AlertKind kind);
/// What to do, for people.
std::string_view advice_of(AlertKind kind);

struct Alert {
  bool raised = false;
  uint64_t value = 0;
  std::vector<std::string> what;  ///< names, the first 20
};

/// What this process knows by itself, without asking the core.
struct OwnTrouble {
  std::vector<std::string> adapters{};  ///< that do not run
  std::vector<std::string> copies{};    ///< that are blocked or have stalled
  std::string store{};                  ///< why it takes no messages; empty: it does
};

/// Loop thread only.
///
/// Happy path of a round: all streams are listed, then the consumers of those that have some; adapters are
/// asked; each alert that changes is logged and published as an advisory on `sluice.advisory.alert.<kind>`.
///
/// Failures: an answer that does not come ends the round and raises `core_away`; the next round comes in
/// its time. A round makes at most 500 requests; what it could not look at is counted.
class CoreWatch {
 public:
  /// `client` outlives it.
  CoreWatch(Env& env, StreamClient& client, AlertSettings settings, std::function<OwnTrouble()> own);
  void start() { timer_->start(std::chrono::nanoseconds(0)); }
  const Alert& alert(AlertKind kind) const { return alerts_[static_cast<size_t>(kind)]; }
  void collect(MetricSink& sink) const;

 private:
  struct Round {
    size_t requests = 0;
    size_t stream_offset = 0;
    bool streams_done = false;
    std::deque<std::string> with_consumers;
    size_t consumer_offset = 0;
    Alert dead_letters, lag, idle;
    uint64_t largest_lag = 0;
    bool cut_short = false;
  };
  void begin();
  void next();
  void on_streams(Result<std::string> page);
  void on_consumers(Result<std::string> page);
  void finish();
  void end(bool core_answers);
  void set(AlertKind kind, Alert fresh);
  void publish(AlertKind kind, const Alert& alert);

  Env& env_;
  StreamClient& client_;
  const AlertSettings settings_;
  std::function<OwnTrouble()> own_;
  std::vector<std::string> down_before_;
  Alert alerts_[kAlertKinds_count];
  uint64_t largest_lag_ = 0;
  uint64_t rounds_ = 0;
  uint64_t cut_short_ = 0;
  uint64_t advisories_lost_ = 0;
  Round round_;
  std::unique_ptr<Timer> timer_;
  Ticket call_;
};

}  // namespace sluice
