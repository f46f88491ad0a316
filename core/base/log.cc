#include "base/log.h"

#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <memory>
#include <mutex>

#include "base/log_queue.h"

namespace sluice {
namespace {

std::atomic<LogLevel> g_level{LogLevel::kInfo};
std::atomic<bool> g_json{false};
std::atomic<size_t> g_queue_lines{8192};

/// The logger with its own thread: a reader of our stderr that stalls must not stall the loop. When the
/// queue is full the oldest lines go, and are counted.
struct Sink {
  std::shared_ptr<spdlog::details::thread_pool> pool;
  std::shared_ptr<spdlog::logger> logger;
};

std::atomic<uint64_t> g_dropped_before{0};  // by sinks that were replaced

Sink make_sink(const LogOptions& options) {
  spdlog::sink_ptr sink;
  if (options.file.empty()) {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  } else {
    sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.file);
  }
  auto pool = std::make_shared<spdlog::details::thread_pool>(g_queue_lines.load(), 1);
  auto logger = std::make_shared<spdlog::async_logger>("sluice", sink, pool,
                                                       spdlog::async_overflow_policy::overrun_oldest);
  logger->set_level(spdlog::level::trace);
  logger->flush_on(spdlog::level::info);
  logger->set_pattern("%v");
  return {std::move(pool), std::move(logger)};
}

// Guarded by its mutex: replaced on reload while other threads may log.
struct Current {
  std::mutex mutex;
  Sink sink = make_sink({});
};

Current& current() {
  static Current instance;
  return instance;
}

// A copy keeps logger and thread alive for one line, whoever replaces them meanwhile.
Sink current_sink() {
  Current& c = current();
  std::lock_guard lock(c.mutex);
  return c.sink;
}

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kTrace: return spdlog::level::trace;
    case LogLevel::kDebug: return spdlog::level::debug;
    case LogLevel::kInfo: return spdlog::level::info;
    case LogLevel::kWarn: return spdlog::level::warn;
    case LogLevel::kError: return spdlog::level::err;
    case LogLevel::kOff: return spdlog::level::off;
  }
  return spdlog::level::off;
}

const char* level_name(LogLevel level) {
  switch (level) {
    case LogLevel::kTrace: return "trace";
    case LogLevel::kDebug: return "debug";
    case LogLevel::kInfo: return "info";
    case LogLevel::kWarn: return "warn";
    case LogLevel::kError: return "error";
    case LogLevel::kOff: return "off";
  }
  return "off";
}

// Written out by hand: a log line may hold bytes of a peer, which a JSON library would refuse.
void append_json_string(std::string& out, std::string_view text) {
  for (char c : text) {
    auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (u < 0x20) {
      out += fmt::format("\\u{:04x}", u);
    } else {
      out += c;
    }
  }
}

}  // namespace

void configure_logging(const LogOptions& options) {
  g_level = options.level;
  g_json = options.json;
  Sink fresh = make_sink(options);
  Current& c = current();
  {
    std::lock_guard lock(c.mutex);
    std::swap(c.sink, fresh);
  }
  g_dropped_before += fresh.pool->overrun_counter();
  // The old sink writes what it holds and ends with its last user, outside the lock.
}

void set_log_queue_lines(size_t lines) { g_queue_lines = lines; }

uint64_t dropped_log_lines() {
  Current& c = current();
  std::lock_guard lock(c.mutex);
  return g_dropped_before + c.sink.pool->overrun_counter();
}

bool Logger::enabled(LogLevel level) { return level >= g_level.load(std::memory_order_relaxed); }

void Logger::write(LogLevel level, std::string_view line) const {
  // The pattern is ours so that text and JSON carry the same fields. Wall time here only stamps.
  auto now = std::chrono::system_clock::now();
  auto us = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count();
  std::time_t seconds = static_cast<std::time_t>(us / 1'000'000);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char stamp[80];
  std::snprintf(stamp, sizeof stamp, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", utc.tm_year + 1900,
                utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                static_cast<int>(us % 1'000'000));
  std::string out;
  if (g_json.load(std::memory_order_relaxed)) {
    out = fmt::format(R"({{"ts":"{}","level":"{}","room":"{}","msg":")", stamp, level_name(level),
                      room_);
    append_json_string(out, line);
    out += "\"}";
  } else {
    out = fmt::format("{} {:5} {}: {}", stamp, level_name(level), room_, line);
  }
  current_sink().logger->log(to_spdlog(level), out);
}

}  // namespace sluice
