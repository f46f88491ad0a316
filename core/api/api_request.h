// Decoding and paging that several verbs share. For .cc files only (brings the JSON library in).
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "stream/json_object.h"

namespace sluice {

inline constexpr size_t kNamesPage_count = 1024;
inline constexpr size_t kListPage_count = 256;
inline constexpr size_t kSubjectsPage_count = 100'000;

/// A slice of a sorted list: [first, end).
struct Page {
  size_t total = 0;
  size_t first = 0;
  size_t end = 0;
  size_t limit = 0;
};

/// Negative offsets count as 0, those beyond the end give an empty page at the end.
inline Page page_of(size_t total, int64_t offset, size_t limit) {
  const size_t first = offset <= 0 ? 0 : std::min(total, static_cast<size_t>(offset));
  return {total, first, std::min(total, first + limit), limit};
}

/// `"total":…,"offset":…,"limit":…`
std::string page_members(const Page& page);

/// Paged requests look at their body only when it begins as JSON does.
inline bool has_json_body(std::string_view body) {
  return !body.empty() && (body.front() == '{' || body.front() == '[');
}

}  // namespace sluice
