// The ConsumerInfo object of the API, in one place.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "consumer/consumer.h"

namespace sluice {
namespace {

std::string json_text(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string position_json(const ConsumerPosition& p) {
  std::string out =
      fmt::format(R"({{"consumer_seq":{},"stream_seq":{})", p.consumer.value(), p.stream.value());
  if (p.last_active != kZeroTime) out += fmt::format(R"(,"last_active":"{}")", format_rfc3339(p.last_active));
  return out + "}";
}

bool is_grouped(const Consumer& consumer) { return consumer.config().priority_policy != PriorityPolicy::kNone; }

/// The first group stands for all: a consumer has one pin.
std::string group_json(const Consumer& consumer) {
  const PriorityGroup& group = consumer.group();
  std::string out = fmt::format(R"(,"priority_groups":[{{"group":{})", json_text(consumer.config().priority_groups.front()));
  if (group.is_pinned()) out += fmt::format(R"(,"pinned_client_id":"{}")", group.id());
  return out + fmt::format(R"(,"pinned_ts":"{}"}}])", format_rfc3339(group.pinned_at()));
}

}  // namespace

std::string consumer_info_json(Consumer& consumer, const std::map<std::string, std::string>& metadata) {
  ConsumerConfig shown = consumer.config();
  shown.metadata = metadata;
  const ConsumerState& state = consumer.state();
  const WallNanos now = consumer.env().clock.wall();
  std::string out = fmt::format(
      R"({{"stream_name":{},"name":{},"created":"{}","config":{},"delivered":{},"ack_floor":{})",
      json_text(consumer.stream().config().name), json_text(consumer.name()), format_rfc3339(consumer.created()),
      consumer_config_json(shown), position_json(state.delivered()), position_json(state.ack_floor()));
  out += fmt::format(R"(,"num_ack_pending":{},"num_redelivered":{},"num_waiting":{},"num_pending":{})",
                     state.pending().size(), state.num_redelivered(), consumer.num_waiting(),
                     consumer.num_pending());
  if (consumer.push_bound()) out += R"(,"push_bound":true)";
  if (consumer.paused())
    out += fmt::format(R"(,"paused":true,"pause_remaining":{})", *consumer.config().pause_until - now);
  out += fmt::format(R"(,"ts":"{}")", format_rfc3339(now));
  if (is_grouped(consumer)) out += group_json(consumer);
  return out + "}";
}

}  // namespace sluice
