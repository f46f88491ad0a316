#include "adapters/cloud_events/nats_binding.h"

#include "adapters/cloud_events/http_binding.h"
#include "base/headers.h"

namespace sluice {
namespace {

constexpr std::string_view kPrefix = "ce-";

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

}  // namespace

std::string write_nats_headers(const CloudEvent& event) {
  std::string block;
  for (const auto& [name, value] : event.attributes)
    append_header(block, std::string(kPrefix) + name, encode_header_value(value));
  return block;
}

bool is_nats_event(std::string_view headers) {
  int required = 0;
  each_header(headers, [&](std::string_view name, std::string_view) {
    if (name.size() < 5) return;
    const std::string key = lower(name);
    if (key == "ce-id" || key == "ce-source" || key == "ce-type" || key == "ce-specversion") ++required;
  });
  return required >= 4;
}

EventResult<CloudEvent> read_nats_event(std::string_view headers, std::string_view payload) {
  HeaderList list;
  std::string media;
  std::string fallback;
  each_header(headers, [&](std::string_view name, std::string_view value) {
    std::string key = lower(name);
    if (key == "ce-datacontenttype")
      media = value;
    else if (key == "content-type")
      fallback = value;
    else if (key.starts_with(kPrefix))
      list.emplace_back(std::move(key), std::string(value));
  });
  if (media.empty()) media = fallback;
  if (!media.empty()) {
    auto decoded = decode_header_value(media);
    if (!decoded) return std::unexpected(decoded.error());
    list.emplace_back("content-type", *std::move(decoded));
  }
  return read_binary_event(list, std::string(payload));
}

}  // namespace sluice
