#include "stream/ingest.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/parse_number.h"

namespace sluice {
namespace {

Error refusal(uint16_t api_code, std::string detail = {}) {
  return Error{Errc::kRefused, api_code, std::move(detail)};
}

}  // namespace

uint64_t reported_record_size(StorageKind storage, size_t subject, size_t headers, size_t payload) {
  if (storage == StorageKind::kMemory) return subject + headers + payload + 16;
  return 22 + subject + (headers > 0 ? 4 + headers : 0) + payload + 8;
}

uint64_t Ingest::size_of(const Message& m) const {
  return reported_record_size(s_.config.storage, m.subject.size(), m.headers.size(),
                              m.payload.size());
}

/// The order is that of the clustered reference (duplicates before expectations), so that a client's
/// retry with both a message id and an expected sequence is answered as the duplicate it is.
Verdict Ingest::judge(const Offered& offered) {
  const PublishHeaders& h = offered.headers;
  const Message& m = offered.message;
  auto refuse = [](Error why) { return Verdict{Verdict::Kind::kRefuse, Rollup::kNone, {}, std::move(why)}; };

  if (h.has_batch) return refuse(refusal(10174));
  if (s_.config.sealed) return refuse(refusal(10109));
  if (auto room = s_.room_for(size_of(m)); !room) return refuse(room.error());
  if (auto no = check_sizes(offered)) return refuse(*std::move(no));
  if (h.has_counter) return refuse(refusal(10168));
  if (!h.expected_stream.empty() && h.expected_stream != s_.config.name)
    return refuse(refusal(10060));
  std::optional<MessageTtl> ttl;
  if (!h.ttl.empty()) {
    if (!s_.config.allow_msg_ttl) return refuse(refusal(10166));
    ttl = parse_message_ttl(h.ttl);
    if (!ttl) return refuse(refusal(10165));
  }
  if (!h.msg_id.empty()) {
    if (auto original = s_.dedup.find(h.msg_id, offered.now))
      return Verdict{Verdict::Kind::kDuplicate, Rollup::kNone, *original, {}};
  }
  if (h.has_stream_source) return refuse(refusal(10227));
  if (auto no = check_expected_sequences(offered)) return refuse(*std::move(no));
  if (h.has_schedule) return refuse(refusal(10188));
  const Rollup rollup = parse_rollup(h.rollup);
  if (auto no = check_rollup(rollup, h)) return refuse(*std::move(no));
  if (!h.expected_last_msg_id.empty() && h.expected_last_msg_id != s_.last_msg_id)
    return refuse(refusal(10070, s_.last_msg_id));
  if (s_.config.retention == Retention::kInterest &&
      !s_.observers.any([&m](const StreamObserver& o) { return o.selects(m.subject); }))
    return Verdict{Verdict::Kind::kSkip, rollup, {}, {}};
  if (auto no = check_discard_new(offered, rollup)) return refuse(*std::move(no));
  return Verdict{Verdict::Kind::kStore, rollup, {}, {}, ttl};
}

Ingest::Refusal Ingest::check_sizes(const Offered& offered) const {
  const Message& m = offered.message;
  const size_t size = m.headers.size() + m.payload.size();
  if (s_.config.max_msg_size >= 0 && size > static_cast<size_t>(s_.config.max_msg_size))
    return refusal(10054);
  if (size_of(m) > kMaxRecord_bytes) return refusal(10077, "message too large");
  if (m.headers.size() > kMaxHeaderBlock_bytes) return refusal(10097);
  // The reference acknowledges such a message and then trims it away; an acknowledged message must
  // not vanish, so it is refused here.
  if (s_.config.max_bytes > 0 && size_of(m) > static_cast<uint64_t>(s_.config.max_bytes))
    return refusal(10077, "maximum bytes exceeded");
  return std::nullopt;
}

Ingest::Refusal Ingest::check_expected_sequences(const Offered& offered) {
  const PublishHeaders& h = offered.headers;
  if (!h.expected_last_seq.empty()) {
    const uint64_t actual = s_.store.state().last_seq.value();
    if (parse_decimal<uint64_t>(h.expected_last_seq) != actual) return refusal(10071, fmt::format("{}", actual));
  }
  if (h.expected_last_subject_seq.empty()) {
    if (!h.expected_last_subject_seq_subject.empty()) return refusal(10193);
    return std::nullopt;
  }
  uint64_t actual = 0;
  if (!h.expected_last_subject_seq_subject.empty()) {
    if (auto last = s_.store.load_last(h.expected_last_subject_seq_subject))
      actual = last->seq.value();
  } else if (auto state = s_.store.subject_state(offered.message.subject)) {
    actual = state->last.value();
  }
  if (parse_decimal<uint64_t>(h.expected_last_subject_seq) != actual)
    return refusal(10071, fmt::format("{}", actual));
  return std::nullopt;
}

Ingest::Refusal Ingest::check_rollup(Rollup rollup, const PublishHeaders& h) const {
  if (rollup == Rollup::kNone) return std::nullopt;
  if (!s_.config.allow_rollup_hdrs || s_.config.deny_purge)
    return refusal(10111, "rollup not permitted");
  if (rollup == Rollup::kInvalid)
    return refusal(10111, fmt::format("rollup value invalid: \"{}\"", h.rollup));
  return std::nullopt;
}

/// Discard new: would the stream be over a limit after this message, counting what the message itself
/// replaces (its subject's oldest, or what it rolls up)?
Ingest::Refusal Ingest::check_discard_new(const Offered& offered, Rollup rollup) {
  const StreamConfig& c = s_.config;
  if (c.discard != Discard::kNew) return std::nullopt;
  const Message& m = offered.message;
  const uint64_t size = size_of(m);
  const StreamState state = s_.store.state();
  if (rollup == Rollup::kAll) return check_discard_new_totals(size, state.messages, state.bytes);

  uint64_t freed = 0;
  std::optional<SubjectState> subject;
  if (c.max_msgs_per_subject > 0 || rollup == Rollup::kSubject)
    subject = s_.store.subject_state(m.subject);
  if (subject && rollup == Rollup::kSubject) {
    freed = subject->count;
  } else if (subject && subject->count >= static_cast<uint64_t>(c.max_msgs_per_subject)) {
    if (c.discard_new_per_subject) return refusal(10077, "maximum messages per subject exceeded");
    freed = subject->count + 1 - static_cast<uint64_t>(c.max_msgs_per_subject);
  }
  const bool tight = c.max_bytes > 0 && state.bytes + size > static_cast<uint64_t>(c.max_bytes);
  const uint64_t freed_bytes = tight && freed > 0 ? bytes_on_subject(m.subject, *subject, freed) : 0;
  return check_discard_new_totals(size, freed, freed_bytes);
}

Ingest::Refusal Ingest::check_discard_new_totals(uint64_t size, uint64_t freed_count,
                                                 uint64_t freed_bytes) const {
  const StreamState state = s_.store.state();
  const StreamConfig& c = s_.config;
  if (c.max_msgs > 0 && state.messages - freed_count + 1 > static_cast<uint64_t>(c.max_msgs))
    return refusal(10077, "maximum messages exceeded");
  if (c.max_bytes > 0 && state.bytes - freed_bytes + size > static_cast<uint64_t>(c.max_bytes))
    return refusal(10077, "maximum bytes exceeded");
  return std::nullopt;
}

/// Reported bytes of the oldest `count` messages of a subject. Looks at a bounded number of them: the
/// answer may be too low (then the publish is refused), never too high.
uint64_t Ingest::bytes_on_subject(std::string_view subject, const SubjectState& state,
                                  uint64_t count) {
  constexpr uint64_t kMaxLookedAt = 256;
  uint64_t bytes = 0;
  StreamSeq from = state.first;
  for (uint64_t i = 0; i < std::min(count, kMaxLookedAt); ++i) {
    auto stored = s_.store.load_next(from, subject);
    if (!stored) break;
    bytes += reported_record_size(s_.config.storage, stored->subject.size(),
                                  stored->headers.size(), stored->payload.size());
    from = stored->seq.next();
  }
  return bytes;
}

}  // namespace sluice
