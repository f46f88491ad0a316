#include "config/problems.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace sluice {

void Problems::add(Place place, std::string text) { list_.push_back({place, std::move(text)}); }

void Problems::warn(Place place, const std::string& text) {
  list_.push_back({place, "warning: " + text});
  ++warnings_;
}

std::vector<Problem> Problems::sorted() const {
  auto out = list_;
  std::stable_sort(out.begin(), out.end(),
                   [](const Problem& a, const Problem& b) { return a.place < b.place; });
  return out;
}

std::string Problems::to_text() const {
  std::string out;
  for (const Problem& problem : sorted()) {
    if (problem.place.line == 0) {
      out += fmt::format("{}: {}\n", file_, problem.text);
    } else {
      out += fmt::format("{}:{}:{}: {}\n", file_, problem.place.line, problem.place.column,
                         problem.text);
    }
  }
  return out;
}

namespace {

/// Levenshtein's distance.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string_view nearest_word(std::string_view word, const std::vector<std::string>& known) {
  if (word.size() > 64) return "";
  std::string_view best;
  size_t best_distance = std::max<size_t>(word.size() <= 3 ? 1 : 2, word.size() / 3) + 1;
  for (const std::string& candidate : known) {
    size_t d = distance(word, candidate);
    if (d < best_distance && d < candidate.size()) {
      best_distance = d;
      best = candidate;
    }
  }
  return best;
}

}  // namespace sluice
