// Defaults, checks and update rules of consumer configurations.
#include "consumer/consumer_config.h"

#include <algorithm>
#include <charconv>

#include "base/limits.h"
#include "subject/subject.h"

namespace sluice {
namespace {

using std::chrono::nanoseconds;
using namespace std::chrono_literals;

constexpr nanoseconds kDefaultAckWait = 30s;
constexpr nanoseconds kDefaultInactiveThreshold = 5s;
constexpr int64_t kDefaultMaxAckPending = 1000;
constexpr int64_t kDefaultMaxWaiting = 512;
constexpr nanoseconds kMinIdleHeartbeat = 100ms;
constexpr nanoseconds kFlowControlHeartbeat = 1s;  ///< of ack policy flow_control
constexpr nanoseconds kDefaultPriorityTimeout = 2min;
constexpr size_t kMaxPriorityGroup_bytes = 16;

std::unexpected<Error> no(uint16_t code, std::string detail = {}) {
  return fail_api(Errc::kInvalidArgument, code, std::move(detail));
}

/// Zero for what the reference clamps; pedantic refuses instead.
template <class T>
Status clamp_negative(T& value, T to, bool pedantic, const char* reason) {
  if (value >= T{0} || value == to) return {};
  if (pedantic) return no(10157, reason);
  value = to;
  return {};
}

Status clamp_all(ConsumerConfig& c, bool pedantic) {
  struct Number {
    int64_t& value;
    int64_t to;
    const char* reason;
  };
  Number numbers[] = {
      {c.max_deliver, -1, "max_deliver must be set to -1"},
      {c.max_waiting, 0, "max_waiting must not be negative"},
      {c.max_ack_pending, -1, "max_ack_pending must be set to -1"},
      {c.max_batch, 0, "max_batch must not be negative"},
      {c.max_bytes, 0, "max_bytes must not be negative"},
  };
  for (Number& n : numbers) {
    if (Status s = clamp_negative(n.value, n.to, pedantic, n.reason); !s) return s;
  }
  if (Status s = clamp_negative(c.max_expires, nanoseconds{0}, pedantic, "max_expires must not be negative"); !s)
    return s;
  if (Status s = clamp_negative(c.idle_heartbeat, nanoseconds{0}, pedantic, "idle_heartbeat must not be negative"); !s)
    return s;
  if (Status s = clamp_negative(c.inactive_threshold, nanoseconds{0}, pedantic, "inactive_threshold must not be negative");
      !s)
    return s;
  return clamp_negative(c.priority_timeout, nanoseconds{0}, pedantic, "priority_timeout must not be negative");
}

Status check_replicas(const ConsumerConfig& c, const StreamConfig& stream) {
  if (c.num_replicas > stream.num_replicas) return no(10126);
  if (c.num_replicas < 0) return no(10133);
  const bool shares_retention = stream.retention != Retention::kLimits;
  if (shares_retention && c.num_replicas != 0 && c.num_replicas != stream.num_replicas) return no(10134);
  return {};
}

Status check_redelivery(const ConsumerConfig& c) {
  for (const nanoseconds wait : c.backoff) {
    if (wait < 0ns) return no(10184);
  }
  if (c.ack_wait < 0ns) return no(10183);
  if (c.max_deliver != -1 && c.max_deliver < static_cast<int64_t>(c.backoff.size())) return no(10116);
  return {};
}

Status check_flow_control_acks(const ConsumerConfig& c) {
  if (!c.is_push()) return no(10218);
  if (!c.flow_control) return no(10219);
  if (c.idle_heartbeat != kFlowControlHeartbeat) return no(10052, "flow control ack policy heartbeat needs to be 1s");
  if (c.max_ack_pending <= 0) return no(10220);
  if (c.ack_wait != 0ns || !c.backoff.empty()) return no(10221);
  if (c.max_deliver > 0) return no(10222);
  return {};
}

Status check_priority(const ConsumerConfig& c) {
  const auto& groups = c.priority_groups;
  if (c.priority_policy == PriorityPolicy::kNone) {
    if (!groups.empty()) return no(10196);
    if (c.priority_timeout != 0ns) return no(10197);
    return {};
  }
  if (c.is_push()) return no(10178);
  if (groups.empty()) return no(10159);
  for (const std::string& group : groups) {
    if (group.empty()) return no(10161);
    if (!is_valid_priority_group(group)) return no(10162);
  }
  return {};
}

Status check_push(const ConsumerConfig& c, const StreamConfig& stream) {
  if (has_wildcards(c.deliver_subject)) return no(10079);
  if (!is_valid_subject(c.deliver_subject)) return no(10112);
  for (const std::string& subject : stream.subjects) {
    if (is_subset(c.deliver_subject, subject)) return no(10081);
  }
  if (c.max_waiting != 0) return no(10080);
  if (c.max_ack_pending > 0 && c.ack_policy == AckPolicy::kNone) return no(10082);
  if (c.idle_heartbeat > 0ns && c.idle_heartbeat < kMinIdleHeartbeat) return no(10083);
  return {};
}

Status check_pull(const ConsumerConfig& c, const StreamConfig& stream, const ConsumerLimitsInForce& limits) {
  if (c.ack_policy == AckPolicy::kNone && stream.retention == Retention::kWorkQueue) return no(10084);
  if (c.rate_limit_bps > 0) return no(10086);
  if (c.max_waiting < 0) return no(10087);
  if (c.idle_heartbeat > 0ns) return no(10088);
  if (c.flow_control) return no(10089);
  if (c.max_batch < 0) return no(10114);
  if (c.max_expires != 0ns && c.max_expires < 1ms) return no(10115);
  if (limits.max_request_batch > 0 && c.max_batch > limits.max_request_batch)
    return no(10125, std::to_string(limits.max_request_batch));
  return {};
}

Status check_limits(const ConsumerConfig& c, const StreamConfig& stream, const ConsumerLimitsInForce& limits) {
  if (limits.max_ack_pending > 0 && c.max_ack_pending > limits.max_ack_pending)
    return no(10121, std::to_string(limits.max_ack_pending));
  const ConsumerLimits& own = stream.consumer_limits;
  if (own.max_ack_pending > 0 && c.max_ack_pending > own.max_ack_pending)
    return no(10121, std::to_string(own.max_ack_pending));
  if (own.inactive_threshold > 0ns && c.inactive_threshold > own.inactive_threshold)
    return no(10153, format_go_duration(own.inactive_threshold));
  return {};
}

Status check_filters(const ConsumerConfig& c) {
  if (!c.filter_subject.empty() && !c.filter_subjects.empty()) return no(10136);
  if (!c.filter_subject.empty() && !is_valid_subject(c.filter_subject)) return no(10052, "invalid subject");
  const auto& several = c.filter_subjects;
  for (const std::string& filter : several) {
    if (filter.empty()) return no(10139);
    if (!is_valid_subject(filter)) return no(10052, "invalid subject");
  }
  for (size_t i = 0; i < several.size(); ++i) {
    for (size_t k = i + 1; k < several.size(); ++k) {
      if (subjects_collide(several[i], several[k])) return no(10138);
    }
  }
  return {};
}

struct PolicyWords {
  const char* name;
  bool seq_required;
  bool time_required;
};

PolicyWords words_of(DeliverPolicy policy) {
  switch (policy) {
    case DeliverPolicy::kAll: return {"all", false, false};
    case DeliverPolicy::kLast: return {"last", false, false};
    case DeliverPolicy::kNew: return {"new", false, false};
    case DeliverPolicy::kByStartSequence: return {"by start sequence", true, false};
    case DeliverPolicy::kByStartTime: return {"by start time", false, true};
    case DeliverPolicy::kLastPerSubject: return {"last per subject", false, false};
  }
  return {"all", false, false};
}

Status check_start(const ConsumerConfig& c) {
  const PolicyWords policy = words_of(c.deliver_policy);
  const std::string head = std::string("consumer delivery policy is deliver ") + policy.name + ", but optional ";
  if (policy.seq_required && c.opt_start_seq == 0) return no(10094, head + "start sequence is not set");
  if (policy.time_required && !c.opt_start_time) return no(10094, head + "start time is not set");
  if (!policy.seq_required && c.opt_start_seq > 0) {
    // One of the reference's texts says "start" twice.
    const char* what = policy.time_required ? "start start sequence" : "start sequence";
    return no(10094, head + what + " is also set");
  }
  if (!policy.time_required && c.opt_start_time) return no(10094, head + "start time is also set");
  if (c.deliver_policy == DeliverPolicy::kLastPerSubject && c.filters().empty())
    return no(10094, head + "filter subject is not set");
  return {};
}

Status check_sampling(const std::string& freq) {
  if (freq.empty()) return {};
  std::string_view digits = freq;
  if (digits.ends_with('%')) digits.remove_suffix(1);
  int64_t value = 0;
  const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (failed != std::errc{} || end != digits.data() + digits.size())
    return no(10095, "strconv.Atoi: parsing \"" + std::string(digits) + "\": invalid syntax");
  if (value < 0) return no(10095, "<nil>");  // the reference's words
  return {};
}

Status check_names(const ConsumerConfig& c) {
  for (const std::string* name : {&c.name, &c.durable_name}) {
    if (name->size() > kMaxNameLength_bytes) return no(10102, std::to_string(kMaxNameLength_bytes));
    if (name->empty() || is_valid_asset_name(*name)) continue;
    return no(10052, c.is_durable() ? "invalid consumer name" : "consumer name can not contain '.', '*', '>', '\\', '/'");
  }
  return {};
}

size_t metadata_bytes(const ConsumerConfig& c) {
  size_t total = 0;
  for (const auto& [key, value] : c.metadata) total += key.size() + value.size();
  return total;
}

}  // namespace

std::vector<std::string> ConsumerConfig::filters() const {
  if (!filter_subject.empty()) return {filter_subject};
  return filter_subjects;
}

bool is_valid_priority_group(std::string_view name) {
  return !name.empty() && name.size() <= kMaxPriorityGroup_bytes && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("/_=-").find(c) != std::string_view::npos;
  });
}

