#include "adapters/cloud_events/json_format.h"

#include <simdjson.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/base64.h"

namespace sluice {
namespace {

namespace od = simdjson::ondemand;

constexpr int64_t kIntegerLow = INT32_MIN;   // CloudEvents 1.0, type system
constexpr int64_t kIntegerHigh = INT32_MAX;

/// The on-demand reader looks only at what it is asked for, so the whole text is proven first. A NUL would end it
/// for the one that proves, and no JSON has any.
bool is_json(std::string_view text) {
  return text.find('\0') == text.npos && nlohmann::json::accept(text.begin(), text.end());
}

/// Blanks around a value are not a part of it.
std::string_view without_blanks(std::string_view json) {
  constexpr std::string_view kBlanks = " \n\r\t";
  const size_t first = json.find_first_not_of(kBlanks);
  return first == json.npos ? std::string_view() : json.substr(first, json.find_last_not_of(kBlanks) - first + 1);
}

std::unexpected<EventFault> bad_value(std::string_view name) {
  return not_an_event("bad_attribute",
                      "'" + std::string(name) + "' must be a text, an integer of 32 bits, true or false");
}

/// Canonical text; nullopt for null, which is as if it were not there.
EventResult<std::optional<std::string>> attribute_text(std::string_view name, od::value value) {
  od::json_type type{};
  if (value.type().get(type) != simdjson::SUCCESS) return bad_value(name);
  switch (type) {
    case od::json_type::null:
      return std::nullopt;
    case od::json_type::boolean: {
      bool flag = false;
      if (value.get_bool().get(flag) != simdjson::SUCCESS) return bad_value(name);
      return flag ? "true" : "false";
    }
    case od::json_type::string: {
      std::string_view text;
      if (value.get_string().get(text) != simdjson::SUCCESS)
        return not_an_event("bad_utf8", "'" + std::string(name) + "' is no UTF-8");
      return std::string(text);
    }
    case od::json_type::number: {
      int64_t number = 0;
      if (value.get_int64().get(number) != simdjson::SUCCESS || number < kIntegerLow || number > kIntegerHigh)
        return bad_value(name);
      return std::to_string(number);
    }
    case od::json_type::array:
    case od::json_type::object:
      break;
  }
  return bad_value(name);
}

/// What stands under `data`, as it stands.
struct JsonData {
  std::optional<std::string> json;
  std::optional<std::string> base64;
};

EventResult<void> read_data(std::string_view name, od::value value, JsonData& data) {
  if (name == "data_base64") {
    if (value.is_null()) return {};
    std::string_view text;
    if (value.get_string().get(text) != simdjson::SUCCESS)
      return not_an_event("bad_data", "'data_base64' is no text");
    data.base64 = text;
    return {};
  }
  std::string_view raw;
  if (simdjson::to_json_string(value).get(raw) != simdjson::SUCCESS) return not_an_event("bad_json", "'data' can't be read");
  data.json = without_blanks(raw);
  return {};
}

/// Puts the data into the event by its media type.
EventResult<void> settle_data(JsonData& data, CloudEvent& event) {
  if (data.base64 && data.json) return not_an_event("bad_data", "both 'data' and 'data_base64'");
  if (data.base64) {
    auto bytes = base64_decode(*data.base64);
    if (!bytes) return not_an_event("bad_data", "'data_base64' is no base64");
    event.data = *std::move(bytes);
    return {};
  }
  if (!data.json) return {};
  const std::string_view media = event.get("datacontenttype");
  if (media.empty()) event.set("datacontenttype", "application/json");
  if (!media.empty() && !is_json_type(media) && data.json->starts_with('"')) {
    event.data = nlohmann::json::parse(*data.json, nullptr, false).get<std::string>();
    return {};
  }
  event.data = *std::move(data.json);
  return {};
}

EventResult<CloudEvent> read_object(od::object object) {
  CloudEvent event;
  JsonData data;
  for (auto field : object) {
    std::string_view name;
    od::value value;
    if (field.unescaped_key().get(name) != simdjson::SUCCESS || field.value().get(value) != simdjson::SUCCESS)
      return not_an_event("bad_json", "a member can't be read");
    const std::string key(name);
    if (key == "data" || key == "data_base64") {
      if (key == "data" ? data.json.has_value() : data.base64.has_value())
        return not_an_event("bad_data", "'" + key + "' stands twice");
      if (auto fine = read_data(key, value, data); !fine) return std::unexpected(fine.error());
      continue;
    }
    auto text = attribute_text(key, value);
    if (!text) return std::unexpected(text.error());
    if (!*text) continue;
    if (auto fine = check_attribute(key, **text); !fine) return std::unexpected(fine.error());
    if (!event.get(key).empty()) return not_an_event("bad_attribute", "'" + key + "' stands twice");
    event.attributes.emplace_back(key, **std::move(text));
  }
  if (auto fine = check_event(event); !fine) return std::unexpected(fine.error());
  if (auto fine = settle_data(data, event); !fine) return std::unexpected(fine.error());
  return event;
}

}  // namespace

EventResult<CloudEvent> read_json_event(std::string_view json) {
  if (!is_json(json)) return not_an_event("bad_json", "the body is no JSON");
  const simdjson::padded_string padded(json);
  od::parser parser;
  od::document document;
  od::object object;
  if (parser.iterate(padded).get(document) != simdjson::SUCCESS || document.get_object().get(object) != simdjson::SUCCESS)
    return not_an_event("bad_json", "the body is no JSON object");
  return read_object(object);
}

EventResult<std::vector<CloudEvent>> read_json_batch(std::string_view json, size_t max_count) {
  if (!is_json(json)) return not_an_event("bad_json", "the body is no JSON");
  const simdjson::padded_string padded(json);
  od::parser parser;
  od::document document;
  od::array array;
  if (parser.iterate(padded).get(document) != simdjson::SUCCESS || document.get_array().get(array) != simdjson::SUCCESS)
    return not_an_event("bad_json", "the body is no JSON array");
  std::vector<CloudEvent> events;
  for (auto element : array) {
    if (events.size() == max_count)
      return not_an_event("too_many", "more than " + std::to_string(max_count) + " events in one batch");
    od::object object;
    if (element.get_object().get(object) != simdjson::SUCCESS)
      return not_an_event("bad_json", "event " + std::to_string(events.size()) + " is no JSON object");
    auto event = read_object(object);
    if (!event)
      return not_an_event(event.error().reason, "event " + std::to_string(events.size()) + ": " + event.error().detail);
    events.push_back(*std::move(event));
  }
  return events;
}

std::string write_json_event(const CloudEvent& event) {
  std::string out = "{";
  for (const auto& [name, value] : event.attributes)
    out.append(out.size() > 1 ? "," : "").append("\"" + name + "\":").append(nlohmann::json(value).dump());
  if (!event.data.empty()) {
    const std::string_view media = event.get("datacontenttype");
    if ((media.empty() || is_json_type(media)) && is_json(event.data)) {
      out.append(",\"data\":").append(without_blanks(event.data));
    } else if (!media.empty() && !is_json_type(media) &&
               simdjson::validate_utf8(event.data.data(), event.data.size())) {
      out.append(",\"data\":").append(nlohmann::json(event.data).dump());
    } else {
      out.append(",\"data_base64\":\"").append(base64_encode(event.data)).append("\"");
    }
  }
  return out + "}";
}

}  // namespace sluice
