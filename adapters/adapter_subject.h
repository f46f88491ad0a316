// What the settings of adapters may name as a subject; asked by the configuration's check and by the start.
#pragma once

#include <algorithm>
#include <string_view>

namespace sluice {

/// Whether `text` can be published to, or with `wildcards` subscribed to.
inline bool is_adapter_subject(std::string_view text, bool wildcards) {
  if (text.empty() || text.front() == '.' || text.back() == '.' || text.contains("..")) return false;
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return static_cast<unsigned char>(c) > ' ' && c != '\x7f' && (wildcards || (c != '*' && c != '>'));
  });
}

}  // namespace sluice
