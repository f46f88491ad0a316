// LocalStream: messages whose publisher follows their way (ADR-41).
#include <fmt/format.h>

#include <utility>

#include "base/api_error.h"
#include "base/headers.h"
#include "base/parse_number.h"
#include "bus/message_trace.h"
#include "stream/local_stream.h"

namespace sluice {
namespace {

/// What is stored is not traced again when consumers or links get it.
std::string without_trace(std::string_view block) {
  std::string out(block);
  set_header(out, "Nats-Trace-Dest", "trace disabled");
  return out;
}

}  // namespace

void LocalStream::take_traced(const Message& message, MessageTrace& trace) {
  if (closed_) return;
  const std::string headers = without_trace(message.headers);
  Message given = message;
  given.headers = headers;
  if (!trace.only()) {
    trace_ = &trace;
    take(given, nullptr);
    // Nothing was told: it stands in a batch, or in none that is known.
    if (trace_ != nullptr) std::exchange(trace_, nullptr)->stored({parts_.config.name, message.subject});
    return;
  }
  std::string mapped;
  const Message stored = transformed(given, mapped);
  const PublishHeaders wishes = parse_publish_headers(headers);
  const WallNanos now = parts_.env.clock.wall();
  const Verdict verdict = ingest_.judge({.message = stored, .headers = wishes, .now = now});
  trace_ = &trace;
  trace_verdict(verdict, stored, wishes);
  // What would not be stored is answered as ever.
  if (verdict.kind == Verdict::Kind::kRefuse || verdict.kind == Verdict::Kind::kDuplicate)
    act(verdict, stored, wishes.msg_id, now, nullptr);
}

void LocalStream::trace_verdict(const Verdict& verdict, const Message& message,
                                const PublishHeaders& headers) {
  switch (verdict.kind) {
    case Verdict::Kind::kStore:
    case Verdict::Kind::kSkip:
      return std::exchange(trace_, nullptr)
          ->stored({.stream = parts_.config.name,
                    .subject = message.subject,
                    .no_interest = verdict.kind == Verdict::Kind::kSkip});
    case Verdict::Kind::kDuplicate:
      return std::exchange(trace_, nullptr)
          ->stored({.stream = parts_.config.name, .error = "msgid is duplicate"});
    case Verdict::Kind::kRefuse:
      return trace_refusal(verdict.why, message.subject, headers);
  }
}

/// @param subject  that it would be stored under; told when only room was missing
void LocalStream::trace_refusal(const Error& why, std::string_view subject,
                                const PublishHeaders& headers) {
  constexpr uint16_t kNoRoom = 10077;
  std::exchange(trace_, nullptr)
      ->stored({.stream = parts_.config.name,
                .subject = why.api_code == kNoRoom ? subject : std::string_view(),
                .error = trace_error(why, headers)});
}

/// The words in which the reference gives its own reasons, where they are not those of the answer.
std::string LocalStream::trace_error(const Error& why, const PublishHeaders& headers) const {
  const auto asked = [](std::string_view text) { return parse_decimal<uint64_t>(text).value_or(0); };
  switch (why.api_code) {
    case 10054:
      return "maximum payload exceeded";
    case 10060:
      return "expected stream does not match";
    case 10070:
      return fmt::format("last msgid mismatch: \"{}\" vs \"{}\"", headers.expected_last_msg_id,
                         why.detail);
    case 10071: {
      const uint64_t last = store_.state().last_seq.value();
      if (!headers.expected_last_seq.empty() && asked(headers.expected_last_seq) != last)
        return fmt::format("last sequence mismatch: {} vs {}", asked(headers.expected_last_seq), last);
      return fmt::format("last sequence by subject mismatch: {} vs {}",
                         asked(headers.expected_last_subject_seq), why.detail);
    }
    case 10077:
    case 10111:
      if (!why.detail.empty()) return why.detail;
      break;
    case 10166:
      return "message TTL disabled";
    default:
      break;
  }
  const uint16_t code = why.api_code != 0 ? why.api_code : uint16_t{10003};
  return fmt::format("{} ({})", api_error_text(code, why.detail).description, code);
}

}  // namespace sluice
