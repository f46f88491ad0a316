// One candidate of a leader election held in a KV bucket, as Choria's clients hold it: the key is the
// election, the value its leader, the bucket's max_age the lease. Interoperable with them on one key.
//
// Happy path: create the key (compare-and-set with "no message") → leader, but silent; renew it at 3/4
// of the lease; the first renewal proves that nobody else was still acting, on_won() runs with the
// fencing token: the revision at which the term began, higher than that of every term before. Renewals
// go on. stop() runs on_lost(), then deletes the key at our own revision, so that a standby of ours takes
// over at once instead of waiting for the lease.
//
// Failures: a renewal that is refused, fails or times out ends the term; so does our own clock when
// the lease could have run out unseen. Somebody else's key is never touched.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/ids.h"
#include "base/metrics.h"
#include "client/stream_client.h"
#include "io/env.h"

namespace sluice {

inline constexpr std::string_view kElectionBucket = "CHORIA_LEADER_ELECTION";

struct ElectionOptions {
  std::string bucket{kElectionBucket};
  std::string name;       ///< the election: a KV key
  std::string candidate;  ///< our value; shown to people
  /// The first campaign comes after a random part of this, so that a fleet does not start at once.
  std::chrono::nanoseconds max_splay = std::chrono::seconds(5);
};

enum class ElectionState : uint8_t { kStarting, kCandidate, kLeader, kStopped };
constexpr std::string_view to_string(ElectionState state) {
  switch (state) {
    case ElectionState::kStarting:
      return "starting";
    case ElectionState::kCandidate:
      return "candidate";
    case ElectionState::kLeader:
      return "leader";
    case ElectionState::kStopped:
      return "stopped";
  }
  return "";
}

struct ElectionEvents {
  std::move_only_function<void(uint64_t token)> on_won{};
  std::move_only_function<void(std::string_view why)> on_lost{};
  /// Before each attempt, with the state until then.
  std::move_only_function<void(ElectionState)> on_campaign{};
};

/// Shortest and longest lease that an election accepts (Choria's own bounds).
inline constexpr std::chrono::seconds kMinElectionLease{2};
inline constexpr std::chrono::hours kMaxElectionLease{1};

/// Loop thread only. Events run on the loop and may destroy the election as their last act.
class Election {
 public:
  /// `client` must outlive it.
  Election(Env& env, StreamClient& client, ElectionOptions options, ElectionEvents events);
  ~Election();
  Election(const Election&) = delete;
  Election& operator=(const Election&) = delete;

  /// Reads the lease from the bucket, trying until that works. `ready` runs once: kInvalidArgument for
  /// a name that is no key or a lease out of bounds, kNotFound (10059) when the bucket is not there.
  void start(std::move_only_function<void(Status)> ready);
  /// Ends the candidature: on_lost when leading, then gives the key back. `done` runs once, at the
  /// latest after the request's timeout.
  void stop(std::move_only_function<void()> done);

  ElectionState state() const { return state_; }
  /// Won, told, and the lease can't have run out by our own clock.
  bool leads() const;
  /// Of the present term; 0 when not leading.
  uint64_t token() const { return leads() ? token_ : 0; }
  std::chrono::nanoseconds lease() const { return lease_; }
  /// By our own clock, counted from when it was asked for; of no meaning when not leading.
  MonoTime lease_end() const { return lease_end_; }
  /// Counters and gauges by Choria's names, with `election` and `identity`.
  void collect(MetricSink& sink) const;
  /// Between two attempts.
  std::chrono::nanoseconds interval() const { return lease_ / 4 * 3; }
  /// Attempts as leader, or as candidate.
  uint64_t campaigns(bool as_leader) const { return campaigns_[as_leader ? 1 : 0]; }

 private:
  std::chrono::nanoseconds patience() const;
  void read_bucket();
  void on_bucket(Result<std::string> info);
  void tick();
  void campaign(StreamSeq expected);
  void on_campaigned(Result<PubAck> answer, StreamSeq expected);
  void look_at_holder();
  void renew();
  void on_renewed(Result<PubAck> answer);
  void won();
  void lost(std::string_view why);
  void on_key_message(const LinkMessage& message);
  void lease_over();
  Ticket put(StreamSeq expected, std::string_view operation, std::string_view body,
             std::move_only_function<void(Result<PubAck>)> done);

  Env& env_;
  StreamClient& client_;
  const ElectionOptions options_;
  ElectionEvents events_;
  std::string subject_;
  ElectionState state_ = ElectionState::kStarting;
  std::chrono::nanoseconds lease_{0};
  StreamSeq revision_;
  uint64_t token_ = 0;
  bool told_ = false;           ///< on_won has run in this term
  bool was_released_ = false;   ///< the key was free by its leader's own word
  MonoTime asked_{0};           ///< when the attempt under way was sent
  MonoTime lease_end_{0};
  int failures_ = 0;
  uint64_t campaigns_[2] = {0, 0};  ///< as candidate, as leader
  std::move_only_function<void(Status)> ready_;
  std::unique_ptr<Timer> tick_timer_;
  std::unique_ptr<Timer> lease_timer_;
  std::unique_ptr<LinkSubscription> key_watch_;
  Ticket call_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace sluice
