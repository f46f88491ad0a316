#include "client/kv_names.h"

#include <algorithm>

namespace sluice {
namespace {

bool is_alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

}  // namespace

bool is_kv_bucket(std::string_view bucket) {
  return !bucket.empty() && std::ranges::all_of(bucket, [](char c) {
    return is_alphanumeric(c) || c == '_' || c == '-';
  });
}

bool is_kv_key(std::string_view key) {
  if (key.empty() || key.front() == '.' || key.back() == '.') return false;
  if (key.find("..") != std::string_view::npos) return false;
  return std::ranges::all_of(key, [](char c) {
    return is_alphanumeric(c) || std::string_view("-/_=.").find(c) != std::string_view::npos;
  });
}

}  // namespace sluice
