// Lines of an audit log that are no records, in the quarantine of the node's own spool.
#pragma once

#include <memory>
#include <string>

#include "adapters/choria_audit/letters.h"
#include "spool/queue.h"

namespace sluice {

/// `queue` outlives it. `subject`: what a replayed letter is submitted under.
std::unique_ptr<AuditLetters> make_quarantine_letters(Env& env, SpoolQueue& queue, std::string subject, std::string identity);

}  // namespace sluice
