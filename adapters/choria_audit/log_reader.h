// Reads a growing log line by line through its rotations.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace sluice {

/// Behind a line. The inode finds the file after a rename, the tail (digest of the last KiB before the offset) tells
/// whether it is still the same text, and finds it again in a copy.
struct LogPosition {
  uint64_t inode = 0;
  uint64_t offset = 0;
  int64_t written = 0;  ///< when the file was last written to, nanoseconds since 1970
  std::string tail{};   ///< 32 hexadecimal digits

  friend bool operator==(const LogPosition&, const LogPosition&) = default;
};

/// One line of JSON, as kept on disk.
std::string format_log_position(const LogPosition& position);
std::optional<LogPosition> parse_log_position(std::string_view text);

enum class LogFault : uint8_t {
  kNone,
  kTooLong,     ///< `text` is its beginning
  kUnfinished,  ///< the file ended within it, and was rotated away
};

struct LogLine {
  std::string text{};  ///< without its line end
  uint64_t at = 0;   ///< offset of its first byte in its file
  LogFault fault = LogFault::kNone;
  LogPosition after{};
};

struct LogRead {
  std::vector<LogLine> lines;
  bool more = false;              ///< read again at once
  std::optional<LogPosition> begins{};  ///< at the very first read: to be kept before any line is handed on, or a rotation hides them
  std::vector<std::string> gaps;  ///< where lines may be missing, in words
};

/// Happy path: lines are read as they are completed; a half-written last one waits.
///
/// Rotation by rename: the open file is read to its end, and once more a call later (who had it open may still have
/// written), then the next generation follows. By copy and truncation: noticed by the tail before each read; the rest
/// is read from the copy. Generations are the files beside the log called `<name>.1`, `<name>-20260107` and the like, the
/// older first. A restart finds its place the same way.
///
/// Failures: a place that is in no file any more (removed, compressed) is told as a gap, and reading goes on with the
/// next generation.
///
/// Blocking; one thread at a time.
class LogReader {
 public:
  LogReader(std::string path, size_t max_line_bytes) : path_(std::move(path)), max_line_bytes_(max_line_bytes) {}
  ~LogReader() { drop(); }
  LogReader(const LogReader&) = delete;
  LogReader& operator=(const LogReader&) = delete;

  /// Before the first read(): where to take up. Without: the beginning of the log.
  void resume(LogPosition position) { sought_ = std::move(position); }
  /// Before the first read(): leave what stands there now.
  void skip_present() { skip_present_ = true; }

  /// At most 256 KiB. A log that is not there yet is no error.
  Result<LogRead> read();

 private:
  struct Candidate;
  bool open(const std::string& path);
  void drop();
  void settle_at(uint64_t offset);
  Status take_place(LogRead& out);
  std::vector<Candidate> generations() const;
  bool find(const LogPosition& position, bool live_too);
  bool next_generation(int64_t written, uint64_t inode);
  bool is_intact() const;
  Status read_block(LogRead& out);
  void leave_rotated(LogRead& out);
  LogPosition position_at(std::string_view before, uint64_t offset) const;

  const std::string path_;
  const size_t max_line_bytes_;
  std::optional<LogPosition> sought_;
  bool skip_present_ = false;
  bool ever_read_ = false;
  int fd_ = -1;
  uint64_t inode_ = 0;
  int64_t written_ = 0;
  uint64_t offset_ = 0;    ///< of the first byte not read
  std::string recent_;     ///< what stands right before it
  bool skipping_ = false;  ///< inside a line that is too long
  uint64_t long_at_ = 0;
  std::string long_text_;
  std::string half_;      ///< behind offset_, without a line end yet
  bool rotated_ = false;  ///< seen at the last read: the name leads elsewhere
};

}  // namespace sluice
