#include "adapters/cloud_events/http_binding.h"

#include <simdjson.h>

#include <utility>

namespace sluice {
namespace {

constexpr std::string_view kPrefix = "ce-";
constexpr std::string_view kEventType = "application/cloudevents";
constexpr std::string_view kBatchType = "application/cloudevents-batch";

/// Takes quoted strings apart (RFC 9110, 5.6.4). @return false when one has no end.
bool unquote(std::string_view value, std::string& out) {
  bool quoted = false;
  for (size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '"') {
      quoted = !quoted;
    } else if (quoted && value[i] == '\\') {
      if (++i == value.size()) return false;
      out += value[i];
    } else {
      out += value[i];
    }
  }
  return !quoted;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

ContentMode content_mode(std::string_view content_type) {
  std::string plain(content_type.substr(0, content_type.find(';')));
  while (!plain.empty() && plain.back() == ' ') plain.pop_back();
  for (char& c : plain) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  if (plain.starts_with(kBatchType))
    return plain.substr(kBatchType.size()) == "+json" ? ContentMode::kBatch : ContentMode::kUnsupported;
  if (plain.starts_with(kEventType))
    return plain.substr(kEventType.size()) == "+json" ? ContentMode::kStructured : ContentMode::kUnsupported;
  return ContentMode::kBinary;
}

std::string encode_header_value(std::string_view value) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  out.reserve(value.size());
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte > 0x20 && byte < 0x7f && c != '"' && c != '%') {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

EventResult<std::string> decode_header_value(std::string_view value) {
  std::string plain;
  if (!unquote(value, plain)) return not_an_event("bad_encoding", "a quoted text has no end");
  std::string out;
  out.reserve(plain.size());
  for (size_t i = 0; i < plain.size(); ++i) {
    if (plain[i] != '%') {
      out += plain[i];
      continue;
    }
    const int high = i + 2 < plain.size() ? hex_digit(plain[i + 1]) : -1;
    const int low = i + 2 < plain.size() ? hex_digit(plain[i + 2]) : -1;
    if (high < 0 || low < 0) return not_an_event("bad_encoding", "'%' without two hexadecimal digits behind it");
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  if (!simdjson::validate_utf8(out.data(), out.size())) return not_an_event("bad_utf8", "the decoded bytes are no UTF-8");
  return out;
}

EventResult<CloudEvent> read_binary_event(const HeaderList& headers, std::string data) {
  CloudEvent event;
  for (const auto& [name, raw] : headers) {
    const bool is_type = name == "content-type";
    if (!is_type && !name.starts_with(kPrefix)) continue;
    // The media type is a header of HTTP's own, without the encoding of attributes.
    auto value = is_type ? EventResult<std::string>(raw) : decode_header_value(raw);
    if (!value) return not_an_event(value.error().reason, name + ": " + value.error().detail);
    const std::string attribute = is_type ? "datacontenttype" : name.substr(kPrefix.size());
    if (!is_type && attribute == "datacontenttype")
      return not_an_event("bad_attribute", "the Content-Type stands for ce-datacontenttype");
    if (auto fine = check_attribute(attribute, *value); !fine) return std::unexpected(fine.error());
    if (!event.get(attribute).empty()) return not_an_event("bad_attribute", "'" + name + "' stands twice");
    event.attributes.emplace_back(attribute, *std::move(value));
  }
  if (auto fine = check_event(event); !fine) return std::unexpected(fine.error());
  event.data = std::move(data);
  return event;
}

}  // namespace sluice
