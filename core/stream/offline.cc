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

namespace {

void take_texts(const element& config, std::string_view key, std::vector<std::string>& out) {
  simdjson::dom::array texts;
  if (config[key].get(texts) != simdjson::SUCCESS) return;
  for (const element one : texts) {
    std::string_view text;
    if (one.get(text) == simdjson::SUCCESS) out.emplace_back(text);
  }
}

}  // namespace

std::vector<std::string> subjects_of(std::string_view meta) {
  std::vector<std::string> out;
  simdjson::dom::parser parser;
  element root, config;
  if (parser.parse(meta.data(), meta.size()).get(root) != simdjson::SUCCESS) return out;
  if (root["config"].get(config) == simdjson::SUCCESS) take_texts(config, "subjects", out);
  return out;
}

std::vector<std::string> filters_of(std::string_view meta) {
  std::vector<std::string> out;
  simdjson::dom::parser parser;
  element root, config;
  std::string_view one;
  if (parser.parse(meta.data(), meta.size()).get(root) != simdjson::SUCCESS) return out;
  if (root["config"].get(config) != simdjson::SUCCESS) return out;
  if (config["filter_subject"].get(one) == simdjson::SUCCESS && !one.empty()) out.emplace_back(one);
  take_texts(config, "filter_subjects", out);
  return out;
}

}  // namespace sluice