Status normalise_consumer_config(ConsumerConfig& c, const StreamConfig& stream,
                                 const ConsumerLimitsInForce& limits, bool pedantic) {
  if (Status s = clamp_all(c, pedantic); !s) return s;
  if (!c.is_push() && c.max_waiting == 0) c.max_waiting = kDefaultMaxWaiting;
  const bool flow_acks = c.ack_policy == AckPolicy::kFlowControl;
  if (c.ack_wait == 0ns && c.ack_policy != AckPolicy::kNone && !flow_acks) c.ack_wait = kDefaultAckWait;
  if (flow_acks && c.is_push() && !pedantic) {
    c.flow_control = true;
    c.idle_heartbeat = kFlowControlHeartbeat;
  }
  if (c.priority_policy == PriorityPolicy::kPinnedClient && c.priority_timeout == 0ns)
    c.priority_timeout = kDefaultPriorityTimeout;
  if (c.max_deliver == 0) c.max_deliver = -1;
  if (!c.backoff.empty() && c.backoff.front() >= 0ns) {
    if (pedantic && c.ack_wait != c.backoff.front()) return no(10157, "first backoff value has to equal batch AckWait");
    if (!flow_acks) c.ack_wait = c.backoff.front();
  }
  const ConsumerLimits& own = stream.consumer_limits;
  if (c.max_ack_pending == 0 && own.max_ack_pending != 0) {
    if (pedantic) return no(10157, "max_ack_pending must be set if it's configured in stream limits");
    c.max_ack_pending = own.max_ack_pending;
  }
  if (c.inactive_threshold == 0ns && own.inactive_threshold != 0ns) {
    if (pedantic) return no(10157, "inactive_threshold must be set if it's configured in stream limits");
    c.inactive_threshold = own.inactive_threshold;
  }
  if (c.max_ack_pending == 0 && c.ack_policy != AckPolicy::kNone) {
    c.max_ack_pending = kDefaultMaxAckPending;
    if (limits.max_ack_pending > 0) c.max_ack_pending = std::min(c.max_ack_pending, limits.max_ack_pending);
  }
  if (!c.is_push() && c.max_batch == 0 && limits.max_request_batch > 0) {
    if (pedantic) return no(10157, "max_request_batch must be set if it's JetStream limits are set");
    c.max_batch = limits.max_request_batch;
  }
  if (!c.is_durable() && c.inactive_threshold <= 0ns) c.inactive_threshold = kDefaultInactiveThreshold;
  return {};
}

