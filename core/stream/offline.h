// Assets found on disk that this version can't serve (ADR-44): kept as they are, named, removable, nothing else.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/store.h"

namespace sluice {

struct OfflineStream {
  std::string reason;                 ///< for people
  std::vector<std::string> subjects;  ///< still its own: nobody else gets them
};
using OfflineStreams = std::map<std::string, OfflineStream, std::less<>>;
struct OfflineConsumer {
  std::string reason;
  ConsumerKey key;
};
using OfflineConsumers = std::map<std::string, OfflineConsumer, std::less<>>;

/// The API level that a stored description asks for in its `_nats.req.level`, when it is above `level`, as a reason.
/// `meta`: as stored, with keys that may be unknown here.
std::optional<std::string> beyond_api_level(std::string_view meta, int level);
/// The subjects that a stored description of a stream names.
std::vector<std::string> subjects_of(std::string_view meta);
/// The filters that a stored description of a consumer names; empty = none, or it can't be read.
std::vector<std::string> filters_of(std::string_view meta);

}  // namespace sluice
