// CloudEvents from outside: the first byte says in which form. An event that was taken is the same after it was
// written and read again.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "adapters/cloud_events/http_binding.h"
#include "adapters/cloud_events/json_format.h"
#include "adapters/cloud_events/nats_binding.h"

namespace {

void check_json(const sluice::CloudEvent& event) {
  const auto once = sluice::read_json_event(sluice::write_json_event(event));
  if (!once || sluice::event_msg_id(*once) != sluice::event_msg_id(event)) std::abort();
  // JSON data without a media type has one from then on; after that nothing changes any more.
  const std::string text = sluice::write_json_event(*once);
  const auto twice = sluice::read_json_event(text);
  if (!twice || sluice::write_json_event(*twice) != text) std::abort();
}

void check_nats(const sluice::CloudEvent& event) {
  const auto again = sluice::read_nats_event(sluice::write_nats_headers(event), event.data);
  if (!again || again->data != event.data || sluice::event_msg_id(*again) != sluice::event_msg_id(event)) std::abort();
}

void check(const sluice::CloudEvent& event) {
  check_json(event);
  check_nats(event);
}

/// "name: value" lines, an empty one, the body.
void binary(std::string_view text) {
  sluice::HeaderList headers;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty()) break;
    const size_t colon = line.find(": ");
    if (colon == std::string_view::npos) continue;
    headers.emplace_back(line.substr(0, colon), line.substr(colon + 2));
  }
  if (const auto event = sluice::read_binary_event(headers, std::string(text))) check(*event);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      if (const auto event = sluice::read_json_event(text)) check(*event);
      break;
    case 1:
      if (const auto batch = sluice::read_json_batch(text, 16))
        for (const sluice::CloudEvent& event : *batch) check(event);
      break;
    case 2: binary(text); break;
    default: {
      const size_t end = text.find("\r\n\r\n");
      const std::string_view headers = end == std::string_view::npos ? text : text.substr(0, end + 4);
      if (const auto event = sluice::read_nats_event(headers, text.substr(headers.size()))) check(*event);
    }
  }
  return 0;
}
