#include "adapters/http_channel/outgoing.h"

#include <time.h>

#include <algorithm>

#include "adapters/cloud_events/http_binding.h"
#include "adapters/cloud_events/json_format.h"
#include "adapters/cloud_events/nats_binding.h"
#include "base/base64.h"
#include "base/headers.h"
#include "base/parse_number.h"
#include "crypto/hmac.h"

namespace sluice {
namespace {

constexpr std::chrono::seconds kLongestRetryAfter{24 * 3600};

bool matches(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0, star = std::string_view::npos, kept = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      kept = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++kept;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace

EventResult<CloudEvent> outgoing_event(const OutgoingMessage& message) {
  if (is_nats_event(message.headers)) return read_nats_event(message.headers, message.payload);
  CloudEvent event;
  event.set("specversion", "1.0");
  event.set("id", std::string(message.stream) + "-" + std::to_string(message.seq.value()));
  event.set("source", "/streams/" + std::string(message.stream));
  event.set("type", "io.nats.message");
  event.set("subject", std::string(message.subject));
  event.set("time", format_rfc3339(message.time));
  const auto media = find_header(message.headers, "Content-Type");
  if (media && !media->empty()) event.set("datacontenttype", std::string(*media));
  for (const auto& [name, value] : event.attributes)
    if (auto fine = check_attribute(name, value); !fine) return std::unexpected(fine.error());
  if (auto fine = check_event(event); !fine) return std::unexpected(fine.error());
  event.data = message.payload;
  return event;
}

AttributeFilter::AttributeFilter(const std::vector<std::string>& terms) {
  for (const std::string& term : terms) {
    const size_t equals = term.find('=');
    terms_.emplace_back(term.substr(0, equals), term.substr(std::min(equals + 1, term.size())));
  }
}

bool AttributeFilter::is_term(std::string_view text) {
  const size_t equals = text.find('=');
  return equals != std::string_view::npos && check_attribute(text.substr(0, equals), "x").has_value();
}

bool AttributeFilter::fits(const CloudEvent& event) const {
  return std::all_of(terms_.begin(), terms_.end(),
                     [&](const auto& term) { return matches(term.second, event.get(term.first)); });
}

std::string channel_subject(std::string_view channel, const CloudEvent& event) {
  return "eventchannel." + std::string(channel) + "." + type_tokens(event.get("type"));
}

HttpPost delivery_request(const HttpChannelOptions& options, const CloudEvent& event) {
  HttpPost post{.url = options.endpoint, .headers = {}, .body = {}};
  if (options.mode == ChannelMode::kStructured) {
    post.headers.emplace_back("Content-Type", "application/cloudevents+json; charset=UTF-8");
    post.body = write_json_event(event);
  } else {
    // Without one of ours curl would claim that the body is a form.
    const std::string_view media = event.get("datacontenttype");
    post.headers.emplace_back("Content-Type", media.empty() ? "application/octet-stream" : std::string(media));
    for (const auto& [name, value] : event.attributes)
      if (name != "datacontenttype") post.headers.emplace_back("ce-" + name, encode_header_value(value));
    post.body = event.data;
  }
  const ChannelAuthentication& who = options.authentication;
  if (!who.token.empty())
    post.headers.emplace_back("Authorization", "Bearer " + who.token);
  else if (!who.user.empty())
    post.headers.emplace_back("Authorization", "Basic " + base64_encode(who.user + ":" + who.password));
  if (!who.signature_secret.empty())
    post.headers.emplace_back(who.signature_header,
                              who.signature_prefix + to_hex(hmac_sha256(who.signature_secret, post.body)));
  return post;
}

std::optional<std::chrono::seconds> retry_after(std::string_view value, WallNanos now) {
  std::chrono::seconds wait{};
  if (const auto seconds = parse_decimal<uint32_t>(value)) {
    wait = std::chrono::seconds(*seconds);
  } else {
    struct tm date = {};
    const std::string text(value);
    const char* end = ::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &date);
    if (end == nullptr || *end != '\0') return std::nullopt;
    wait = std::chrono::seconds(::timegm(&date) - now / 1'000'000'000);
  }
  return std::clamp(wait, std::chrono::seconds(0), kLongestRetryAfter);
}

}  // namespace sluice
