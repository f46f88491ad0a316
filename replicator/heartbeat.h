// Small messages at fixed intervals, acknowledged by a stream: whoever receives them at the other end of a chain
// of copies knows that all of it works, and how long it takes.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "client/stream_client.h"
#include "io/env.h"
#include "replicator/options.h"

namespace sluice {

inline constexpr std::string_view kHeartbeatOriginHeader = "Choria-SR-Originator";
inline constexpr std::string_view kHeartbeatSubjectHeader = "Choria-SR-Subject";
/// Nanoseconds since 1970 when it was sent; the body holds whole seconds.
inline constexpr std::string_view kHeartbeatTimeHeader = "Sluice-Heartbeat-Time";

/// Loop thread only.
class Heartbeat {
 public:
  struct Figures {
    std::string subject;
    uint64_t published = 0;
    uint64_t failed = 0;
    double last_seconds = 0;  ///< from sending to the ack
    uint64_t timed = 0;       ///< answered ones
    double sum_seconds = 0;   ///< of them
    std::string last_error;
  };
  /// `client` outlives this. `host` is told as the originator.
  Heartbeat(Env& env, StreamClient& client, const HeartbeatOptions& options, const std::string& host);

  /// The first one after 2.5 to 7.5 s and an interval.
  void start();
  void set_active(bool active) { active_ = active; }
  bool active() const { return active_; }
  std::vector<Figures> figures() const;

 private:
  struct Beat {
    HeartbeatSubject options;
    Figures figures;
    std::unique_ptr<Timer> timer;
    Ticket call;
  };
  void publish(Beat& beat);
  void note_failure(Beat& beat, const std::string& why);

  Env& env_;
  StreamClient& client_;
  Logger log_{"replicator"};
  std::vector<std::unique_ptr<Beat>> beats_;
  bool active_ = true;
};

}  // namespace sluice
