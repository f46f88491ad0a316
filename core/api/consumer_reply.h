// What several consumer verbs share. For .cc files of this room only.
#pragma once

#include <map>
#include <string>

#include "api/verb.h"
#include "consumer/consumer.h"
#include "consumer/consumers.h"

namespace sluice::verbs {

/// Metadata keys that belong to the server: taken out of what clients send, shown in replies.
inline void strip_server_metadata(std::map<std::string, std::string>& metadata) {
  for (const char* key : {"_nats.ver", "_nats.level", "_nats.req.level"}) metadata.erase(key);
}

/// ConsumerInfo. `with_server`: also the server's version and level (all replies but LIST).
inline std::string consumer_json(const ApiContext& context, Consumer& consumer, bool with_server) {
  std::map<std::string, std::string> metadata = consumer.config().metadata;
  metadata["_nats.req.level"] = std::to_string(required_api_level(consumer.config()));
  if (with_server) {
    metadata["_nats.ver"] = context.options.version;
    metadata["_nats.level"] = std::to_string(context.options.api_level);
  }
  return consumer_info_json(consumer, metadata);
}

/// token[0] = stream, token[1] = consumer. 10059, 10014.
inline Result<Consumer*> named_consumer(ApiContext& context, const ApiCall& call) {
  if (context.streams.find(call.token[0]) == nullptr) return fail_api(Errc::kNotFound, 10059, {});
  Consumer* consumer = context.consumers.find(call.token[0], call.token[1]);
  if (consumer == nullptr) return fail_api(Errc::kNotFound, 10014, {});
  return consumer;
}

}  // namespace sluice::verbs
