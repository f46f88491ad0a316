// Strict decoding of request bodies, shared by the rooms that read the API's JSON. For .cc files only:
// it brings the JSON library in. Semantics follow the reference's decoder: null leaves a field as it
// was, unknown keys are errors (10025) unless the reader is lenient.
#pragma once

#include <simdjson.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time_format.h"
#include "stream/unknown_keys.h"

namespace sluice {

using JsonElement = simdjson::dom::element;

/// 10025 with `what` in its text.
std::unexpected<Error> bad_json(std::string what);

// Each stores the value; null leaves `out` alone; another type or range is 10025.
Status read_json(const JsonElement& from, std::string& out);
Status read_json(const JsonElement& from, bool& out);
Status read_json(const JsonElement& from, int32_t& out);
Status read_json(const JsonElement& from, int64_t& out);
Status read_json(const JsonElement& from, uint64_t& out);
Status read_json(const JsonElement& from, std::chrono::nanoseconds& out);
Status read_json(const JsonElement& from, std::vector<std::string>& out);
Status read_json(const JsonElement& from, std::map<std::string, std::string>& out);
Status read_json(const JsonElement& from, std::vector<std::chrono::nanoseconds>& out);
/// RFC 3339 text.
Status read_json_time(const JsonElement& from, WallNanos& out);

/// One known key and what to do with its value.
struct JsonField {
  std::string_view name;
  std::function<Status(const JsonElement&)> read;

  template <class T>
  static JsonField into(std::string_view name, T& out) {
    return {name, [&out](const JsonElement& from) { return read_json(from, out); }};
  }
};

/// Reads an object by its table of fields. Errors are 10025.
Status read_json_object(const JsonElement& from, std::span<const JsonField> fields,
                        UnknownKeys unknown = UnknownKeys::kRefuse);

/// Parses `body` and reads it as an object. Malformed text is 10025.
Status parse_json_object(std::string_view body, std::span<const JsonField> fields,
                         UnknownKeys unknown = UnknownKeys::kRefuse);

/// True for an empty body and for an object without keys: what the API calls an empty request.
bool is_empty_request(std::string_view body);

}  // namespace sluice
