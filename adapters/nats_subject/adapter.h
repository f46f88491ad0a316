// Takes what is published on subjects of a core NATS network into a stream, subject mapped on the way.
#pragma once

#include <memory>

#include "adapters/adapter.h"
#include "adapters/nats_subject/options.h"
#include "client/stream_client.h"
#include "io/env.h"

namespace sluice {

/// Headers and payload pass byte-exact, but for `Nats-Expected-*` and `Nats-Rollup`, which are commands to
/// the publisher's own stream. A publisher's Nats-Msg-Id is the message's id; without one the
/// message has none, as core NATS tells nothing by which two equal messages could be told apart.
/// Parameters and errors as make_subject_adapter(); also kInvalidArgument for a transform that can't be.
Result<std::unique_ptr<Adapter>> make_nats_subject(Env& env, NatsLink& network,
                                                   StreamClient& target,
                                                   NatsSubjectOptions options);

}  // namespace sluice
