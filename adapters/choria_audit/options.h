// Settings of the audit adapter. Plain data; config/ fills it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

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

}  // namespace sluice