Status check_consumer_config(const ConsumerConfig& c, const StreamConfig& stream,
                             const ConsumerLimitsInForce& limits) {
  if (Status s = check_names(c); !s) return s;
  if (Status s = check_replicas(c, stream); !s) return s;
  if (Status s = check_redelivery(c); !s) return s;
  if (c.ack_policy == AckPolicy::kFlowControl) {
    if (Status s = check_flow_control_acks(c); !s) return s;
  }
  if (c.description.size() > kMaxDescription_bytes) return no(10107, std::to_string(kMaxDescription_bytes));
  if (Status s = c.is_push() ? check_push(c, stream) : check_pull(c, stream, limits); !s) return s;
  if (Status s = check_limits(c, stream, limits); !s) return s;
  if (c.direct && !c.is_push()) return no(10090);
  if (c.direct && c.is_durable()) return no(10091);
  if (Status s = check_filters(c); !s) return s;
  if (Status s = check_start(c); !s) return s;
  if (Status s = check_sampling(c.sample_freq); !s) return s;
  if (c.flow_control && c.idle_heartbeat == 0ns) return no(10108);
  if (c.is_durable() && !c.name.empty() && c.name != c.durable_name) return no(10132);
  if (metadata_bytes(c) > kMaxMetadata_bytes) return no(10135, "128KB");
  return check_priority(c);
}

