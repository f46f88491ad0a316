#include "stream/publish_headers.h"

#include "base/headers.h"

namespace sluice {
namespace {

constexpr std::string_view kPlainFirstLine = "NATS/1.0\r\n";

/// Trailing blanks belong to the value (two ids that differ in them are two ids).
std::string_view with_trailing_blanks(std::string_view value, std::string_view block) {
  const char* end = value.data() + value.size();
  const char* block_end = block.data() + block.size();
  while (end < block_end && (*end == ' ' || *end == '\t')) ++end;
  return {value.data(), static_cast<size_t>(end - value.data())};
}

void first_wins(std::string_view& out, std::string_view value) {
  if (out.empty()) out = value;
}

bool equals_ignoring_case(std::string_view a, std::string_view lower) {
  if (a.size() != lower.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    const char c = a[i] >= 'A' && a[i] <= 'Z' ? static_cast<char>(a[i] - 'A' + 'a') : a[i];
    if (c != lower[i]) return false;
  }
  return true;
}

void take_schedule_field(PublishHeaders& out, std::string_view name, std::string_view value) {
  if (name == "Schedule") return first_wins(out.schedule, value);
  if (name == "Scheduler") return first_wins(out.scheduler, value);
  if (name == "Schedule-Next") return first_wins(out.schedule_next, value);
  if (name == "Schedule-Target") return first_wins(out.schedule_target, value);
  if (name == "Schedule-Source") return first_wins(out.schedule_source, value);
  if (name == "Schedule-TTL") return first_wins(out.schedule_ttl, value);
  if (name == "Schedule-Rollup") return first_wins(out.schedule_rollup, value);
  if (name == "Schedule-Time-Zone") return first_wins(out.schedule_time_zone, value);
}

void take_field(PublishHeaders& out, std::string_view name, std::string_view value) {
  if (name == "Msg-Id") return first_wins(out.msg_id, value);
  if (name == "Rollup") return first_wins(out.rollup, value);
  if (name == "TTL") return first_wins(out.ttl, value);
  if (name == "Request-Info") {
    out.needs_rewrite = true;
    return;
  }
  if (name.starts_with("Expected-")) {
    if (name == "Expected-Stream") return first_wins(out.expected_stream, value);
    if (name == "Expected-Last-Sequence") return first_wins(out.expected_last_seq, value);
    if (name == "Expected-Last-Subject-Sequence")
      return first_wins(out.expected_last_subject_seq, value);
    if (name == "Expected-Last-Subject-Sequence-Subject")
      return first_wins(out.expected_last_subject_seq_subject, value);
    if (name == "Expected-Last-Msg-Id") return first_wins(out.expected_last_msg_id, value);
    return;
  }
  if (name.starts_with("Batch-")) {
    if (name == "Batch-Id") return first_wins(out.batch_id, value);
    if (name == "Batch-Sequence") return first_wins(out.batch_seq, value);
    if (name == "Batch-Commit") {
      if (out.batch_commit.data() == nullptr) out.batch_commit = value;
      return;
    }
    return;
  }
  if (name.starts_with("Schedule")) return take_schedule_field(out, name, value);
  if (name == "Incr") return first_wins(out.counter, value);
  if (name == "Counter-Sources") return first_wins(out.counter_sources, value);
  if (name == "Stream-Source") return first_wins(out.stream_source, value);
  if (name == "Required-Api-Level") return first_wins(out.required_api_level, value);
}

}  // namespace

PublishHeaders parse_publish_headers(std::string_view block) {
  PublishHeaders out;
  if (!block.starts_with(kPlainFirstLine)) out.needs_rewrite = true;
  constexpr std::string_view kPrefix = "Nats-";
  HeaderFields fields(block);
  for (HeaderField field; fields.next(field);) {
    if (!field.name.starts_with(kPrefix)) continue;
    out.asks = true;
    if (field.value.empty()) {
      // Empty is as good as absent, but for a commit, which must say what it is.
      if (field.name == "Nats-Batch-Commit" && out.batch_commit.data() == nullptr) out.batch_commit = "";
      continue;
    }
    take_field(out, field.name.substr(kPrefix.size()), with_trailing_blanks(field.value, block));
  }
  return out;
}

Rollup parse_rollup(std::string_view value) {
  if (value.empty()) return Rollup::kNone;
  if (equals_ignoring_case(value, "sub")) return Rollup::kSubject;
  if (equals_ignoring_case(value, "all")) return Rollup::kAll;
  return Rollup::kInvalid;
}

}  // namespace sluice
