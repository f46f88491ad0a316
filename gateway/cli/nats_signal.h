// `nats-server --signal CMD[=PID or pid file]`.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace sluice {

struct SignalOrder {
  int number = 0;
  std::string command;  ///< as written, for people
  std::string target;   ///< process id or file with it; empty = the one nats-server that runs
};

/// stop KILL, quit INT, term TERM, reopen USR1, reload HUP, ldm USR2. Else `unknown signal "x"`.
Result<SignalOrder> parse_signal_order(std::string_view text);

/// Sends it. Without a target `running` says which nats-servers there are; more than one is
/// refused.
Status send_signal(const SignalOrder& order, const std::function<std::vector<int>()>& running);

/// Process ids of nats-servers on this machine, but for this process: those of that name, and
/// Sluice as one.
std::vector<int> running_nats_servers();

}  // namespace sluice
