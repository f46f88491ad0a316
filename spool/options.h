// Settings of the submission spool. Plain data with defaults; config/ fills it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/limits.h"

namespace sluice {

/// What the queue keeps, and how much of it.
struct SpoolQueueOptions {
  std::string dir;
  uint64_t max_messages = 10'000;      ///< of each priority; further submissions are refused
  uint64_t max_bytes = 256 * kMiB;     ///< of all priorities together; further submissions are refused
  std::chrono::nanoseconds max_age{0};  ///< 0 = each message's own TTL decides; else the earlier of the two
  size_t max_payload_bytes = kDefaultMaxPayload_bytes;
  uint64_t reserve_bytes = 16 * kMiB;  ///< of the disk, kept free so that removals go on when it is full
  uint64_t max_quarantined = 10'000;   ///< beyond it the oldest quarantined message is forgotten, and counted
  uint64_t max_quarantined_bytes = 64 * kMiB;
};

/// What an attempt that found nobody at the other end does to a message's tries.
enum class NoResponders : uint8_t {
  kWait,   ///< nothing: the gateway is away; only the TTL ends the waiting
  kCount,  ///< one try, as Choria counts it
};

/// How messages leave.
struct SpoolSenderOptions {
  std::string subject_prefix = "mcollective.submission.in.";
  std::chrono::nanoseconds ack_timeout = std::chrono::seconds(2);
  NoResponders no_responders = NoResponders::kWait;
  std::string seed_file;   ///< 64 hexadecimal digits; empty = this node can't sign
  std::string token_file;  ///< JWT sent along with a signature; empty = none
};

}  // namespace sluice
