// CloudEvents as JSON. Source: CloudEvents JSON event format 1.0.2 and its batch format.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/cloud_events/event.h"

namespace sluice {

/// @return an event that check_event() passes; its data is the bytes meant: JSON as it stood (white space
/// and all), the text of a string for other media types, or what `data_base64` holds. Without a media type
/// JSON data gets `application/json`. Faults: "bad_json", "bad_data", and those of the attributes.
EventResult<CloudEvent> read_json_event(std::string_view json);

/// All of them, or the fault of the first bad one with its place. The batch may be empty.
/// Also "too_many" for more than `max_count`.
EventResult<std::vector<CloudEvent>> read_json_batch(std::string_view json, size_t max_count);

/// One object. Data of a JSON media type that is JSON goes in as it is, other UTF-8 text as a string,
/// anything else as data_base64.
std::string write_json_event(const CloudEvent& event);

}  // namespace sluice
