#include "monitor/page_json.h"

namespace sluice {

std::vector<AccountFigures> account_figures(const Server& server) {
  std::vector<AccountFigures> out;
  server.accounts().each([&](const Account& account) {
    const AccountCounters& c = account.counters;
    out.push_back({.name = account.name(),
                   .system = account.is_system(),
                   .connections = account.connections,
                   .leaf_connections = account.leaf_connections,
                   .total_connections = c.total_connections,
                   .subscriptions = account.router().subscription_count(),
                   .in_msgs = c.in_msgs,
                   .in_bytes = c.in_bytes,
                   .out_msgs = c.out_msgs,
                   .out_bytes = c.out_bytes,
                   .slow_consumers = c.slow_consumers,
                   .options = &account.options()});
  });
  return out;
}

}  // namespace sluice
