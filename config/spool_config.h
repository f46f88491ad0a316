// The configuration of sluice-spool, a file of its own.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "adapters/choria_audit/options.h"
#include "base/log.h"
#include "client/link_options.h"
#include "config/field.h"
#include "config/problems.h"
#include "config/units.h"
#include "spool/options.h"

namespace sluice {

inline constexpr const char* kDefaultSpoolConfigPath = "/etc/sluice/spool.yaml";

struct SpoolConfig {
  SpoolConfig() { queue.dir = "/var/lib/sluice-spool"; }

  std::string identity;   ///< empty = the host's name
  LinkOptions server;
  bool has_inbox_prefix = false;  ///< server.inbox_prefix was set; else the collective and the login's identity make it
  std::string collective = "mcollective";
  std::string socket = "/run/sluice-spool/submit.sock";  ///< empty = none
  unsigned socket_mode = 0660;
  std::string folder;     ///< empty = none
  std::string metrics_host;  ///< empty = not served
  uint16_t metrics_port = 0;
  SpoolQueueOptions queue;
  SpoolSenderOptions sender;
  std::chrono::nanoseconds alert_age{0};  ///< 0 = no alert
  LogOptions log;
  std::optional<ChoriaAuditOptions> audit;  ///< none: no audit log is followed
};

const FieldRows& spool_config_fields();
/// Problems are told with their places; the result is good when there are none.
SpoolConfig load_spool_config(const std::string& path, const Environment& environment, Problems& problems);
SpoolConfig parse_spool_config(std::string_view text, bool world_readable, const Environment& environment, Problems& problems);

}  // namespace sluice
