// The stanzas of a nats-server configuration: one file each, one function that takes the top-level
// keys which are its own.
#pragma once

#include <string_view>

#include "config/nats_reader.h"
#include "config/nats_settings.h"

namespace sluice {

/// `key` is the entry's, in small letters. @return false when it belongs to another stanza; what is
/// wrong is told to the reader.
using NatsStanza = bool (*)(NatsReader&, std::string_view key, const ConfEntry&, NatsSettings&);

/// listen, host, port, http, server_name and the like.
bool read_network_stanza(NatsReader&, std::string_view key, const ConfEntry&, NatsSettings&);
/// max_…, ping_…, write_deadline, lame_duck_….
bool read_limits_stanza(NatsReader&, std::string_view key, const ConfEntry&, NatsSettings&);
/// debug, trace, logtime, log_file, pid_file, ports_file_dir.
bool read_log_stanza(NatsReader&, std::string_view key, const ConfEntry&, NatsSettings&);
/// authorization, no_auth_user.
bool read_authorization_stanza(NatsReader&, std::string_view key, const ConfEntry&, NatsSettings&);
/// accounts, system_account, mappings, operator, resolver and what goes with them.
bool read_accounts_stanza(NatsReader&, std::string_view key, const ConfEntry&, NatsSettings&);
/// tls, allow_non_tls, ocsp.
bool read_tls_stanza(NatsReader&, std::string_view key, const ConfEntry&, NatsSettings&);
bool read_websocket_stanza(NatsReader&, std::string_view key, const ConfEntry&, NatsSettings&);
bool read_leafnodes_stanza(NatsReader&, std::string_view key, const ConfEntry&, NatsSettings&);
/// jetstream, store_dir.
bool read_jetstream_stanza(NatsReader&, std::string_view key, const ConfEntry&, NatsSettings&);

}  // namespace sluice
