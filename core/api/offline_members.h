// `missing` and `offline` of LIST replies: assets on disk that are not served.
#pragma once

#include <string>

#include "stream/pub_ack.h"

namespace sluice::verbs {

/// With its leading comma; empty when all are served. `reason(entry)`: why this one is not.
template <class Assets, class Reason>
std::string offline_members(const Assets& assets, Reason&& reason) {
  if (assets.empty()) return {};
  std::string missing;
  std::string offline;
  for (const auto& entry : assets) {
    const char* comma = missing.empty() ? "" : ",";
    missing += comma + json_quoted(entry.first);
    offline += comma + json_quoted(entry.first) + ':' + json_quoted(reason(entry));
  }
  return R"(,"missing":[)" + missing + R"(],"offline":{)" + offline + '}';
}

}  // namespace sluice::verbs
