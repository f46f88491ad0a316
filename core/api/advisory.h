// Events of the API for whoever subscribes to $JS.EVENT.ADVISORY.>; made only when somebody does.
#pragma once

#include <string_view>

#include "api/verb.h"

namespace sluice {

/// Publishes `{"type":"io.nats.jetstream.advisory.v1.<kind>","id":…,"timestamp":…,<members>}` on
/// `$JS.EVENT.ADVISORY.<subject>`, with the domain when there is one. Leaves when durable.
void publish_advisory(ApiContext& context, std::string_view subject, std::string_view kind,
                      std::string_view members);

enum class AssetAction : uint8_t { kCreate, kModify, kDelete };
void advise_stream(ApiContext& context, std::string_view stream, AssetAction action);
/// kCreate and kDelete only.
void advise_consumer(ApiContext& context, std::string_view stream, std::string_view consumer,
                     AssetAction action);

}  // namespace sluice
