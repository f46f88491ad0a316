// Reads messages of an adapter off the loop, in the order taken, where reading is dear: signatures, gzip.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "adapters/subject_reader.h"
#include "client/inbound_queues.h"
#include "io/env.h"

namespace sluice {

/// Happy path: what one turn of the loop brings goes in batches to a worker thread of the line's own. They come back in
/// their order, and so are handed on; with the one that is refused for lack of room the rest waits for go_on().
///
/// Bounds are the owner's, who sees count() and bytes() and stops adding. Destroying the line waits for the batch that is
/// being read (64 messages) and drops everything else.
/// Loop thread only; it may go within `take`.
class ReadingLine {
 public:
  /// @return false when there is no room: the same message comes again.
  using Take = std::move_only_function<bool(const LinkMessage&, const SubjectReading&)>;

  /// `reader` outlives it, and is used on the worker alone.
  ReadingLine(Env& env, SubjectReader& reader, Take take);

  void add(const LinkMessage& message);
  /// There is room again.
  void go_on();
  /// Added and not yet taken.
  size_t count() const { return count_; }
  size_t bytes() const { return bytes_; }

 private:
  struct Entry {
    HeldMessage message;
    std::optional<SubjectReading> reading;  ///< of one that the worker has seen
  };
  struct Batch {
    ReadAt at;
    std::vector<Entry> entries;
    size_t bytes = 0;
  };

  void send();

  Env& env_;
  SubjectReader& reader_;
  Take take_;
  std::shared_ptr<Batch> filling_;  ///< null: nothing came since the last was sent
  std::deque<Entry> read_;
  size_t count_ = 0;
  size_t bytes_ = 0;
  bool posted_ = false;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
  std::unique_ptr<DiskWorker> worker_;  // goes first: its job uses the reader
};

}  // namespace sluice
