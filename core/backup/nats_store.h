// The store directory of a nats-server 2.15 that does not run: its streams, read twice and never written.
//
// DIR/jetstream/<account>/streams/<stream>/  meta.inf, meta.sum
//   msgs/<n>.blk …, index.db · obs/<consumer>/meta.inf, meta.sum, o.dat
//
// A removal stands behind the message it removes, perhaps in a later block. So survey() reads every block
// first and learns what is gone; then read() gives what is left. What is damaged is named and passed over.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "archive/nats_index.h"
#include "base/error.h"
#include "base/seq_set.h"
#include "consumer/consumer_portable.h"
#include "io/disk.h"
#include "store/stream_store.h"
#include "stream/stream_config.h"

namespace sluice {

/// Where one stream lies.
struct NatsStreamFolder {
  std::string account;  ///< "$G", a configured name, or an account's public key
  std::string stream;
  std::string path;
};

/// The streams of all accounts, in order of their names.
/// @param dir  a nats-server's store_dir, or the folder "jetstream" in it.
/// @return kNotFound when there is none.
Result<std::vector<NatsStreamFolder>> find_nats_streams(Disk& disk, const std::string& dir);

/// What the first reading found.
struct NatsSurvey {
  uint64_t messages = 0;
  StreamSeq first;                  ///< zero when there is no message
  StreamSeq last;                   ///< the newest sequence that was given out
  WallNanos last_time = kZeroTime;  ///< when
  std::vector<std::string> damage;  ///< "msgs/3.blk: message 17 does not match its checksum"; at most 1000
  uint64_t damages = 0;             ///< all of them
  std::vector<std::string> notes;   ///< what is done otherwise than the files say
};

/// One stream. Every call blocks on the disk.
class NatsStreamFiles {
 public:
  /// Reads configuration, index and consumers. kUnsupported when it is encrypted or its configuration asks for
  /// what this version can't do; kCorrupt, kIo.
  static Result<std::unique_ptr<NatsStreamFiles>> open(Disk& disk, const NatsStreamFolder& folder);

  const NatsStreamFolder& folder() const { return folder_; }
  const StreamConfig& config() const { return config_; }
  /// Durable ones; those of clients that are gone are left out, with a note.
  const std::vector<PortableConsumer>& consumers() const { return consumers_; }
  size_t blocks() const { return blocks_.size(); }
  uint64_t block_bytes(size_t block) const { return blocks_[block].bytes; }

  /// First reading; each block once, in order. kUnsupported when it is encrypted, kIo.
  Status survey_block(size_t block);
  /// Once, after the last block.
  const NatsSurvey& end_survey();
  const NatsSurvey& survey() const { return survey_; }

  /// Second reading: the messages of a block that are not removed, in order. Ends early with `take`'s error.
  /// kInvalidArgument when the file changed in between: its server
  /// is running.
  Status read_block(size_t block, const std::function<Status(const StoredMessage&)>& take);

 private:
  struct Block {
    uint64_t number = 0;
    uint64_t bytes = 0;
    uint64_t first_seq = 0;  ///< by the index
  };

  NatsStreamFiles(Disk& disk, const NatsStreamFolder& folder) : disk_(disk), folder_(folder) {}
  Status read_config();
  Status find_blocks();
  void read_index();
  Status read_consumers();
  Status read_consumer(const std::string& name);
  void check_sum(const std::string& folder, std::string_view meta, std::string_view name);
  void note_last(uint64_t seq, WallNanos time);
  void take_record(const Block& block, const NatsRecord& record);
  void damaged(const std::string& file, std::string_view what);
  Result<std::string> read_file(const std::string& name, uint64_t most_bytes) const;

  Disk& disk_;
  const NatsStreamFolder folder_;
  StreamConfig config_;
  std::vector<Block> blocks_;
  std::vector<PortableConsumer> consumers_;
  SeqSet removed_;
  SeqSet present_;  ///< whole and not removed
  uint64_t last_ = 0;
  WallNanos last_time_ = kZeroTime;
  NatsIndex index_;
  std::string newest_checksum_;  ///< what the newest block ends with
  NatsSurvey survey_;
};

}  // namespace sluice
