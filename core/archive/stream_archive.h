// The archive of a stream as nats-server 2.15 makes it (inside an S2 stream): a magic, then entries, then an
// entry of zeros. Order: state.json, consumers/<name>…, one entry a message with its subject as name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/ids.h"
#include "base/time_format.h"

namespace sluice {

inline constexpr std::string_view kArchiveMagic = "NATSARC1";
inline constexpr std::string_view kArchiveState = "state.json";
inline constexpr std::string_view kArchiveConsumers = "consumers/";

/// One entry; views into the reader's buffer or the caller's bytes.
struct ArchiveEntry {
  std::string_view name;  ///< "state.json", "consumers/<name>" or a message's subject
  WallNanos time = 0;
  StreamSeq seq;
  std::string_view headers;
  std::string_view body;
};

/// Writes into any sink that appends; does not compress.
class ArchiveWriter {
 public:
  void begin(std::string& out) const { out += kArchiveMagic; }
  void entry(const ArchiveEntry& entry, std::string& out) const;
  void end(std::string& out) const { out.append(5, '\0'); }
};

/// Reads decompressed bytes as they come.
class ArchiveReader {
 public:
  /// An entry larger than this is refused before memory is taken.
  static constexpr size_t kMaxEntry_bytes = 64u << 20;

  void feed(std::string_view bytes) { waiting_ += bytes; }
  /// The next whole entry; its views live until the next call of feed() or next(). nullopt: more bytes
  /// are needed, or the archive has ended.
  Result<std::optional<ArchiveEntry>> next();
  bool ended() const { return ended_; }
  size_t waiting_bytes() const { return waiting_.size() - at_; }

 private:
  std::string waiting_;
  size_t at_ = 0;
  bool begun_ = false;
  bool ended_ = false;
};

}  // namespace sluice
