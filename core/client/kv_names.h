// Names of key-value buckets and what they stand for (ADR-8): pure rules.
#pragma once

#include <string>
#include <string_view>

namespace sluice {

/// Letters, digits, '_' and '-'.
bool is_kv_bucket(std::string_view bucket);
/// Letters, digits and "-/_=."; no empty token.
bool is_kv_key(std::string_view key);
inline std::string kv_stream(std::string_view bucket) { return "KV_" + std::string(bucket); }
inline std::string kv_subject(std::string_view bucket, std::string_view key) {
  return "$KV." + std::string(bucket) + "." + std::string(key);
}

}  // namespace sluice
