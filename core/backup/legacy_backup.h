// Backups of nats-servers before 2.15: a tar of the stream's own files.
//
// meta.inf, meta.sum · msgs/<n>.blk … · msgs/index.db · obs/<consumer>/meta.inf, meta.sum, o.dat.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "archive/tar_reader.h"
#include "base/error.h"
#include "consumer/consumer_portable.h"
#include "stream/streams.h"

namespace sluice {

/// Fed with the decompressed bytes; puts messages into `into` as their blocks come.
class LegacyBackup {
 public:
  /// @param stream  its name when it was saved: the checksums depend on it.
  explicit LegacyBackup(std::string_view stream) : stream_(stream) {}

  Status take(std::string_view raw, StreamRestore& into);
  /// Everything is here: the newest sequence given out.
  Result<StreamSeq> last_seq() const;
  WallNanos last_time() const { return last_time_; }
  /// Messages that later blocks say were removed.
  const std::set<uint64_t>& removed() const { return removed_; }
  Result<std::vector<PortableConsumer>> consumers() const;

 private:
  struct SavedConsumer {
    std::string meta;
    std::string state;
  };
  Status take_file(const TarFile& file, StreamRestore& into);
  Status take_block(std::string_view number, std::string_view bytes, StreamRestore& into);
  Status take_index(std::string_view bytes);
  Status take_consumer(std::string_view path, std::string_view bytes);

  const std::string stream_;
  TarReader tar_;
  uint64_t last_block_ = 0;
  uint64_t last_ = 0;
  WallNanos last_time_ = kZeroTime;
  bool meta_seen_ = false;
  std::set<uint64_t> removed_;
  std::map<std::string, SavedConsumer> consumers_;
  size_t consumers_bytes_ = 0;
};

}  // namespace sluice
