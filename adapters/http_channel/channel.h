// An event channel: what its routes take from streams waits in the channel's own stream and is delivered
// to one HTTP endpoint as CloudEvents.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "adapters/adapter.h"
#include "adapters/http_channel/options.h"
#include "client/stream_client.h"
#include "http_client/http_client.h"
#include "io/env.h"

namespace sluice {

/// README.md here tells what an answer of the endpoint means. `http` makes the requests:
/// make_channel_client() gives the one for these options.
/// @return kInvalidArgument when a setting can't be used.
Result<std::unique_ptr<Adapter>> make_http_channel(Env& env, StreamClient& streams, HttpChannelOptions options,
                                                   std::unique_ptr<HttpClient> http);
Result<std::unique_ptr<HttpClient>> make_channel_client(Env& env, const HttpChannelOptions& options);

}  // namespace sluice
