#include "crypto/distinguished_name.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

namespace sluice {
namespace {

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(' ');
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

/// "ATTRIBUTE=value", sorted; nullopt when a component has no '='.
std::optional<std::vector<std::string>> components(std::string_view text) {
  std::vector<std::string> found;
  size_t begin = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && text[i] == '\\') {
      ++i;
      continue;
    }
    if (i < text.size() && text[i] != ',' && text[i] != '+') continue;
    const std::string_view part = trimmed(text.substr(begin, i - begin));
    begin = i + 1;
    const size_t equals = part.find('=');
    if (equals == part.npos || equals == 0) return std::nullopt;
    std::string attribute(trimmed(part.substr(0, equals)));
    for (char& c : attribute) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
    found.push_back(attribute + "=" + std::string(trimmed(part.substr(equals + 1))));
  }
  std::ranges::sort(found);
  return found;
}

}  // namespace

bool same_distinguished_name(std::string_view a, std::string_view b) {
  const auto left = components(a);
  const auto right = components(b);
  return left && right && *left == *right;
}

}  // namespace sluice
