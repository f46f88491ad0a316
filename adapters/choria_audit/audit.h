// Follows a node's RPC audit log and hands each record to the node's spool, which takes it to the centre.
#pragma once

#include <memory>

#include "adapters/adapter.h"
#include "adapters/choria_audit/letters.h"
#include "adapters/choria_audit/options.h"
#include "adapters/folder_watch.h"
#include "io/env.h"

namespace sluice {

/// Lines that are no records go to `letters`. A position file that can't be read is an error of start(): beginning
/// anew would submit everything twice, going on would skip.
/// @return kInvalidArgument when a setting can't be used.
Result<std::unique_ptr<Adapter>> make_choria_audit(Env& env, std::unique_ptr<AuditLetters> letters, ChoriaAuditOptions options,
                                                   std::unique_ptr<FolderWatch> watch);

/// Why a line is no audit record: "bad_json" or "bad_record"; empty = it is one.
/// `detail` is for people.
std::string check_audit_record(const std::string& line, std::string& detail);

}  // namespace sluice
