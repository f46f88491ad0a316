// What a `sluice kv` line asks for; shared by its verbs.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "client/kv.h"
#include "gateway/cli/bucket_words.h"

namespace sluice {

struct KvWords : BucketWords {
  std::string key;
  std::string value;
  std::string file = "-";
  std::string marker_ttl;
  std::string max_value;
  std::string republish_source, republish_destination;
  std::string mirror;
  std::vector<std::string> sources, filters;
  std::string timeout;
  int64_t history = 1;
  uint64_t revision = 0;
  bool republish_headers_only = false;
  bool raw = false;
  bool with_history = false;
  bool create_only = false;
  bool make_bucket = false;
};

/// Longest value taken from a file or standard input.
inline constexpr size_t kMaxKvValue_bytes = 64 * 1024 * 1024;

template <>
Result<std::unique_ptr<KvBucket>> open_bucket(Session& session, const std::string& name);
/// Runs until the watch is current and, without `stop_when_current`, until a signal or the limit.
/// @return what ended it badly, if something did.
Status follow(Session& session, KvBucket& bucket, KvWatchOptions options, std::chrono::milliseconds limit, bool stop_when_current,
              const std::function<void(const KvEntry&)>& tell);

int export_bucket(Session& session, const KvWords& words);
int import_bucket(Session& session, const KvWords& words);

}  // namespace sluice
