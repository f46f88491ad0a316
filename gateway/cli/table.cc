#include "gateway/cli/table.h"

#include <fmt/format.h>

#include <algorithm>

namespace sluice {
namespace {

/// Characters of UTF-8 text, near enough for alignment.
size_t width(std::string_view text) {
  return static_cast<size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

/// Bytes of the well-formed sequence at the front of `text`; 0 = none.
size_t sequence_length(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  const size_t length = first < 0x80 ? 1 : first >= 0xC2 && first < 0xE0 ? 2 : first >= 0xE0 && first < 0xF0 ? 3
                        : first >= 0xF0 && first < 0xF5 ? 4 : 0;
  if (length == 0 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) return 0;
  }
  return length;
}

}  // namespace

std::string TextTable::text() const {
  std::vector<size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  std::string out;
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) {
      out += row[i];
      if (i + 1 < row.size()) out.append(widths[i] - width(row[i]) + 2, ' ');
    }
    out.erase(out.find_last_not_of(' ') + 1);  // the last columns may be empty
    out += '\n';
  }
  return out;
}

std::string short_duration(int64_t nanoseconds) {
  const int64_t seconds = nanoseconds / 1'000'000'000;
  if (seconds < 10) return fmt::format("{:.1f}s", static_cast<double>(nanoseconds) / 1e9);
  if (seconds < 60) return fmt::format("{}s", seconds);
  if (seconds < 3600) return fmt::format("{}m{}s", seconds / 60, seconds % 60);
  if (seconds < 86'400) return fmt::format("{}h{}m", seconds / 3600, seconds % 3600 / 60);
  return fmt::format("{}d{}h", seconds / 86'400, seconds % 86'400 / 3600);
}

std::string printable(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    const auto first = static_cast<unsigned char>(bytes[0]);
    const size_t length = sequence_length(bytes);
    if (length == 0 || first < 0x20 || first == 0x7F) {
      out += first == '\n' ? "\\n" : fmt::format("\\x{:02x}", first);
      bytes.remove_prefix(1);
    } else {
      out += bytes.substr(0, length);
      bytes.remove_prefix(length);
    }
  }
  return out;
}

}  // namespace sluice
