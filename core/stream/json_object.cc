#include "stream/json_object.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

namespace sluice {
namespace {

/// Numbers are accepted as the reference accepts them: integers, no fraction.
Status type_error(const JsonElement& from, const char* wanted) {
  const char* got = "value";
  switch (from.type()) {
    case simdjson::dom::element_type::ARRAY: got = "array"; break;
    case simdjson::dom::element_type::OBJECT: got = "object"; break;
    case simdjson::dom::element_type::INT64:
    case simdjson::dom::element_type::UINT64:
    case simdjson::dom::element_type::DOUBLE: got = "number"; break;
    case simdjson::dom::element_type::STRING: got = "string"; break;
    case simdjson::dom::element_type::BOOL: got = "bool"; break;
    case simdjson::dom::element_type::NULL_VALUE: got = "null"; break;
  }
  return bad_json(fmt::format("json: cannot unmarshal {} into a value of type {}", got, wanted));
}

/// Go's decoder takes a key in any case, and clients rely on it.
bool is_same_key(std::string_view ours, std::string_view theirs) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::equal(ours.begin(), ours.end(), theirs.begin(), theirs.end(),
                    [lower](char a, char b) { return a == b || lower(a) == lower(b); });
}

}  // namespace

std::unexpected<Error> bad_json(std::string what) {
  return fail_api(Errc::kInvalidArgument, 10025, std::move(what));
}

Status read_json(const JsonElement& from, std::string& out) {
  if (from.is_null()) return {};
  std::string_view text;
  if (from.get_string().get(text) != simdjson::SUCCESS) return type_error(from, "string");
  out = text;
  return {};
}

Status read_json(const JsonElement& from, bool& out) {
  if (from.is_null()) return {};
  if (from.get_bool().get(out) != simdjson::SUCCESS) return type_error(from, "bool");
  return {};
}

Status read_json(const JsonElement& from, int64_t& out) {
  if (from.is_null()) return {};
  if (from.get_int64().get(out) != simdjson::SUCCESS) return type_error(from, "int64");
  return {};
}

Status read_json(const JsonElement& from, int32_t& out) {
  int64_t wide = out;
  if (auto status = read_json(from, wide); !status) return status;
  if (wide < std::numeric_limits<int32_t>::min() || wide > std::numeric_limits<int32_t>::max())
    return type_error(from, "int32");
  out = static_cast<int32_t>(wide);
  return {};
}

Status read_json(const JsonElement& from, uint64_t& out) {
  if (from.is_null()) return {};
  if (from.get_uint64().get(out) != simdjson::SUCCESS) return type_error(from, "uint64");
  return {};
}

Status read_json(const JsonElement& from, std::chrono::nanoseconds& out) {
  int64_t count = out.count();
  if (auto status = read_json(from, count); !status) return status;
  out = std::chrono::nanoseconds(count);
  return {};
}

Status read_json(const JsonElement& from, std::vector<std::string>& out) {
  if (from.is_null()) return {};
  simdjson::dom::array array;
  if (from.get_array().get(array) != simdjson::SUCCESS) return type_error(from, "[]string");
  out.clear();
  for (JsonElement item : array) {
    std::string text;
    if (auto status = read_json(item, text); !status) return status;
    out.push_back(std::move(text));
  }
  return {};
}

Status read_json(const JsonElement& from, std::map<std::string, std::string>& out) {
  if (from.is_null()) return {};
  simdjson::dom::object object;
  if (from.get_object().get(object) != simdjson::SUCCESS) return type_error(from, "map");
  out.clear();
  for (auto [key, value] : object) {
    std::string text;
    if (auto status = read_json(value, text); !status) return status;
    out[std::string(key)] = std::move(text);
  }
  return {};
}

Status read_json(const JsonElement& from, std::vector<std::chrono::nanoseconds>& out) {
  if (from.is_null()) return {};
  simdjson::dom::array array;
  if (from.get_array().get(array) != simdjson::SUCCESS) return type_error(from, "[]duration");
  out.clear();
  for (JsonElement item : array) {
    std::chrono::nanoseconds value{0};
    if (auto status = read_json(item, value); !status) return status;
    out.push_back(value);
  }
  return {};
}

Status read_json_time(const JsonElement& from, WallNanos& out) {
  if (from.is_null()) return {};
  std::string text;
  if (auto status = read_json(from, text); !status) return status;
  auto time = parse_rfc3339(text);
  if (!time) return bad_json(fmt::format("parsing time \"{}\" as RFC 3339 failed", text));
  out = *time;
  return {};
}

Status read_json_object(const JsonElement& from, std::span<const JsonField> fields,
                        UnknownKeys unknown) {
  if (from.is_null()) return {};
  simdjson::dom::object object;
  if (from.get_object().get(object) != simdjson::SUCCESS) return type_error(from, "object");
  for (auto [key, value] : object) {
    auto field = std::find_if(fields.begin(), fields.end(),
                              [&key](const JsonField& f) { return is_same_key(f.name, key); });
    if (field == fields.end()) {
      if (unknown == UnknownKeys::kIgnore) continue;
      return bad_json(fmt::format("json: unknown field \"{}\"", key));
    }
    if (auto status = field->read(value); !status) return status;
  }
  return {};
}

Status parse_json_object(std::string_view body, std::span<const JsonField> fields,
                         UnknownKeys unknown) {
  // Local on purpose: a kept parser would keep the buffers of the largest request ever seen.
  simdjson::dom::parser parser;
  JsonElement root;
  if (auto error = parser.parse(body.data(), body.size()).get(root); error != simdjson::SUCCESS) {
    const bool cut = error == simdjson::EMPTY || error == simdjson::UNCLOSED_STRING ||
                     error == simdjson::TAPE_ERROR;
    return bad_json(cut ? "unexpected EOF" : simdjson::error_message(error));
  }
  return read_json_object(root, fields, unknown);
}

bool is_empty_request(std::string_view body) {
  std::string_view rest = body;
  auto skip_blanks = [&rest] {
    while (!rest.empty() && (rest[0] == ' ' || rest[0] == '\t' || rest[0] == '\r' || rest[0] == '\n'))
      rest.remove_prefix(1);
  };
  if (rest.empty()) return true;
  skip_blanks();
  if (rest.empty() || rest[0] != '{') return false;
  rest.remove_prefix(1);
  skip_blanks();
  if (rest.empty() || rest[0] != '}') return false;
  rest.remove_prefix(1);
  skip_blanks();
  return rest.empty();
}

}  // namespace sluice
