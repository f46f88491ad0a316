// An event source: takes CloudEvents that are posted to it over HTTP into a stream of its own.
#pragma once

#include <memory>

#include "adapters/adapter.h"
#include "adapters/http_events/options.h"
#include "client/stream_client.h"
#include "io/env.h"

namespace sluice {

/// The answer is 2xx only when every event of the request is durable. README.md here has the answers.
/// @return kInvalidArgument when a setting can't be used, kIo when a certificate can't be read. The
/// address is bound in start(), which reports when it can't be.
Result<std::unique_ptr<Adapter>> make_http_events(Env& env, StreamClient& target,
                                                  HttpEventsOptions options);

}  // namespace sluice
