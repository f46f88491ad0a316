#include "adapters/kafka/position.h"

#include <nlohmann/json.hpp>

#include "base/parse_number.h"

namespace sluice {

using Json = nlohmann::ordered_json;

std::string write_positions(const KafkaPositions& positions) {
  Json topics = Json::object();
  for (const auto& [partition, at] : positions.partitions)
    topics[partition.topic][std::to_string(partition.number)] = {at.next, std::to_string(at.mark)};
  return Json{{"batch", positions.batch}, {"topics", std::move(topics)}}.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<KafkaPositions> parse_positions(std::string_view text) {
  const Json root = Json::parse(text, nullptr, false);
  if (!root.is_object() || !root.contains("batch") || !root["batch"].is_string() || !root.contains("topics")) return std::nullopt;
  KafkaPositions out{root["batch"].get<std::string>(), {}};
  for (const auto& [topic, numbers] : root["topics"].items()) {
    if (!numbers.is_object()) return std::nullopt;
    for (const auto& [number, pair] : numbers.items()) {
      const auto partition = parse_decimal<uint32_t>(number);
      const bool shaped = pair.is_array() && pair.size() == 2 && pair[0].is_number_integer() && pair[1].is_string();
      if (!partition || !shaped) return std::nullopt;
      const auto mark = parse_decimal<uint64_t>(pair[1].get<std::string>());
      if (!mark || pair[0].get<int64_t>() < 0) return std::nullopt;
      out.partitions[{topic, static_cast<int32_t>(*partition)}] = {pair[0].get<int64_t>(), *mark};
    }
  }
  return out;
}

}  // namespace sluice
