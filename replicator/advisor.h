// Tells of sampled values that appear, fall silent, come back or are forgotten.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>

#include "client/stream_client.h"
#include "io/env.h"
#include "replicator/options.h"
#include "replicator/tracker.h"

namespace sluice {

enum class AgeEvent : uint8_t { kNew, kTimeout, kRecover, kExpire };
inline constexpr std::array kAgeEvents = {AgeEvent::kNew, AgeEvent::kTimeout, AgeEvent::kRecover, AgeEvent::kExpire};
const char* to_string(AgeEvent event);

/// Loop thread only. A queue of 1,000; what does not fit is dropped and counted.
class Advisor {
 public:
  /// `client` speaks to the source and outlives this. `inspected` names what is sampled by.
  Advisor(Env& env, StreamClient& client, AdvisoryOptions options, std::string inspected, std::string replicator);

  /// @return false when it was dropped.
  bool tell(AgeEvent event, std::string_view value, const TrackedItem& item);
  /// Another one leads: forgets what waits.
  void drop_all();

  uint64_t told(AgeEvent event) const { return told_[static_cast<size_t>(event)]; }
  uint64_t failed() const { return failed_; }
  uint64_t dropped() const { return dropped_; }

 private:
  struct Waiting {
    AgeEvent event = AgeEvent::kNew;
    std::string subject, id, body;
    int tries = 0;
  };
  void pump();
  void done_with_first(bool told);
  void on_ack(const Result<PubAck>& ack);

  Env& env_;
  StreamClient& client_;
  const AdvisoryOptions options_;
  const std::string inspected_;
  const std::string replicator_;
  std::deque<Waiting> queue_;
  bool sending_ = false;
  std::array<uint64_t, kAgeEvents.size()> told_{};
  uint64_t failed_ = 0;
  uint64_t dropped_ = 0;
  std::unique_ptr<Timer> retry_timer_;
  Ticket call_;
};

}  // namespace sluice
