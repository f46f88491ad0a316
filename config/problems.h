// What is wrong with a configuration, all of it, with places.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sluice {

/// A place in the file, counted from 1. Line 0 = the file as a whole.
struct Place {
  int line = 0;
  int column = 0;
  auto operator<=>(const Place&) const = default;
};

struct Problem {
  Place place;
  std::string text;
};

class Problems {
 public:
  explicit Problems(std::string file) : file_(std::move(file)) {}
  void add(Place place, std::string text);
  /// Wrong, and no reason not to start. empty() and size() do not count it.
  void warn(Place place, const std::string& text);
  size_t warnings() const { return warnings_; }
  bool empty() const { return size() == 0; }
  size_t size() const { return list_.size() - warnings_; }
  /// In the order of the file.
  std::vector<Problem> sorted() const;
  /// One line each: "sluice.yaml:3:5: unknown key 'prot', did you mean 'port'?".
  std::string to_text() const;
  const std::string& file() const { return file_; }

 private:
  std::string file_;
  std::vector<Problem> list_;
  size_t warnings_ = 0;
};

/// The known word nearest to `word` by edit distance; empty when none is near.
std::string_view nearest_word(std::string_view word, const std::vector<std::string>& known);

}  // namespace sluice
