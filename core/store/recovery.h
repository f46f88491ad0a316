// Reads a store directory back: the journal in order of its batches, of the segments only their summaries.
//
// Changes nothing but left-over temporary files, so it may be killed at any step and run again. The rules of
// what is believed are in docs/storage_format.md.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/error.h"
#include "base/seq_set.h"
#include "io/disk.h"
#include "store/erasure.h"
#include "store/message_index.h"
#include "store/record_format.h"
#include "store/store.h"
#include "store/store_file.h"

namespace sluice {

/// A record with a message id whose message may be gone by now.
struct RecoveredId {
  uint64_t seq = 0;
  uint64_t file = 0;
  uint64_t offset = 0;
};

struct RecoveredStreamState {
  std::string name;  ///< empty: its meta was not found
  std::string meta;
  bool deleted = false;
  /// Places in the journal; subject_hash holds the number of the subject in Recovery::subject().
  MessageIndex index;
  SeqSet removed;      ///< said to be removed, as far as segments may hold them
  uint64_t segments_last = 0;  ///< newest sequence in a segment
  uint64_t in_segments = 0;  ///< messages of it there, removed ones too
  uint64_t floor = 1;  ///< everything below is purged
  uint64_t last = 0;
  WallNanos last_time = kZeroTime;
  std::vector<RecoveredId> ids;
  uint64_t meta_file = 0;  ///< where its newest meta stands
  uint64_t last_file = 0;  ///< where its last sequence was given out
  SeqSet lost;             ///< passed over at damage in the journal; in the end those that nothing removed
  SeqSet removed_unseen;   ///< removed without their messages having been found
  uint64_t passed = 0;     ///< newest sequence of the records so far
  uint64_t damage = 0;     ///< Recovery::damage_ when that was
  bool seen = false;       ///< there was a record
};

struct RecoveredConsumerState {
  uint32_t stream = 0;
  std::string name;
  std::string meta;
  std::string snapshot;
  std::vector<std::string> deltas;
  uint64_t meta_file = 0;
};

class Recovery {
 public:
  /// `sealer`: null when no key is known. Must outlive it.
  Recovery(Disk& disk, std::string dir, FileTable& files, RecoveryReport& report, Sealer* sealer)
      : disk_(disk), dir_(std::move(dir)), files_(files), report_(report), sealer_(sealer) {}

  /// kUnsupported: a newer format; kDenied: encrypted with another key; kIo: unreadable. Damage is no error.
  Status run();

  std::string_view subject(uint32_t number) const { return *subjects_[number]; }
  /// The summary of a segment that run() opened. Reads it again when it was too large to keep.
  Result<std::vector<std::byte>> take_summary(StoreFile& file);

  uint64_t store_id = 0;  ///< 0 = a new directory
  uint64_t next_batch = 1;
  uint64_t commit = 0;
  uint64_t next_stream = 1;
  uint64_t next_consumer = 1;
  uint64_t next_file = 1;
  std::map<uint32_t, RecoveredStreamState> streams;
  std::map<uint64_t, RecoveredConsumerState> consumers;
  std::vector<std::string> spares;
  std::vector<std::pair<uint64_t, std::string>> id_files;  ///< number and path
  std::vector<Erasure> erasures;  ///< intents found; to be done (again)

 private:
  struct BatchAt {
    uint64_t offset = 0;
    format::BatchHeader header;
    bool good = false;
  };
  struct JournalFile {
    StoreFile* file = nullptr;
    uint64_t first_batch = 0;  ///< 0 = not known
    uint64_t end_batch = UINT64_MAX;  ///< later files begin here
    uint64_t proved = 0;
    std::vector<BatchAt> batches;
  };
  enum class Belief : uint8_t { kAll, kHighWaterOnly };

  Status list_files();
  Status remove_leftovers();
  Status find_store_id();
  Status check_version(uint32_t version, const std::string& path) const;
  Status check_key(const format::FileHeader& header, const std::string& path) const;
  Status open_segments();
  Status survey(JournalFile& journal);
  void decide();
  void find_tails();
  Status collect_intents();
  Status find_erasure_copies();
  Status replay(JournalFile& journal);
  void replay_good(JournalFile& journal, std::span<std::byte> body, uint64_t offset, Belief belief);
  struct Salvaged {
    uint64_t found = 0;
    uint64_t expected = 0;
  };
  Salvaged salvage(JournalFile& journal, std::span<std::byte> bytes, uint64_t offset, uint64_t low, uint64_t high);
  void apply(StoreFile& file, const format::Record& record, uint64_t offset);
  void note_id(StoreFile& file, RecoveredStreamState& stream, const format::Record& record, uint64_t offset);
  void apply_message(StoreFile& file, const format::Record& record, uint64_t offset);
  void apply_remove(RecoveredStreamState& stream, const format::Record& record);
  void apply_meta(StoreFile& file, RecoveredStreamState& stream, const format::Record& record);
  void apply_consumer(StoreFile& file, const format::Record& record);
  void apply_high_water(StoreFile& file, const format::Record& record);
  void pass(RecoveredStreamState& stream, uint64_t first, uint64_t last);
  void settle_lost(RecoveredStreamState& stream);
  void mark_given_out(const StoreFile& file, uint64_t stream, uint64_t last);
  void lose_sealed(const JournalFile& journal, const format::Record& record, uint64_t offset);
  void drop_below(RecoveredStreamState& stream, uint64_t first_kept);
  void settle();
  uint32_t intern(std::string_view subject);
  void note(std::string text);

  Disk& disk_;
  std::string dir_;
  FileTable& files_;
  RecoveryReport& report_;
  Sealer* sealer_;
  std::vector<JournalFile> journals_;
  std::vector<std::string> leftovers_;
  uint64_t damage_ = 0;  ///< rises at each byte that should be a record and is none
  uint64_t proved_ = 0;
  uint64_t accepted_ = 0;  ///< newest batch that counts
  struct Mark {
    uint64_t last = 0;
    uint64_t file = 0;
  };
  std::map<uint64_t, Mark> marks_;
  std::unordered_map<std::string, uint32_t> subject_numbers_;
  std::vector<const std::string*> subjects_;
  std::unordered_set<uint64_t> dead_consumers_;
  std::map<uint64_t, std::map<uint64_t, Erasure>> torn_erasures_;  ///< by file and offset; only when batches are damaged
  std::unordered_map<uint64_t, std::vector<std::byte>> summaries_;
  uint64_t summary_bytes_ = 0;
};

}  // namespace sluice
