// Settings of the audit adapter. Plain data; config/ fills it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "adapters/adapter_subject.h"
#include "base/limits.h"

namespace sluice {

struct ChoriaAuditOptions {
  std::string name = "audit";
  std::string account;        ///< whose dead letters; empty = the global one
  std::string file;           ///< the log, as Choria's `plugin.rpcaudit.logfile` names it
  std::string position_file;  ///< how far it was taken; its folder must be there
  std::string spool = "/run/sluice-spool/submit.sock";  ///< socket of this node's sluice-spool
  std::string subject = "audit.rpc";                    ///< submitted under it
  std::string identity;  ///< of this node; empty = the spool's own
  std::string host;      ///< salt of the records' ids: two nodes never share one; the gateway fills it in
  uint8_t priority = 1;  ///< queue of the spool
  bool sign = false;     ///< with the node's key
  bool from_end = false;  ///< without a position file: leave what stands in the log already
  std::chrono::seconds ttl{31 * 86'400};
  size_t max_line_bytes = 64 * kKiB;
  std::chrono::nanoseconds scan_interval = std::chrono::seconds(1);  ///< besides being told by the kernel
};

/// What keeps an audit log with such settings from being followed; the configuration's check and the start ask the same.
struct ChoriaAuditFault {
  std::string_view key;  ///< of the setting
  std::string_view text;
};
inline std::optional<ChoriaAuditFault> find_fault(const ChoriaAuditOptions& audit) {
  if (audit.file.empty()) return ChoriaAuditFault{"file", "an audit log needs its file"};
  if (audit.position_file.empty()) return ChoriaAuditFault{"position_file", "an audit log needs a file to keep its position in"};
  if (audit.position_file == audit.file) return ChoriaAuditFault{"position_file", "'position_file' is the log itself"};
  if (!audit.spool.starts_with('/')) return ChoriaAuditFault{"spool", "the spool's socket is named by its absolute path"};
  if (!is_adapter_subject(audit.subject, false)) return ChoriaAuditFault{"subject", "not a subject without wildcards"};
  return std::nullopt;
}

}  // namespace sluice
