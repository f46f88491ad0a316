#include "adapters/cloud_events/event.h"

#include <simdjson.h>

#include <algorithm>

#include "base/base64.h"
#include "base/time_format.h"
#include "crypto/digest.h"

namespace sluice {
namespace {

constexpr size_t kMsgIdSource_bytes = 24;  ///< of the digest: 32 characters

/// The characters that CloudEvents 1.0 (type system, String) forbids: controls and non-characters.
/// `text` is UTF-8.
bool has_forbidden(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x20 || c == 0x7f) return true;
    const auto next = [&](size_t n) { return static_cast<unsigned char>(text[i + n]); };
    if (c == 0xc2 && next(1) < 0xa0) return true;                                 // U+0080–9F
    if (c == 0xef && next(1) == 0xb7 && next(2) >= 0x90 && next(2) <= 0xaf) return true;  // U+FDD0–EF
    if (c == 0xef && next(1) == 0xbf && next(2) >= 0xbe) return true;             // U+FFFE, FFFF
    if (c >= 0xf0 && (next(1) & 0x0f) == 0x0f && next(2) == 0xbf && next(3) >= 0xbe) return true;
  }
  return false;
}

bool has_blank(std::string_view text) { return text.find(' ') != std::string_view::npos; }

bool is_media_type(std::string_view text) {
  const std::string_view plain = text.substr(0, text.find(';'));
  const size_t slash = plain.find('/');
  return slash != 0 && slash != std::string_view::npos && slash + 1 < plain.size();
}

/// A scheme and a colon (RFC 3986, 3.1).
bool is_absolute_uri(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == 0 || colon == std::string_view::npos || colon + 1 == text.size()) return false;
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  return letter(text[0]) && std::all_of(text.begin(), text.begin() + static_cast<ptrdiff_t>(colon), [&](char c) {
           return letter(c) || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
         });
}

}  // namespace

std::string_view CloudEvent::get(std::string_view name) const {
  for (const auto& [key, value] : attributes)
    if (key == name) return value;
  return {};
}

void CloudEvent::set(std::string_view name, std::string value) {
  for (auto& [key, held] : attributes) {
    if (key != name) continue;
    held = std::move(value);
    return;
  }
  attributes.emplace_back(name, std::move(value));
}

EventResult<void> check_attribute(std::string_view name, std::string_view value) {
  const bool named = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
  });
  if (!named)
    return not_an_event("bad_attribute", "an attribute's name has lower-case letters and digits only");
  const std::string shown(name);
  if (name == "data") return not_an_event("bad_attribute", "no attribute may be called 'data'");
  if (value.empty()) return not_an_event("bad_attribute", "'" + shown + "' is empty");
  if (!simdjson::validate_utf8(value.data(), value.size()))
    return not_an_event("bad_utf8", "'" + shown + "' is no UTF-8");
  if (has_forbidden(value))
    return not_an_event("bad_attribute", "'" + shown + "' holds control characters");
  return {};
}

EventResult<void> check_event(const CloudEvent& event) {
  for (const char* name : {"specversion", "id", "source", "type"})
    if (event.get(name).empty())
      return not_an_event("missing_attribute", std::string("'") + name + "' is missing");
  if (event.get("specversion") != "1.0")
    return not_an_event("bad_version", "'specversion' is not 1.0");
  if (has_blank(event.get("source")))
    return not_an_event("bad_attribute", "'source' is no URI reference");
  const std::string_view time = event.get("time");
  if (!time.empty() && !parse_rfc3339(time))
    return not_an_event("bad_attribute", "'time' is no RFC 3339 timestamp");
  const std::string_view schema = event.get("dataschema");
  if (!schema.empty() && (has_blank(schema) || !is_absolute_uri(schema)))
    return not_an_event("bad_attribute", "'dataschema' is no absolute URI");
  const std::string_view media = event.get("datacontenttype");
  if (!media.empty() && !is_media_type(media))
    return not_an_event("bad_attribute", "'datacontenttype' is no media type");
  return {};
}

std::string event_msg_id(const CloudEvent& event) {
  const std::string_view source = event.get("source");
  std::string whole = std::to_string(source.size());
  whole.append(":").append(source).append(event.get("id"));
  const Sha256 digest = sha256(whole);
  return base64url_encode({reinterpret_cast<const char*>(digest.data()), kMsgIdSource_bytes});
}

std::string type_tokens(std::string_view type) {
  std::string out;
  out.reserve(type.size());
  for (const char c : type) {
    const bool ends = out.empty() || out.back() == '.';
    if (c == '.' && ends) out += '_';  // no token is empty
    const bool plain = static_cast<unsigned char>(c) > ' ' && c != '\x7f' && c != '*' && c != '>';
    out += plain ? c : '_';
  }
  if (out.empty() || out.back() == '.') out += '_';
  return out;
}

bool is_json_type(std::string_view content_type) {
  std::string plain(content_type.substr(0, content_type.find(';')));
  while (!plain.empty() && plain.back() == ' ') plain.pop_back();
  for (char& c : plain) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return plain == "application/json" || plain == "text/json" || plain.ends_with("+json");
}

}  // namespace sluice
