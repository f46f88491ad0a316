// One stream on its way in.
//
//   receiving (≤ 5 s between chunks) ──► the empty chunk ──► made | failed
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "archive/s2_stream.h"
#include "archive/stream_archive.h"
#include "backup/backups.h"
#include "backup/legacy_backup.h"
#include "io/timers.h"

namespace sluice {

/// Owned by Backups, which destroys it in a later callback. Loop thread only.
class StreamRestorer {
 public:
  static constexpr size_t kMaxAhead_bytes = 16u << 20;  ///< sent before it was answered
  static constexpr size_t kMaxConsumers_bytes = 256u << 20;

  StreamRestorer(Env& env, Bus& bus, Streams& streams, Consumers& consumers, StreamConfig config,
                 RestoreWords words, std::function<void()> over);
  ~StreamRestorer();
  StreamRestorer(const StreamRestorer&) = delete;
  StreamRestorer& operator=(const StreamRestorer&) = delete;

  const std::string& subject() const { return subject_; }
  const std::string& stream() const { return config_.name; }
  bool over() const { return over_; }
  uint64_t received_bytes() const { return figures_.bytes; }

 private:
  struct Chunk {
    std::string reply;
    std::string bytes;  ///< empty = the end
  };

  void on_chunk(const Message& message);
  void later();
  void work();
  Result<bool> read_some();
  Status take(std::string_view raw);
  Status take_legacy(std::string_view raw);
  Status begin(StreamSeq first);
  Status take_entry(const ArchiveEntry& entry);
  Status take_state(std::string_view json);
  void answer_when_durable(std::string reply);
  void finish(const std::string& reply);
  Result<Stream*> make_stream();
  Result<Stream*> make_legacy_stream();
  Result<Stream*> add_consumers(Stream& stream, const std::vector<PortableConsumer>& saved);
  void conclude(const std::string& reply, const Result<Stream*>& result);

  Env& env_;
  Bus& bus_;
  Streams& streams_;
  Consumers& consumers_;
  const StreamConfig config_;
  RestoreWords words_;
  std::function<void()> tell_over_;
  std::string subject_;
  RestoreFigures figures_;
  S2StreamReader compressed_;
  ArchiveReader archive_;
  std::string sniffed_;  ///< the first bytes, until they tell the format
  std::optional<LegacyBackup> legacy_;
  std::unique_ptr<StreamRestore> into_;
  StreamSeq last_;
  WallNanos last_time_ = kZeroTime;
  std::vector<std::string> saved_consumers_;
  size_t saved_consumers_bytes_ = 0;
  std::deque<Chunk> chunks_;
  size_t ahead_bytes_ = 0;
  bool chunk_begun_ = false;
  bool queued_ = false;
  bool over_ = false;
  std::unique_ptr<BusSubscription> subscription_;
  std::unique_ptr<Timer> silence_;
  std::shared_ptr<StreamRestorer*> anchor_;
};

}  // namespace sluice
