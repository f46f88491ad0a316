// What one world of two sites is made of, drawn from its seed.
#pragma once

#include <cstdint>
#include <string>

#include "replicator/options.h"
#include "sim/sim_random.h"

namespace sluice::simulate {

enum class CopierPlace : uint8_t {
  kApart,     ///< a machine of its own, both ends over the network
  kAtSource,  ///< in the source's process
  kAtTarget,  ///< in the target's process
  kTwoApart,  ///< two machines that elect a leader
};

struct SiteConfig {
  CopierPlace place = CopierPlace::kApart;
  StreamCopyOptions copy;
  bool others_write = false;      ///< to the target stream
  bool target_takes_batches = false;
  bool source_is_queue = false;   ///< work-queue retention
  bool target_is_queue = false;   ///< the same, and somebody takes from it
  uint64_t source_max_msgs = 0;   ///< 0 = no limit
  uint64_t source_max_per_subject = 0;
  uint64_t messages = 0;          ///< published in all
  uint64_t burst = 1;
  uint64_t large_percent = 0;     ///< payloads of up to 20 KB
  unsigned fault_percent = 0;     ///< of the steps
  uint64_t latency_ms_max = 0;
  uint64_t bytes_per_second = 0;
  LinkCompression compression = LinkCompression::kAuto;

  bool has_sampling() const { return copy.inspect.enabled(); }
  /// The target stream is made beforehand, with more subjects or fewer limits than the source.
  bool makes_target() const { return !copy.create_target; }
  /// Of what the source names `subject`.
  std::string target_subject(const std::string& subject) const;
  bool matches(const std::string& subject) const;
  /// Bytes a second: the slowest and the fastest that the pace allows at some hour; 0 = no bound.
  uint64_t slowest_pace() const;
  uint64_t fastest_pace() const;
};

/// Worlds from this seed on also draw what their links do (compression, pace) and whether the target is a queue; those below draw what they always drew, so
/// that seeds which once failed go on meaning the same.
inline constexpr uint64_t kFirstWorldOfLinks = 1ULL << 40;
/// From here on also whether a shared target has a fence.
inline constexpr uint64_t kFirstWorldOfFences = 2 * kFirstWorldOfLinks;
/// The fence's, outside of what is copied.
inline constexpr const char* kFenceSubject = "fence.reg";
inline constexpr uint64_t kWorlds = 4 * kFirstWorldOfLinks;

SiteConfig draw_site_config(sim::SimRandom& random, uint64_t world);
std::string describe(const SiteConfig& config);

}  // namespace sluice::simulate
