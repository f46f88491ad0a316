// One source message on its way through a copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/ids.h"
#include "base/time_format.h"
#include "replicator/ledger.h"

namespace sluice {

/// Source sequences between a message and the one before it in the line.
struct CopyGap {
  uint64_t copied = 0;
  uint64_t filtered = 0;
  uint64_t removed = 0;
  uint64_t purged = 0;
  uint64_t all() const { return copied + filtered + removed + purged; }
};

/// What is to be written.
struct CopyText {
  std::string subject, headers, payload;
};

/// One source message with what was decided about it. Tens of thousands are on a long way at once: what most of them don't need stands apart.
struct CopyItem {
  StreamSeq source_seq;
  Outcome outcome = Outcome::kCopied;
  bool on_target = false;        ///< copied in an earlier session: nothing to write
  bool has_our_id = false;       ///< a Nats-Msg-Id that no other message has
  std::unique_ptr<const CopyGap> gap{};  ///< null = none
  WallNanos source_time = 0;
  size_t size_bytes = 0;         ///< of the payload
  std::string value{};           ///< inspected; empty = none
  StreamSeq target_seq{};        ///< with on_target, when known
  std::unique_ptr<CopyText> text{};  ///< until it was sent; null when nothing is written
  size_t bytes() const { return text ? text->subject.size() + text->headers.size() + text->payload.size() : 0; }
  bool needs_writing() const {
    return !on_target && (outcome == Outcome::kCopied || outcome == Outcome::kDeadLettered);
  }
};

/// The message, and the sequences before it, each under its outcome.
void count(Ledger& ledger, const CopyItem& item);

}  // namespace sluice
