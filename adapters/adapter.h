// An adapter brings messages of one kind from outside into streams. The contract is adapters/contract.md,
// kept by one test that runs over every adapter.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace sluice {

inline constexpr size_t kMaxLags_count = 100;

/// Rising counters since start; `rejected` by stable reason.
struct AdapterFigures {
  uint64_t received = 0;
  uint64_t received_bytes = 0;
  uint64_t accepted = 0;  ///< durable in a stream
  uint64_t duplicates = 0;
  std::map<std::string, uint64_t> rejected;
  /// By stable reason: turned away at the door, with an answer that says so; nothing was taken.
  std::map<std::string, uint64_t> refused;
  uint64_t paused = 0;    ///< times the source was paused because the target, or what waits to be read, was full
  uint64_t in_flight = 0; ///< gauge: taken, not yet durable
  uint64_t lost_at_source = 0;  ///< gone there before they were taken
  /// Of sources that can tell: what waits there, by part of it (the largest kMaxLags_count of them), and in all.
  std::map<std::string, uint64_t> lag;
  std::optional<uint64_t> lag_total;
};

enum class AdapterHealth : uint8_t { kStarting, kRunning, kDegraded, kStopped };

constexpr std::string_view to_string(AdapterHealth health) {
  switch (health) {
    case AdapterHealth::kStarting:
      return "starting";
    case AdapterHealth::kRunning:
      return "running";
    case AdapterHealth::kDegraded:
      return "degraded";
    case AdapterHealth::kStopped:
      return "stopped";
  }
  return "";
}

/// Loop thread only.
class Adapter {
 public:
  virtual ~Adapter() = default;
  virtual std::string_view name() const = 0;
  virtual std::string_view kind() const = 0;
  /// Reports once: running, or why it can't. Trouble afterwards shows in health().
  virtual void start(std::move_only_function<void(Status)> done) = 0;
  /// Takes nothing more, waits for what is in flight (bounded by its deadline), reports once.
  virtual void stop(std::move_only_function<void()> done) = 0;
  /// Whether a successor may take from the source while this one settles: for sources that do not send
  /// again what nobody took. Two messages of one sender may change places meanwhile.
  virtual bool may_overlap() const { return false; }
  virtual AdapterHealth health() const = 0;
  virtual const AdapterFigures& figures() const = 0;
  /// Why it is degraded, in words for a person; "" when it is not, or nobody knows.
  virtual std::string trouble() const { return {}; }
  /// Where it listens, or what it delivers to; "" when that says nothing more than its configuration.
  virtual std::string place() const { return {}; }
};

}  // namespace sluice
