// A message that somebody hands to the spool, and what makes it acceptable.
//
// The fields and rules are those of Choria's submissions (its file format, one JSON object a message).
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/time_format.h"
#include "io/random.h"

namespace sluice {

inline constexpr int kSpoolPriorities = 5;
inline constexpr std::chrono::seconds kMaxSubmissionTtl{31 * 86'400};
inline constexpr std::chrono::seconds kDefaultSubmissionTtl{86'400};
inline constexpr uint32_t kDefaultSubmissionTries = 100;
/// A subject has to fit into one line of the protocol beside the reply subject.
inline constexpr size_t kMaxSubmissionSubject_bytes = 2048;
inline constexpr size_t kMaxSubmissionHeaders_bytes = 32 * 1024;

struct Submission {
  std::string id;       ///< becomes Nats-Msg-Id
  std::string subject;  ///< without the collective's prefix
  std::string payload;
  bool reliable = false;
  uint8_t priority = 4;
  WallNanos created = 0;
  std::chrono::seconds ttl = kDefaultSubmissionTtl;
  uint32_t max_tries = kDefaultSubmissionTries;
  uint32_t tries = 0;
  std::string sender;
  std::string identity;
  bool sign = false;
  std::vector<std::pair<std::string, std::string>> headers;
};

/// @return kInvalidArgument with the reason in Choria's words where it has them: a subject that is no
/// literal, an empty payload or one above `max_payload_bytes`, a TTL of 0 or above 31 days, a priority above
/// 4, no sender, no id, a header that begins with "choria" or "nats" (any case) or can't stand in a block.
Status check_submission(const Submission& submission, size_t max_payload_bytes);

/// A version 4 UUID (RFC 9562).
std::string make_uuid(Random& random);

}  // namespace sluice
