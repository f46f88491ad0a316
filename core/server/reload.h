// Which settings of a running server can change, and which differ from a fresh configuration.
#pragma once

#include <string>
#include <vector>

#include "server/server_options.h"

namespace sluice {

/// A setting that differs.
struct ChangedSetting {
  std::string name;             ///< as in ServerOptions: "max_payload"
  std::string reference_field;  ///< as nats-server's messages call it: "MaxPayload"
  std::string before;           ///< for people; secrets are not shown
  std::string after;
};

struct ReloadReport {
  std::vector<ChangedSetting> applied;  ///< in force, or to be put in force without a restart
  std::vector<ChangedSetting> waiting;  ///< only a restart brings them
};

/// TLS and WebSocket are not compared, their certificates are read again at each reload; nor are
/// host and port: what "any free port" means is the caller's.
ReloadReport compare_options(const ServerOptions& running, const ServerOptions& fresh);
/// Takes over what can change while running.
void take_reloadable(ServerOptions& running, const ServerOptions& fresh);

}  // namespace sluice
