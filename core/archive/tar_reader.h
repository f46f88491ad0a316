// Files of a tar archive, in the form that older nats-servers put their backups in (ustar, with GNU and PAX long names
// passed over).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace sluice {

/// One whole file. Views into the reader.
struct TarFile {
  std::string_view name;
  std::string_view bytes;
};

/// Fed in pieces of any size; keeps one file at a time.
class TarReader {
 public:
  /// A larger file is refused before memory is taken.
  static constexpr size_t kMaxFile_bytes = 64u << 20;

  void feed(std::string_view bytes) { waiting_ += bytes; }
  /// The next whole file; its views live until the next call of feed() or next(). nullopt: more bytes are
  /// needed, or the archive has ended. kCorrupt: no tar, or a larger file.
  Result<std::optional<TarFile>> next();
  bool ended() const { return ended_; }

 private:
  std::string waiting_;
  size_t at_ = 0;
  std::string name_;
  bool ended_ = false;
};

}  // namespace sluice
