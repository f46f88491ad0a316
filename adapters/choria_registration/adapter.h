// Takes Choria registration (or replies) from a NATS network into a stream.
#pragma once

#include <memory>

#include "adapters/adapter.h"
#include "adapters/choria_registration/options.h"
#include "client/stream_client.h"
#include "io/env.h"

namespace sluice {

/// `network` is where the nodes publish, `target` where the stream is; both outlive the adapter,
/// and they must not share a remote link (pausing the source would hold up the target's acks).
/// @return kInvalidArgument when a subject or name in the options can't be used.
Result<std::unique_ptr<Adapter>> make_choria_registration(Env& env, NatsLink& network,
                                                          StreamClient& target,
                                                          ChoriaRegistrationOptions options);

}  // namespace sluice
