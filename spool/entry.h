// A submission as it lies in the store: its fields in front of its own headers, in one header block, so that
// any tool that shows a store shows it readably.
//
//   NATS/1.0
//   Spool-Entry: 1 <accepted> <expires> <created> <ttl s> <max tries> <tries> <flags: r s q, or ->
//   Spool-Id: …
//   Spool-Sender: …
//   Spool-Identity: …
//   Spool-Reason: <word> <text>          with flag q only
//   (the submitter's headers)
// The first lines are known by their place, so a submitter's header may bear any name. Times are SpoolTime, but
// for `created`, which is wall time and goes out on the wire.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "spool/submission.h"
#include "spool/timeline.h"
#include "store/stream_store.h"

namespace sluice {

struct SpoolEntry {
  Submission submission;
  SpoolTime accepted = 0;
  SpoolTime expires = 0;
  std::string reason;  ///< of a quarantined one: "<word> <text>"; empty in a queue

  std::string_view reason_word() const { return std::string_view(reason).substr(0, reason.find(' ')); }
};

/// Everything but subject and payload, which have places of their own in a record.
std::string encode_entry(const SpoolEntry& entry);
/// kCorrupt when the block is not one of ours.
Result<SpoolEntry> decode_entry(const StoredMessage& message);

}  // namespace sluice
