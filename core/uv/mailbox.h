#pragma once

#include <memory>

#include "base/metrics.h"
#include "io/mailbox.h"
#include "uv/loop.h"

namespace sluice {

/// Mailboxes woken by uv_async. The last reference to a mailbox may be dropped on any thread; what
/// it still held is dropped on the loop, unrun.
class UvMailboxes : public Mailboxes {
 public:
  /// Adds the count of refused posts over all mailboxes, and of those waiting.
  virtual void collect(MetricSink& sink) const = 0;
};
std::unique_ptr<UvMailboxes> make_mailboxes(Loop& loop);

}  // namespace sluice
