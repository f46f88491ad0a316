#include "base/headers.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace sluice {
namespace {

constexpr std::string_view kLineEnd = "\r\n";
constexpr std::string_view kBlanks = " \t";

std::string_view skip_blanks(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of(kBlanks), text.size()));
}

std::string_view trim(std::string_view text) {
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

/// Cuts the first line (without its end) off `rest`.
std::string_view take_line(std::string_view& rest) {
  const size_t end = rest.find(kLineEnd);
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + kLineEnd.size());
  return line;
}

std::optional<HeaderField> parse_field(std::string_view line) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  return HeaderField{.name = line.substr(0, colon), .value = skip_blanks(line.substr(colon + 1))};
}

/// Keeps the lines that `goes` does not name.
template <class F>
size_t remove_if(std::string& block, F&& goes) {
  std::string_view rest = block;
  std::string kept;
  kept.reserve(block.size());
  const std::string_view first = take_line(rest);
  kept.append(first).append(kLineEnd);
  size_t removed = 0;
  size_t fields = 0;
  while (!rest.empty()) {
    const std::string_view line = take_line(rest);
    if (line.empty()) break;
    const auto field = parse_field(line);
    if (field && goes(field->name)) {
      ++removed;
    } else {
      kept.append(line).append(kLineEnd);
      ++fields;
    }
  }
  if (removed == 0) return 0;
  if (fields == 0 && header_status(block).code == 0) {
    block.clear();
    return removed;
  }
  kept.append(kLineEnd);
  block = std::move(kept);
  return removed;
}

}  // namespace

HeaderFields::HeaderFields(std::string_view block) : rest_(block) {
  if (block.starts_with(kHeaderPreamble)) take_line(rest_);
}

bool HeaderFields::next(HeaderField& field) {
  while (!rest_.empty()) {
    const std::string_view line = take_line(rest_);
    if (line.empty()) break;
    if (const auto parsed = parse_field(line)) {
      field = *parsed;
      return true;
    }
  }
  rest_ = {};
  return false;
}

std::optional<std::string_view> find_header(std::string_view block, std::string_view name) {
  HeaderFields fields(block);
  for (HeaderField field; fields.next(field);) {
    if (field.name == name) return field.value;
  }
  return std::nullopt;
}

HeaderStatus header_status(std::string_view block) {
  if (!block.starts_with(kHeaderPreamble)) return {};
  std::string_view rest = block;
  const std::string_view line = trim(take_line(rest).substr(kHeaderPreamble.size()));
  if (line.size() < 3) return {};
  unsigned code = 0;
  for (const char c : line.substr(0, 3)) {
    if (c < '0' || c > '9') return {};
    code = code * 10 + static_cast<unsigned>(c - '0');
  }
  const std::string_view text = line.substr(3);
  if (code < 100 || (!text.empty() && kBlanks.find(text.front()) == std::string_view::npos))
    return {};
  return {.code = static_cast<uint16_t>(code), .text = trim(text)};
}

void append_header(std::string& block, std::string_view name, std::string_view value) {
  SLUICE_CHECK(is_valid_header_name(name) && is_valid_header_value(value));
  if (block.ends_with("\r\n\r\n")) {
    block.resize(block.size() - kLineEnd.size());
  } else if (block.empty()) {
    block.append(kHeaderPreamble).append(kLineEnd);
  } else if (!block.ends_with(kLineEnd)) {
    block.append(kLineEnd);
  }
  block.append(name).append(": ").append(value).append("\r\n\r\n");
}

size_t remove_header(std::string& block, std::string_view name) {
  return remove_if(block, [name](std::string_view field) { return field == name; });
}

size_t remove_headers_with_prefix(std::string& block, std::string_view name_prefix) {
  return remove_if(
      block, [name_prefix](std::string_view field) { return field.starts_with(name_prefix); });
}

void set_header(std::string& block, std::string_view name, std::string_view value) {
  remove_header(block, name);
  append_header(block, name, value);
}

std::string make_status_block(uint16_t code, std::string_view text) {
  SLUICE_CHECK(code >= 100 && code <= 999 && is_valid_header_value(text));
  std::string block(kHeaderPreamble);
  block.append(" ").append(std::to_string(code));
  if (!text.empty()) block.append(" ").append(text);
  block.append("\r\n\r\n");
  return block;
}

bool is_valid_header_name(std::string_view name) {
  return !name.empty() && name.find_first_of(":\r\n") == std::string_view::npos;
}

bool is_valid_header_value(std::string_view value) {
  return value.find_first_of("\r\n") == std::string_view::npos;
}

}  // namespace sluice
