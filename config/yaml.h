// A YAML document as a plain tree with places. The library that parses is seen by yaml.cc alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/problems.h"

namespace sluice {

inline constexpr size_t kMaxConfig_bytes = 1024 * 1024;

struct YamlNode {
  enum class Kind : uint8_t { kNull, kScalar, kList, kMap };
  struct Entry;

  Kind kind = Kind::kNull;
  Place place{};
  std::string text{};   ///< of a scalar
  bool quoted = false;  ///< a scalar in quotes or a block: text, never a number or a flag
  std::vector<YamlNode> items{};
  std::vector<Entry> entries{};
};

struct YamlNode::Entry {
  std::string key;
  Place place;
  YamlNode value;
};

/// The node with all its values, in a form that is the same for the same values.
std::string canonical_text(const YamlNode& node);

/// @return nullopt after the first syntax error. Duplicate keys, merge keys, anchors, aliases, tags
/// and a second document are told as problems too, all of them.
std::optional<YamlNode> parse_yaml(std::string_view text, Problems& problems);

}  // namespace sluice
