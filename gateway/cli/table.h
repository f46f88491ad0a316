// Columns of text for people.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sluice {

class TextTable {
 public:
  explicit TextTable(std::vector<std::string> titles) : rows_{std::move(titles)} {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  size_t size() const { return rows_.size() - 1; }
  /// Lines of padded columns, the titles first.
  std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

/// "3d4h", "12m5s", "0.4s": the two largest units.
std::string short_duration(int64_t nanoseconds);
/// Control bytes and broken UTF-8 as \xNN, so that stored bytes can't steer the terminal.
std::string printable(std::string_view bytes);

}  // namespace sluice
