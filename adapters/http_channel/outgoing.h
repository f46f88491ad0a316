// A message of a stream as the event that leaves us: its attributes, its filter, its request.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "adapters/cloud_events/event.h"
#include "adapters/http_channel/options.h"
#include "base/ids.h"
#include "base/time_format.h"
#include "http_client/http_client.h"

namespace sluice {

/// What is read of a stored message. The views are for the call only.
struct OutgoingMessage {
  std::string_view stream;
  StreamSeq seq;
  WallNanos time = 0;
  std::string_view subject;
  std::string_view headers;
  std::string_view payload;
};

/// The event in a message; one that is no CloudEvent becomes one: id "<stream>-<sequence>", source
/// "/streams/<stream>", type "io.nats.message", its subject and time. Faults as read_nats_event(), for
/// messages that say they are events and are none.
EventResult<CloudEvent> outgoing_event(const OutgoingMessage& message);

/// "name=pattern" each; '*' stands for any text. All must fit.
class AttributeFilter {
 public:
  explicit AttributeFilter(const std::vector<std::string>& terms);
  bool fits(const CloudEvent& event) const;
  static bool is_term(std::string_view text);

 private:
  std::vector<std::pair<std::string, std::string>> terms_;
};

/// "eventchannel.<name>.<type>".
std::string channel_subject(std::string_view channel, const CloudEvent& event);

/// The request that delivers `event`, signed and authenticated as the options say.
HttpPost delivery_request(const HttpChannelOptions& options, const CloudEvent& event);

/// Seconds from now that a Retry-After tells: a number, or a date of HTTP (RFC 9110, 10.2.3). nullopt when
/// it is neither, 0 for what has passed, a day at most.
std::optional<std::chrono::seconds> retry_after(std::string_view value, WallNanos now);

}  // namespace sluice
