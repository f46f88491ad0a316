#include "adapters/choria_audit/log_reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <simdjson.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "crypto/digest.h"

namespace sluice {
namespace {

constexpr size_t kBlock_bytes = 256 * 1024;
constexpr size_t kTail_bytes = 1024;
constexpr size_t kTailDigits = 32;

std::string tail_of(std::string_view before) {
  return to_hex(sha256(before.substr(before.size() - std::min(before.size(), kTail_bytes)))).substr(0, kTailDigits);
}

std::string read_at(int fd, uint64_t offset, size_t size) {
  std::string out(size, '\0');
  size_t got = 0;
  while (got < size) {
    const ssize_t n = ::pread(fd, out.data() + got, size - got, static_cast<off_t>(offset + got));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    got += static_cast<size_t>(n);
  }
  out.resize(got);
  return out;
}

std::string before(int fd, uint64_t offset) {
  const size_t size = std::min<uint64_t>(offset, kTail_bytes);
  return read_at(fd, offset - size, size);
}

int64_t write_time(const struct stat& found) { return int64_t{found.st_mtim.tv_sec} * 1'000'000'000 + found.st_mtim.tv_nsec; }

/// ".1", "-20260107", "-20260107.2": what rotation appends. Compressed files and other copies are none.
bool is_rotation_suffix(std::string_view suffix) {
  if (suffix.empty() || (suffix[0] != '.' && suffix[0] != '-')) return false;
  bool digit = false;
  for (const char c : suffix) {
    const bool separates = c == '.' || c == '-';
    if (!separates && (c < '0' || c > '9')) return false;
    digit = !separates;
  }
  return digit;
}

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r") == std::string_view::npos; }

}  // namespace

std::string format_log_position(const LogPosition& p) {
  return fmt::format(R"({{"inode":{},"offset":{},"written":{},"tail":"{}"}})", p.inode, p.offset, p.written, p.tail) + "\n";
}

std::optional<LogPosition> parse_log_position(std::string_view text) {
  simdjson::dom::parser parser;
  simdjson::dom::element json;
  LogPosition out;
  std::string_view tail;
  if (parser.parse(text.data(), text.size()).get(json) != simdjson::SUCCESS || json["inode"].get(out.inode) != simdjson::SUCCESS ||
      json["offset"].get(out.offset) != simdjson::SUCCESS || json["written"].get(out.written) != simdjson::SUCCESS ||
      json["tail"].get(tail) != simdjson::SUCCESS || tail.size() != kTailDigits || out.offset > INT64_MAX)
    return std::nullopt;
  out.tail = tail;
  return out;
}

// ---- files

struct LogReader::Candidate {
  std::string path;
  uint64_t inode = 0;
  int64_t written = 0;
};

bool LogReader::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat found{};
  if (fd < 0) return false;
  if (::fstat(fd, &found) != 0 || !S_ISREG(found.st_mode)) {
    ::close(fd);
    errno = EINVAL;
    return false;
  }
  drop();
  fd_ = fd;
  inode_ = found.st_ino;
  written_ = write_time(found);
  settle_at(0);
  return true;
}

void LogReader::drop() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void LogReader::settle_at(uint64_t offset) {
  offset_ = offset;
  recent_ = before(fd_, offset);
  skipping_ = rotated_ = false;
  half_.clear();
}

std::vector<LogReader::Candidate> LogReader::generations() const {
  const std::filesystem::path log(path_);
  const std::string name = log.filename();
  std::vector<Candidate> out;
  std::error_code trouble;
  for (std::filesystem::directory_iterator at(log.parent_path().empty() ? "." : log.parent_path(), trouble), end; !trouble && at != end;
       at.increment(trouble)) {
    const std::string other = at->path().filename();
    struct stat found{};
    if (!other.starts_with(name) || !is_rotation_suffix(std::string_view(other).substr(name.size()))) continue;
    if (::stat(at->path().c_str(), &found) != 0 || !S_ISREG(found.st_mode)) continue;
    out.push_back({at->path(), found.st_ino, write_time(found)});
  }
  std::ranges::sort(out, {}, &Candidate::written);
  return out;
}

/// Opens the file in which `position` is, at it: by its inode, else by the text before it.
bool LogReader::find(const LogPosition& position, bool live_too) {
  std::vector<Candidate> files = generations();
  // At offset 0 there is no text to tell files apart: a renamed file has the inode, a copy was written to later.
  if (position.offset == 0) {
    for (const Candidate& file : files) {
      if (file.inode == position.inode && open(file.path)) return true;
    }
    for (const Candidate& file : files) {
      if (file.written > position.written && open(file.path)) return true;
    }
  }
  struct stat live{};
  if (live_too && ::stat(path_.c_str(), &live) == 0) files.push_back({path_, live.st_ino, write_time(live)});
  std::ranges::stable_sort(files, {}, [&](const Candidate& file) { return file.inode != position.inode; });
  for (const Candidate& file : files) {
    const int fd = ::open(file.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) continue;
    const std::string text = before(fd, position.offset);
    ::close(fd);
    const bool same = position.offset == 0 ? file.inode == position.inode
                                           : text.size() == std::min<uint64_t>(position.offset, kTail_bytes) && tail_of(text) == position.tail;
    if (!same || !open(file.path)) continue;
    settle_at(position.offset);
    return true;
  }
  return false;
}

/// The oldest generation written to later than the one left; the log itself when there is no other.
bool LogReader::next_generation(int64_t written, uint64_t inode) {
  for (const Candidate& file : generations()) {
    if (file.written > written && file.inode != inode && open(file.path)) return true;
  }
  return open(path_);
}

// ---- reading

Status LogReader::take_place(LogRead& out) {
  if (sought_) {
    const LogPosition sought = *sought_;
    struct stat live{};
    if (!find(sought, true)) {
      if (::stat(path_.c_str(), &live) != 0 && generations().empty()) return {};  // not there yet: sought again
      const bool cut = live.st_ino == sought.inode;
      out.gaps.push_back(fmt::format("{} at offset {}: the text before it is in no file any more", cut ? "the log was cut" : "the log's file is gone",
                                     sought.offset));
      if (cut ? !open(path_) : !next_generation(sought.written, sought.inode)) return out.gaps.clear(), Status{};  // sought again
    }
    sought_.reset();
  } else if (!open(path_)) {
    if (errno == ENOENT) return {};
    return fail(Errc::kIo, path_ + ": " + std::generic_category().message(errno));
  } else if (std::exchange(skip_present_, false)) {
    struct stat now{};
    if (::fstat(fd_, &now) == 0) settle_at(static_cast<uint64_t>(now.st_size));
    out.begins = position_at(recent_, offset_);
  } else if (!ever_read_) {
    out.begins = position_at(recent_, offset_);
  }
  ever_read_ = true;
  return {};
}

bool LogReader::is_intact() const { return before(fd_, offset_) == recent_; }

LogPosition LogReader::position_at(std::string_view text_before, uint64_t offset) const {
  return {.inode = inode_, .offset = offset, .written = written_, .tail = tail_of(text_before)};
}

Result<LogRead> LogReader::read() {
  LogRead out;
  if (fd_ < 0) {
    if (Status placed = take_place(out); !placed) return std::unexpected(placed.error());
    if (fd_ < 0) return out;
  }
  if (!is_intact()) {
    // Cut while we watched: the rest may stand in a copy.
    const LogPosition lost = position_at(recent_, offset_);
    if (!find(lost, false)) {
      if (!open(path_)) return drop(), out;
      out.gaps.push_back(fmt::format("the log was cut at offset {} and there is no copy that goes on there", lost.offset));
    }
  }
  if (Status got = read_block(out); !got) return std::unexpected(got.error());
  if (!out.more) leave_rotated(out);
  return out;
}

Status LogReader::read_block(LogRead& out) {
  struct stat now{};
  if (::fstat(fd_, &now) != 0) return fail(Errc::kIo, path_ + ": " + std::generic_category().message(errno));
  written_ = write_time(now);
  const size_t known = recent_.size();
  const std::string window = recent_ + read_at(fd_, offset_, kBlock_bytes);
  const std::string_view view = window;
  const uint64_t base = offset_ - known;
  size_t from = known;
  for (size_t end; (end = view.find('\n', from)) != std::string_view::npos; from = end + 1) {
    const std::string_view text = view.substr(from, end - from);
    LogLine line{.text = std::string(text.substr(0, max_line_bytes_)), .at = base + from, .after = position_at(view.substr(0, end + 1), base + end + 1)};
    if (std::exchange(skipping_, false)) {
      line.text = std::exchange(long_text_, {});
      line.at = long_at_;
      line.fault = LogFault::kTooLong;
    } else if (text.size() > max_line_bytes_) {
      line.fault = LogFault::kTooLong;
    } else if (is_blank(text)) {
      continue;
    }
    out.lines.push_back(std::move(line));
  }
  const std::string_view rest = view.substr(from);
  if (!skipping_ && rest.size() > max_line_bytes_) {
    skipping_ = true;
    long_at_ = base + from;
    long_text_ = rest.substr(0, max_line_bytes_);
  }
  const size_t taken = skipping_ ? window.size() : from;
  half_ = view.substr(taken);
  recent_ = view.substr(taken - std::min(taken, kTail_bytes), std::min(taken, kTail_bytes));
  offset_ = base + taken;
  out.more = window.size() - known == kBlock_bytes;
  if (!out.lines.empty()) rotated_ = false;
  return {};
}

/// At the end of a file that the name leads away from: told twice, the next generation follows.
void LogReader::leave_rotated(LogRead& out) {
  struct stat live{};
  if (::stat(path_.c_str(), &live) != 0 || live.st_ino == inode_) return;  // between rename and creation: wait
  if (!std::exchange(rotated_, true)) return;
  const uint64_t end = offset_ + half_.size();
  if (skipping_ || !half_.empty()) {
    LogLine line{.text = skipping_ ? long_text_ : half_, .at = skipping_ ? long_at_ : offset_,
                 .fault = skipping_ ? LogFault::kTooLong : LogFault::kUnfinished, .after = position_at(recent_ + half_, end)};
    out.lines.push_back(std::move(line));
  }
  if (!next_generation(written_, inode_)) drop();
  out.more = fd_ >= 0;
}

}  // namespace sluice