int required_api_level(const ConsumerConfig& c) {
  if (c.ack_policy == AckPolicy::kFlowControl) return 4;
  const bool grouped = c.priority_policy != PriorityPolicy::kNone || !c.priority_groups.empty() || c.priority_timeout > 0ns;
  if (c.pause_until.value_or(kZeroTime) != kZeroTime || grouped) return 1;
  return 0;
}

Status check_consumer_update(const ConsumerConfig& before, const ConsumerConfig& after) {
  const auto cannot = [](const char* text) { return fail_api(Errc::kInvalidArgument, 10012, text); };
  if (before.deliver_policy != after.deliver_policy) return cannot("deliver policy can not be updated");
  if (before.mem_storage != after.mem_storage) return cannot("storage type can not be updated");
  if (before.direct != after.direct) return cannot("direct can not be updated");
  if (before.sourcing != after.sourcing) return cannot("sourcing can not be updated");
  if (before.opt_start_seq != after.opt_start_seq) return cannot("start sequence can not be updated");
  if (before.opt_start_time != after.opt_start_time) return cannot("start time can not be updated");
  if (before.ack_policy != after.ack_policy) return cannot("ack policy can not be updated");
  if (before.replay_policy != after.replay_policy) return cannot("replay policy can not be updated");
  if (before.idle_heartbeat != after.idle_heartbeat) return cannot("heart beats can not be updated");
  if (before.flow_control != after.flow_control) return cannot("flow control can not be updated");
  if (!before.is_push() && after.is_push()) return cannot("can not update pull consumer to push based");
  if (before.is_push() && !after.is_push()) return cannot("can not update push consumer to pull based");
  if (before.max_waiting != after.max_waiting) return cannot("max waiting can not be updated");
  return {};
}

}  // namespace sluice
