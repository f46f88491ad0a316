#include "replicator/copy_item.h"

#include "base/check.h"

namespace sluice {

void count(Ledger& ledger, const CopyItem& item) {
  ledger.read += 1 + item.copied_before + item.filtered_before + item.removed_before + item.purged_before;
  ledger.copied += item.copied_before;
  ledger.filtered += item.filtered_before;
  ledger.removed += item.removed_before;
  ledger.purged += item.purged_before;
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
