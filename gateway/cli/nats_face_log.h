// The nats-server face's own log lines: "[PID] 2026/11/20 12:00:00.000000 [INF] text".
#pragma once

#include <string>

#include "base/error.h"
#include "base/time_format.h"

namespace sluice {

struct FaceLogOptions {
  std::string file{};  ///< empty = standard error
  bool time = true;
  bool utc = false;
};

/// Not thread safe. A handful of lines at start, signals and end: written at once.
class FaceLog {
 public:
  FaceLog() = default;
  ~FaceLog();
  FaceLog(const FaceLog&) = delete;
  FaceLog& operator=(const FaceLog&) = delete;

  /// Also to open the same file anew. kIo: the former destination stays.
  Status open(const FaceLogOptions& options);
  /// `level` is one of INF DBG WRN ERR FTL.
  void line(WallNanos now, const char* level, const std::string& text);
  /// FTL; to standard error as well when the log is a file.
  void fatal(WallNanos now, const std::string& text);

 private:
  std::string stamped(WallNanos now, const char* level, const std::string& text) const;

  FaceLogOptions options_;
  int fd_ = -1;
};

}  // namespace sluice
