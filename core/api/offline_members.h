// `missing` and `offline` of LIST replies: assets on disk that are not served.
#pragma once

#include <string>

#include "stream/pub_ack.h"

namespace sluice::verbs {

/// With its leading comma; empty when all are served. `assets`: OfflineStreams or OfflineConsumers.
template <class Assets>
std::string offline_members(const Assets& assets) {
  if (assets.empty()) return {};
  std::string missing;
  std::string offline;
  for (const auto& [name, asset] : assets) {
    const char* comma = missing.empty() ? "" : ",";
    missing += comma + json_quoted(name);
    offline += comma + json_quoted(name) + ':' + json_quoted(asset.reason);
  }
  return R"(,"missing":[)" + missing + R"(],"offline":{)" + offline + '}';
}

}  // namespace sluice::verbs
