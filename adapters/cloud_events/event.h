// A CloudEvent 1.0 and the rules of its attributes, whatever it came in.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice {

/// Attributes are kept in the order in which they came, as their canonical text.
struct CloudEvent {
  std::vector<std::pair<std::string, std::string>> attributes{};
  std::string data{};

  /// "" when it has none of that name: no attribute is empty.
  std::string_view get(std::string_view name) const;
  void set(std::string_view name, std::string value);
};

/// Why bytes are no event. `reason` is a stable word, for counters, answers and dead letters.
struct EventFault {
  std::string_view reason;
  std::string detail;
};

template <class T>
using EventResult = std::expected<T, EventFault>;

inline std::unexpected<EventFault> not_an_event(std::string_view reason, std::string detail) {
  return std::unexpected(EventFault{reason, std::move(detail)});
}

/// Name: lower-case letters and digits. Value: UTF-8 without control characters, not empty.
/// Faults: "bad_attribute", "bad_utf8".
EventResult<void> check_attribute(std::string_view name, std::string_view value);
/// The required attributes are there, version 1.0, and those with a form of their own (time,
/// datacontenttype, source, dataschema) have it. Faults: "missing_attribute", "bad_version",
/// "bad_attribute". Each attribute has passed check_attribute().
EventResult<void> check_event(const CloudEvent& event);

/// The same for every event with the same `source` and `id`, which is what makes two of them one event
/// (CloudEvents 1.0, id): 32 characters.
std::string event_msg_id(const CloudEvent& event);
/// The type as tokens of a subject: what can't stand in one becomes '_'.
std::string type_tokens(std::string_view type);
/// "application/json", "text/json", "…+json", with or without parameters.
bool is_json_type(std::string_view content_type);

}  // namespace sluice
