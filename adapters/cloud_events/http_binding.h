// CloudEvents in HTTP messages. Source: CloudEvents HTTP protocol binding 1.0.2.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "adapters/cloud_events/event.h"

namespace sluice {

enum class ContentMode : uint8_t {
  kBinary,       ///< attributes in header fields, data is the body
  kStructured,   ///< the JSON event format
  kBatch,        ///< the JSON batch format
  kUnsupported,  ///< another event format
};

/// By the Content-Type, as 3. of the binding tells; parameters and case do not count.
ContentMode content_mode(std::string_view content_type);

/// Header fields by name (in lower case) and value, as they came.
using HeaderList = std::vector<std::pair<std::string, std::string>>;

/// @return an event that check_event() passes. Its faults, and "bad_encoding" for a value whose quotes
/// or percent signs are wrong, "bad_attribute" for one that stands twice.
EventResult<CloudEvent> read_binary_event(const HeaderList& headers, std::string data);

/// The text of an attribute as a header's value: blanks, quotes, '%' and what is not printable ASCII
/// become %XX of its UTF-8.
std::string encode_header_value(std::string_view value);
/// The reverse, for what old senders write too: quoted strings. Faults: "bad_encoding", "bad_utf8".
EventResult<std::string> decode_header_value(std::string_view value);

}  // namespace sluice
