// The one door to logging. Costs fmt to include, not the log library (seen by log.cc alone).
//
// A fixed sentence, then key=value: SLUICE_LOG(log_, kWarn, "slow consumer cid={} pending={}", …).
// Levels: error = someone must act, warn = degraded, info = life cycle, debug = decisions.
// No secrets, no payloads. Safe from any thread.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace sluice {

enum class LogLevel : uint8_t { kTrace, kDebug, kInfo, kWarn, kError, kOff };

struct LogOptions {
  LogLevel level = LogLevel::kInfo;
  bool json = false;       ///< one JSON object a line instead of text
  std::string file;        ///< empty = stderr
};

/// Replaces the process's sink. Call at start-up and on reload.
void configure_logging(const LogOptions& options);
/// Lines that were dropped because the sink's queue was full.
uint64_t dropped_log_lines();

/// A named source of lines, one for each room: `Logger log{"store"};`. Cheap to copy.
class Logger {
 public:
  explicit constexpr Logger(const char* room) : room_(room) {}
  static bool enabled(LogLevel level);
  void write(LogLevel level, std::string_view line) const;

 private:
  const char* room_;
};

}  // namespace sluice

#define SLUICE_LOG(logger, level, ...)                                          \
  do {                                                                          \
    if (::sluice::Logger::enabled(::sluice::LogLevel::level))                   \
      (logger).write(::sluice::LogLevel::level, ::fmt::format(__VA_ARGS__));    \
  } while (false)
