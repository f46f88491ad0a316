// Takes what Choria nodes submit (their spools) into a stream, each message once, and answers as a stream
// would, so that a node deletes its spooled file only when the message is on disk here.
#pragma once

#include <memory>

#include "adapters/adapter.h"
#include "adapters/choria_submission/options.h"
#include "client/stream_client.h"
#include "io/env.h"

namespace sluice {

/// All headers of the node pass byte-exact; `Sluice-Verified: yes | no: <why> | unsigned` is added when
/// signatures are looked at. The signature covers the payload alone (as Choria's nodes make it), so
/// "yes" proves who wrote the payload, not subject, id or time.
/// Parameters and errors as make_subject_adapter(); also kInvalidArgument for an issuer that is no key.
Result<std::unique_ptr<Adapter>> make_choria_submission(Env& env, NatsLink& network,
                                                        StreamClient& target,
                                                        ChoriaSubmissionOptions options);

}  // namespace sluice
