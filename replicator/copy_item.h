// One source message on its way through a copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/ids.h"
#include "base/time_format.h"
#include "replicator/ledger.h"

namespace sluice {

/// One source message with what was decided about it.
struct CopyItem {
  StreamSeq source_seq;
  Outcome outcome = Outcome::kCopied;
  uint64_t copied_before = 0;    ///< sequences between this one and the one before it in the line, as the next three
  uint64_t filtered_before = 0;
  uint64_t removed_before = 0;
  uint64_t purged_before = 0;
  WallNanos source_time = 0;
  size_t size_bytes = 0;         ///< of the payload
  std::string value{};           ///< inspected; empty = none
  bool on_target = false;        ///< copied in an earlier session: nothing to write
  StreamSeq target_seq{};        ///< with on_target, when known
  std::string subject{};         ///< of what is to be written, as the next two
  std::string headers{};
  std::string payload{};
  size_t bytes() const { return subject.size() + headers.size() + payload.size(); }
  bool needs_writing() const {
    return !on_target && (outcome == Outcome::kCopied || outcome == Outcome::kDeadLettered);
  }
};

/// The message, and the sequences before it, each under its outcome.
void count(Ledger& ledger, const CopyItem& item);

}  // namespace sluice
