// NatsLink to any NATS server over the network.
#pragma once

#include <functional>
#include <memory>

#include "base/error.h"
#include "client/link_options.h"
#include "client/nats_link.h"
#include "io/env.h"
#include "remote/srv_lookup.h"

namespace sluice {

/// Begins to connect at once and reconnects for ever, to one server after the other, with jittered
/// back-off from 100 ms to 5 s. Headers and payload pass byte-exact, nothing is dropped: a paused
/// subscription holds options.max_pending_messages, then the link stops reading its socket and TCP
/// pushes back (the server may then cut the connection as a slow consumer). That holds up the
/// link's replies as well, so a source that pauses needs a link of its own.
///
/// A URL "srv://…" is looked up by `lookup`, on a worker, each time its turn comes; all servers found are tried before
/// the next URL.
///
/// `on_trouble` is told why each try failed.
///
/// @return kInvalidArgument: no URL, a bad URL, or a certificate, key or token that can't be used; kNotFound, kIo: no token can be read.
Result<std::unique_ptr<NatsLink>> make_remote_link(Env& env, const LinkOptions& options, SrvLookup lookup = look_up_srv,
                                                 std::function<void(const Error& why)> on_trouble = {});

}  // namespace sluice
