#include <algorithm>
#include <array>

#include "config/nats_stanzas.h"

namespace sluice {
namespace {

constexpr std::array kRefused = std::to_array<std::string_view>({"mappings",
                                                                 "maps",
                                                                 "accounts",
                                                                 "default_sentinel",
                                                                 "operator",
                                                                 "operators",
                                                                 "roots",
                                                                 "root",
                                                                 "root_operators",
                                                                 "root_operator",
                                                                 "resolver",
                                                                 "account_resolver",
                                                                 "resolver_tls",
                                                                 "resolver_preload",
                                                                 "resolver_pinned_accounts",
                                                                 "system_account",
                                                                 "system",
                                                                 "no_system_account",
                                                                 "no_system",
                                                                 "no_sys_acc",
                                                                 "trusted",
                                                                 "trusted_keys",
                                                                 "proxies"});

}  // namespace

bool read_accounts_stanza(NatsReader& reader, std::string_view key, const ConfEntry& entry,
                          NatsSettings& /*settings*/) {
  if (std::ranges::find(kRefused, key) == kRefused.end()) return false;
  reader.refuse_or_unknown(entry, kRefused);
  return true;
}

}  // namespace sluice
