// What an object store keeps of a bucket and of an object (ADR-20): names, options, and their JSON.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time_format.h"

namespace sluice {

inline constexpr uint64_t kDefaultObjectChunk_bytes = 128 * 1024;
inline constexpr size_t kMaxObjectName_bytes = 1024;

/// Options of a bucket to make. Limits: -1 or 0 = none.
struct ObjectBucketSpec {
  std::string bucket{};
  std::string description{};
  std::chrono::nanoseconds ttl{0};
  int64_t max_bytes = -1;
  bool memory = false;
  bool compress = false;
  int replicas = 1;
  std::string placement_cluster{};
  std::vector<std::string> placement_tags{};
  std::map<std::string, std::string> metadata{};
};

struct ObjectBucketStatus {
  ObjectBucketSpec spec;
  bool sealed = false;
  uint64_t bytes = 0;  ///< of everything stored, descriptions and deletions too
  WallNanos created = 0;
};

/// Where a link leads.
struct ObjectLink {
  std::string bucket;
  std::string object;  ///< empty = the bucket as a whole
};

/// What a person says of an object.
struct ObjectMeta {
  std::string name{};
  std::string description{};
  std::map<std::string, std::vector<std::string>> headers{};
  std::map<std::string, std::string> metadata{};
  uint64_t chunk_bytes = 0;  ///< 0 = kDefaultObjectChunk_bytes
};

struct ObjectInfo {
  ObjectMeta meta;
  std::string bucket;
  std::string nuid;  ///< its chunks' name
  uint64_t size = 0;
  uint64_t chunks = 0;
  std::string digest;  ///< "SHA-256=" and its bytes in base64 for URLs, padded; empty for links and deletions
  bool deleted = false;
  std::optional<ObjectLink> link;
  WallNanos modified = 0;
};

/// Letters, digits, '_' and '-'.
bool is_object_bucket(std::string_view bucket);
std::string object_stream(std::string_view bucket);
std::string object_chunk_subject(std::string_view bucket, std::string_view nuid);
std::string object_meta_subject(std::string_view bucket, std::string_view name);
std::string object_digest_text(std::string_view sha256_bytes);

/// The stream's configuration, as STREAM.CREATE takes it. kInvalidArgument for a name or an option out of
/// its range.
Result<std::string> encode_object_bucket(const ObjectBucketSpec& spec);
/// From STREAM.INFO. kCorrupt when the stream is no object store.
Result<ObjectBucketStatus> parse_object_bucket(std::string_view info);

std::string encode_object_info(const ObjectInfo& info);
/// `modified` is the stored message's time. kCorrupt when it is not the description of an object.
Result<ObjectInfo> parse_object_info(std::string_view json, WallNanos modified);

}  // namespace sluice
