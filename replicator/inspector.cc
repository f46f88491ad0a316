#include "replicator/inspector.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <optional>

#include "base/headers.h"
#include "base/parse_number.h"

namespace sluice {
namespace {

using simdjson::dom::element;

/// gjson's signs for more than a plain path.
constexpr std::string_view kPathOperators = "*?#@|{}[]()!";

Result<std::vector<std::string>> parse_path(std::string_view text) {
  std::vector<std::string> path;
  if (text.empty()) return path;
  path.emplace_back();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      path.back() += text[++i];
    } else if (text[i] == '.') {
      path.emplace_back();
    } else if (kPathOperators.find(text[i]) != std::string_view::npos) {
      return fail(Errc::kUnsupported,
                  fmt::format("'{}': only keys and array places are understood, such as a.b.0; '{}' is not", text, text[i]));
    } else {
      path.back() += text[i];
    }
  }
  for (const std::string& step : path)
    if (step.empty()) return fail(Errc::kInvalidArgument, fmt::format("'{}' has an empty key", text));
  return path;
}

std::optional<element> walk(element root, const std::vector<std::string>& path) {
  for (const std::string& step : path) {
    element next;
    if (root.is_array()) {
      const auto index = parse_decimal<uint64_t>(step);
      if (!index || root.get_array().value_unsafe().at(*index).get(next) != simdjson::SUCCESS) return std::nullopt;
    } else if (root[step].get(next) != simdjson::SUCCESS) {
      return std::nullopt;
    }
    root = next;
  }
  return root;
}

/// As text: strings without quotes, numbers without exponent where they are whole.
std::string text_of(element value) {
  switch (value.type()) {
    case simdjson::dom::element_type::STRING: return std::string(value.get_string().value_unsafe());
    case simdjson::dom::element_type::INT64: return fmt::format("{}", value.get_int64().value_unsafe());
    case simdjson::dom::element_type::UINT64: return fmt::format("{}", value.get_uint64().value_unsafe());
    case simdjson::dom::element_type::DOUBLE: return fmt::format("{}", value.get_double().value_unsafe());
    case simdjson::dom::element_type::BOOL: return value.get_bool().value_unsafe() ? "true" : "false";
    case simdjson::dom::element_type::NULL_VALUE: return "";
    case simdjson::dom::element_type::ARRAY:
    case simdjson::dom::element_type::OBJECT: return simdjson::minify(value);
  }
  return "";
}

std::string token_of(std::string_view subject, int32_t number) {
  if (number < 0) return std::string(subject);
  for (int32_t i = 1; i < number; ++i) {
    const size_t dot = subject.find('.');
    if (dot == std::string_view::npos) return "";
    subject.remove_prefix(dot + 1);
  }
  return std::string(subject.substr(0, subject.find('.')));
}

}  // namespace

Result<Inspector> Inspector::make(const InspectOptions& options) {
  Inspector inspector;
  auto field = parse_path(options.field);
  if (!field) return std::unexpected(field.error());
  auto force = parse_path(options.force_field);
  if (!force) return std::unexpected(force.error());
  inspector.field_ = *std::move(field);
  inspector.force_ = *std::move(force);
  inspector.header_ = options.header;
  inspector.token_ = options.subject_token;
  return inspector;
}

Inspected Inspector::look(std::string_view subject, std::string_view headers, std::string_view payload) const {
  if (!header_.empty()) return {std::string(find_header(headers, header_).value_or("")), false};
  if (token_ != 0) return {token_of(subject, token_), false};
  static thread_local simdjson::dom::parser parser;
  element root;
  if (payload.empty() || parser.parse(payload.data(), payload.size()).get(root) != simdjson::SUCCESS) return {};
  Inspected out;
  if (const auto found = walk(root, field_)) out.value = text_of(*found);
  out.forced = !force_.empty() && walk(root, force_).has_value();
  return out;
}

}  // namespace sluice
