// Users, permissions and mappings as a .conf writes them; authorization and accounts share them.
#pragma once

#include <vector>

#include "config/nats_reader.h"
#include "server/account_options.h"

namespace sluice {

/// `[ {user: u, password: p, permissions: {…}}, {nkey: U…} ]`
void read_conf_users(NatsReader& reader, const ConfValue& value, std::vector<UserOptions>& users);
/// `{ publish: …, subscribe: …, allow_responses: … }`
void read_conf_permissions(NatsReader& reader, const ConfValue& value, PermissionOptions& out);
/// `{ source: destination | {destination, weight, cluster} | [ … ] }`
void read_conf_mappings(NatsReader& reader, const ConfValue& value,
                        std::vector<MappingOptions>& mappings);

}  // namespace sluice
