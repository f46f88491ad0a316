#include "replicator/copy_item.h"

#include "base/check.h"

namespace sluice {

void count(Ledger& ledger, const CopyItem& item) {
  ++ledger.read;
  if (item.gap) {
    ledger.read += item.gap->all();
    ledger.copied += item.gap->copied;
    ledger.filtered += item.gap->filtered;
    ledger.removed += item.gap->removed;
    ledger.purged += item.gap->purged;
  }
  switch (item.outcome) {
    case Outcome::kCopied: ++ledger.copied; break;
    case Outcome::kFiltered: ++ledger.filtered; break;
    case Outcome::kSampled: ++ledger.sampled; break;
    case Outcome::kExpired: ++ledger.expired; break;
    case Outcome::kDeadLettered: ++ledger.dead_lettered; break;
  }
  SLUICE_CHECK(ledger.balanced());
}

}  // namespace sluice
