#include "gateway/cli/nats_face_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <ctime>
#include <system_error>

namespace sluice {

FaceLog::~FaceLog() {
  if (fd_ >= 0) ::close(fd_);
}

Status FaceLog::open(const FaceLogOptions& options) {
  int fd = -1;
  if (!options.file.empty()) {
    fd = ::open(options.file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0) {
      return fail(Errc::kIo, fmt::format("error opening log file {}: {}", options.file,
                                         std::generic_category().message(errno)));
    }
  }
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
  options_ = options;
  return {};
}

std::string FaceLog::stamped(WallNanos now, const char* level, const std::string& text) const {
  std::string out = fmt::format("[{}] ", ::getpid());
  if (options_.time) {
    const time_t seconds = now / 1'000'000'000;
    tm parts{};
    if (options_.utc) {
      gmtime_r(&seconds, &parts);
    } else {
      localtime_r(&seconds, &parts);
    }
    out += fmt::format("{:04}/{:02}/{:02} {:02}:{:02}:{:02}.{:06} ", parts.tm_year + 1900,
                       parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                       now % 1'000'000'000 / 1'000);
  }
  return out + fmt::format("[{}] {}\n", level, text);
}

void FaceLog::line(WallNanos now, const char* level, const std::string& text) {
  const std::string out = stamped(now, level, text);
  const int fd = fd_ >= 0 ? fd_ : STDERR_FILENO;
  // One write a line, so that the engine's lines do not mix with it. A log that can't be written
  // ends nothing.
  [[maybe_unused]] const ssize_t written = ::write(fd, out.data(), out.size());
}

void FaceLog::fatal(WallNanos now, const std::string& text) {
  line(now, "FTL", text);
  if (fd_ >= 0) std::fputs(stamped(now, "FTL", text).c_str(), stderr);
}

}  // namespace sluice
