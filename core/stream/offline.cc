#include "stream/offline.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <charconv>

namespace sluice {

using simdjson::dom::element;

std::optional<std::string> beyond_api_level(std::string_view meta, int level) {
  simdjson::dom::parser parser;
  element root;
  std::string_view text;
  if (parser.parse(meta.data(), meta.size()).get(root) != simdjson::SUCCESS) return std::nullopt;
  if (root["config"]["metadata"]["_nats.req.level"].get(text) != simdjson::SUCCESS) return std::nullopt;
  int needed = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), needed);
  if (error == std::errc{} && end == text.data() + text.size() && needed <= level) return std::nullopt;
  return fmt::format("unsupported - required API level: {}, current API level: {}", text, level);
}

std::vector<std::string> subjects_of(std::string_view meta) {
  std::vector<std::string> out;
  simdjson::dom::parser parser;
  element root;
  simdjson::dom::array subjects;
  if (parser.parse(meta.data(), meta.size()).get(root) != simdjson::SUCCESS) return out;
  if (root["config"]["subjects"].get(subjects) != simdjson::SUCCESS) return out;
  for (const element subject : subjects) {
    std::string_view text;
    if (subject.get(text) == simdjson::SUCCESS) out.emplace_back(text);
  }
  return out;
}

}  // namespace sluice
