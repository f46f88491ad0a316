#include "stream/source_positions.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "base/parse_number.h"
#include "stream/pub_ack.h"

namespace sluice {

std::optional<SourceHeader> parse_source_header(std::string_view value) {
  std::vector<std::string_view> words;
  while (!value.empty() && words.size() < 6) {
    const size_t end = std::min(value.find(' '), value.size());
    if (end > 0) words.push_back(value.substr(0, end));
    value.remove_prefix(std::min(value.size(), end + 1));
  }
  if (words.size() < 2) return std::nullopt;
  const auto seq = parse_decimal<uint64_t>(words[1]);
  if (!seq) return std::nullopt;
  const bool full = words.size() >= 4;
  return SourceHeader{.key = fmt::format("{} {} {}", words[0], full ? words[2] : ">", full ? words[3] : ">"),
                      .seq = *seq,
                      .identity = words.size() > 5 ? words[5] : std::string_view()};
}

const SourcePosition* SourcePositions::find(std::string_view key) const {
  const auto found = positions_.find(key);
  return found == positions_.end() ? nullptr : &found->second;
}

void SourcePositions::advance(std::string_view key, SourcePosition position) {
  auto found = positions_.find(key);
  if (found == positions_.end()) found = positions_.emplace(std::string(key), SourcePosition{}).first;
  found->second = std::move(position);
  unsaved_ = true;
}

bool SourcePositions::needed_by_removal(StreamSeq first, StreamSeq end) const {
  if (!unsaved_) return false;
  return std::any_of(positions_.begin(), positions_.end(), [&](const auto& entry) {
    const StreamSeq carrier = entry.second.carrier;
    return carrier > saved_at_ && carrier >= first && carrier < end;
  });
}

void SourcePositions::saved(StreamSeq last) {
  saved_at_ = last;
  unsaved_ = false;
}

std::string SourcePositions::json() const {
  std::string out = fmt::format(R"({{"at":{},"sources":[)", saved_at_.value());
  for (bool first = true; const auto& [key, position] : positions_) {
    out += fmt::format(R"({}{{"key":{},"seq":{},"identity":{}}})", first ? "" : ",", json_quoted(key),
                       position.seq, json_quoted(position.identity));
    first = false;
  }
  return out + "]}";
}

void SourcePositions::restore(Map positions, StreamSeq saved_at) {
  positions_ = std::move(positions);
  saved_at_ = saved_at;
  unsaved_ = false;
}

}  // namespace sluice
