// A governor: at most N holders of a slot at a time across a fleet, as Choria's clients count them. It is a
// stream with one subject, max_msgs = N and discard new; a stored message is a slot, deleting it frees
// it, max_age frees it when the holder died.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "client/stream_client.h"
#include "io/env.h"

namespace sluice {

struct GovernorSpec {
  std::string name;
  std::string collective = "mcollective";
  uint64_t capacity = 1;
  std::chrono::nanoseconds expiry = std::chrono::minutes(5);
  int replicas = 1;
};

inline std::string governor_stream(std::string_view name) { return "GOVERNOR_" + std::string(name); }
inline std::string governor_subject(std::string_view collective, std::string_view name) {
  return std::string(collective) + ".governor." + std::string(name);
}
/// Letters, digits, '_' and '-': one token of a subject.
bool is_governor_name(std::string_view name);

struct GovernorHolder {
  uint64_t slot = 0;  ///< sequence in the governor's stream
  std::string name;
  WallNanos since = 0;
};

/// `state` of a governor: `holders` by slot.
struct GovernorFigures {
  GovernorSpec spec;
  std::vector<GovernorHolder> holders;
};

/// The JSON of STREAM.CREATE and STREAM.UPDATE for a governor.
std::string encode_governor(const GovernorSpec& spec);
/// @return capacity, expiry, replicas and the collective from a STREAM.INFO reply; kCorrupt when the stream is no governor.
Result<GovernorSpec> parse_governor(std::string_view stream_info);

struct CampaignOptions {
  std::string collective = "mcollective";
  std::string governor;
  std::string holder;  ///< shown to people and in events
  std::chrono::nanoseconds interval = std::chrono::seconds(5);  ///< between two tries while it is full
  std::chrono::nanoseconds max_wait = std::chrono::minutes(5);
};

/// One wish for a slot. Each try carries the same Nats-Msg-Id, so an answer that got lost costs no
/// second slot: the next try is told the slot of the first (within the stream's duplicate window).
/// Loop thread only.
class GovernorCampaign {
 public:
  GovernorCampaign(Env& env, StreamClient& client, CampaignOptions options);
  ~GovernorCampaign();
  GovernorCampaign(const GovernorCampaign&) = delete;
  GovernorCampaign& operator=(const GovernorCampaign&) = delete;

  /// `done` runs once: the slot; kTimeout when none came free within max_wait; kNotFound when there is
  /// no such governor; kRefused for what waiting can't mend.
  void enter(std::move_only_function<void(Result<uint64_t> slot)> done);
  /// Gives the slot back, trying for a while. `done` runs once.
  void leave(std::move_only_function<void(Status)> done);

 private:
  void attempt();
  void on_answer(Result<PubAck> answer);
  void finish(Result<uint64_t> outcome);
  void give_back();

  Env& env_;
  StreamClient& client_;
  const CampaignOptions options_;
  const std::string subject_;
  const std::string id_;
  MonoTime deadline_{0};
  bool full_ = false;  ///< the last answer said so
  uint64_t slot_ = 0;
  int leave_failures_ = 0;
  std::move_only_function<void(Result<uint64_t>)> entered_;
  std::move_only_function<void(Status)> left_;
  std::unique_ptr<Timer> timer_;
  Ticket call_;
};

}  // namespace sluice
