#include "stream/ingest.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "base/headers.h"
#include "base/limits.h"
#include "base/parse_number.h"
#include "stream/big_integer.h"
#include "stream/counter.h"
#include "stream/sequence_limit.h"
#include "subject/subject.h"

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
  Verdict verdict;
  auto refuse = [](Error why) { return Verdict{Verdict::Kind::kRefuse, Rollup::kNone, {}, std::move(why)}; };

  if (s_.config.sealed) return refuse(refusal(10109));
  const int64_t staged = offered.stage != nullptr ? offered.stage->bytes : 0;
  if (auto room = s_.room_for(size_of(m) + static_cast<uint64_t>(std::max<int64_t>(staged, 0))); !room)
    return refuse(room.error());
  if (auto no = check_sequences_left()) return refuse(*std::move(no));
  if (auto no = check_sizes(offered)) return refuse(*std::move(no));
  if (h.asks || s_.config.allow_msg_counter) {
    if (auto decided = heed(offered, verdict)) return *std::move(decided);
  }
  if (s_.config.retention == Retention::kInterest &&
      !s_.observers.any([&m](const StreamObserver& o) { return o.selects(m.subject); }))
    verdict.kind = Verdict::Kind::kSkip;
  else if (auto no = check_discard_new(offered, verdict.rollup))
    return refuse(*std::move(no));
  if (offered.stage != nullptr) note(offered, verdict);
  return verdict;
}

/// What its headers ask for, in the reference's order; a verdict when it ends there.
std::optional<Verdict> Ingest::heed(const Offered& offered, Verdict& verdict) {
  const PublishHeaders& h = offered.headers;
  auto refuse = [](Error why) { return Verdict{Verdict::Kind::kRefuse, Rollup::kNone, {}, std::move(why)}; };
  if (auto no = check_increment(offered)) return refuse(*std::move(no));
  if (!h.expected_stream.empty() && h.expected_stream != s_.config.name)
    return refuse(refusal(10060));
  if (auto no = check_ttl(offered, verdict)) return refuse(*std::move(no));
  if (!h.msg_id.empty()) {
    const auto original = s_.dedup.find(h.msg_id, offered.now);
    if (offered.stage != nullptr && (original || offered.stage->msg_ids.contains(h.msg_id)))
      return refuse(refusal(10201));
    if (original) return Verdict{Verdict::Kind::kDuplicate, Rollup::kNone, *original, {}};
  }
  if (!h.stream_source.empty() && offered.writer == Writer::kClient) return refuse(refusal(10227));
  if (offered.stage != nullptr && !h.expected_last_msg_id.empty())
    return refuse(refusal(10177, "Nats-Expected-Last-Msg-Id"));
  if (s_.config.allow_msg_counter)
    if (auto no = count(offered, verdict)) return refuse(*std::move(no));
  if (auto no = check_expected_sequences(offered)) return refuse(*std::move(no));
  verdict.rollup = parse_rollup(h.rollup);
  if (auto no = check_schedule(offered, verdict)) return refuse(*std::move(no));
  if (auto no = check_rollup(verdict.rollup, offered)) return refuse(*std::move(no));
  if (!h.expected_last_msg_id.empty() && h.expected_last_msg_id != s_.last_msg_id)
    return refuse(refusal(10070, s_.last_msg_id));
  return std::nullopt;
}

/// A stream may be made to begin anywhere, and a mirror goes where its origin goes: a sequence must never come round to 0.
Ingest::Refusal Ingest::check_sequences_left() const {
  if (s_.visible_last >= kLastStreamSeq) return refusal(10077, "the stream has no sequences left");
  return std::nullopt;
}

Ingest::Refusal Ingest::check_sizes(const Offered& offered) const {
  const Message& m = offered.message;
  if (auto no = check_size_of(m.headers.size(), m.payload.size())) return no;
  if (size_of(m) > kMaxRecord_bytes) return refusal(10077, "message too large");
  if (m.headers.size() > kMaxHeaderBlock_bytes) return refusal(10097);
  // The reference acknowledges such a message and then trims it away; an acknowledged message must
  // not vanish, so it is refused here.
  if (s_.config.max_bytes > 0 && size_of(m) > static_cast<uint64_t>(s_.config.max_bytes))
    return refusal(10077, "maximum bytes exceeded");
  return std::nullopt;
}

Ingest::Refusal Ingest::check_size_of(size_t headers, size_t payload) const {
  if (s_.config.max_msg_size >= 0 && headers + payload > static_cast<size_t>(s_.config.max_msg_size))
    return refusal(10054);
  return std::nullopt;
}

/// An increment is a whole number, on a counter stream, alone: it goes with no payload and with no
/// header that would make it depend on what is stored.
Ingest::Refusal Ingest::check_increment(const Offered& offered) const {
  const PublishHeaders& h = offered.headers;
  if (h.counter.empty()) return std::nullopt;
  if (!BigInteger::parse(h.counter)) return refusal(10171);
  if (!s_.config.allow_msg_counter) return refusal(10168);
  if (!offered.message.payload.empty()) return refusal(10170);
  for (std::string_view other : {h.rollup, h.expected_stream, h.expected_last_msg_id, h.expected_last_seq,
                                 h.expected_last_subject_seq, h.expected_last_subject_seq_subject})
    if (!other.empty()) return refusal(10171);
  return std::nullopt;
}

/// Where delete markers are on, a message of a subject with history lives at least as long as a marker,
/// so that the marker outlives nothing.
Ingest::Refusal Ingest::check_ttl(const Offered& offered, Verdict& verdict) const {
  const std::string_view asked = offered.headers.ttl;
  if (asked.empty()) return std::nullopt;
  if (!s_.config.allow_msg_ttl) return refusal(10166);
  verdict.ttl = parse_message_ttl(asked);
  if (!verdict.ttl) return refusal(10165);
  const auto least = std::chrono::duration_cast<std::chrono::seconds>(s_.config.subject_delete_marker_ttl);
  if (verdict.ttl->never || s_.config.max_msgs_per_subject == 1 || verdict.ttl->life >= least)
    return std::nullopt;
  verdict.ttl->life = least;
  set_header(headers_to_rewrite(offered.message, verdict), "Nats-TTL", fmt::format_int(least.count()).c_str());
  return std::nullopt;
}

/// The counter as it stands: what the batch made of it, or what is stored. 10172 when that can't be read: to begin again
/// from zero would be a wrong sum. The views live until the store's next change.
Result<CounterBefore> Ingest::counter_before(const Offered& offered) {
  const std::string_view subject = offered.message.subject;
  if (offered.stage != nullptr && offered.stage->has(subject)) {
    const auto& staged = offered.stage->subjects.find(subject)->second;
    return CounterBefore{staged.headers, staged.payload};
  }
  if (const auto last = s_.store.load_last(subject)) return CounterBefore{last->headers, last->payload};
  if (s_.store.subject_state(subject)) return fail_api(Errc::kRefused, 10172, "");
  return CounterBefore{};
}

Ingest::Refusal Ingest::keep_sum(Result<CounterStep> step, Verdict& verdict) const {
  if (!step) return step.error();
  if (auto no = check_size_of(step->headers.size(), step->payload.size())) return no;
  if (step->headers.size() > kMaxHeaderBlock_bytes) return refusal(10097);
  verdict.rewritten = {.headers = std::move(step->headers),
                       .payload = std::move(step->payload),
                       .sum = std::move(step->sum)};
  return std::nullopt;
}

Ingest::Refusal Ingest::count(const Offered& offered, Verdict& verdict) {
  const Message& m = offered.message;
  if (offered.headers.counter.empty()) return refusal(10169);
  const auto before = counter_before(offered);
  if (!before) return before.error();
  return keep_sum(count_increment(*before, m.headers, offered.headers.counter), verdict);
}

/// A copy's payload is the sum at its origin: what it grew there is added here.
Ingest::Refusal Ingest::count_copied(const Offered& offered, Verdict& verdict) {
  const Message& m = offered.message;
  if (offered.headers.counter.empty()) return refusal(10169);
  const auto before = counter_before(offered);
  if (!before) return before.error();
  return keep_sum(count_sourced(*before, m.headers, m.payload, m.subject, offered.headers.stream_source), verdict);
}

Ingest::Refusal Ingest::check_expected_sequences(const Offered& offered) {
  const PublishHeaders& h = offered.headers;
  if (!h.expected_last_seq.empty()) {
    const uint64_t actual = s_.store.state().last_seq.value();
    if (offered.stage != nullptr && offered.stage->count > 0) return refusal(10164);
    if (parse_decimal<uint64_t>(h.expected_last_seq) != actual) return refusal(10071, fmt::format("{}", actual));
  }
  if (!h.expected_last_subject_seq.empty()) return check_expected_subject_sequence(offered);
  if (!h.expected_last_subject_seq_subject.empty()) return refusal(10193);
  return std::nullopt;
}

Ingest::Refusal Ingest::check_expected_subject_sequence(const Offered& offered) {
  const PublishHeaders& h = offered.headers;
  const bool elsewhere = !h.expected_last_subject_seq_subject.empty();
  const std::string_view subject = elsewhere ? h.expected_last_subject_seq_subject : offered.message.subject;
  // The batch itself wrote there, under a sequence that nobody knows yet.
  if (offered.stage != nullptr && offered.stage->has(subject)) return refusal(10164);
  uint64_t actual = 0;
  if (elsewhere && !is_valid_literal(subject)) {
    if (auto last = s_.store.load_last(subject)) actual = last->seq.value();
  } else if (auto state = s_.store.subject_state(subject)) {
    actual = state->last.value();
  }
  if (parse_decimal<uint64_t>(h.expected_last_subject_seq) != actual)
    return refusal(10071, fmt::format("{}", actual));
  return std::nullopt;
}

Ingest::Refusal Ingest::check_rollup(Rollup rollup, const Offered& offered) const {
  if (rollup == Rollup::kNone) return std::nullopt;
  if (!s_.config.allow_rollup_hdrs || s_.config.deny_purge)
    return refusal(10111, "rollup not permitted");
  if (rollup == Rollup::kInvalid)
    return refusal(10111, fmt::format("rollup value invalid: \"{}\"", offered.headers.rollup));
  if (offered.stage == nullptr) return std::nullopt;
  if (rollup == Rollup::kSubject && offered.stage->has(offered.message.subject))
    return refusal(10111, "batch rollup sub invalid");
  if (rollup == Rollup::kAll && offered.stage->count > 0)
    return refusal(10111, "batch rollup all invalid");
  return std::nullopt;
}

/// Messages on the subject before this one: what is stored, or what the batch makes of it.
uint64_t Ingest::count_on_subject(const Offered& offered, const std::optional<SubjectState>& stored) const {
  if (const BatchStage* stage = offered.stage) {
    const auto staged = stage->subjects.find(offered.message.subject);
    if (staged != stage->subjects.end()) return staged->second.count;
    if (stage->rolled_up) return 0;
  }
  return stored ? stored->count : 0;
}

/// Discard new: would the stream be over a limit after this message, counting what the message itself
/// replaces (its subject's oldest, or what it rolls up)?
Ingest::Refusal Ingest::check_discard_new(const Offered& offered, Rollup rollup) {
  const StreamConfig& c = s_.config;
  if (c.discard != Discard::kNew) return std::nullopt;
  const Message& m = offered.message;
  const StreamState state = s_.store.state();
  std::optional<SubjectState> subject;
  if (c.max_msgs_per_subject > 0 || rollup == Rollup::kSubject) subject = s_.store.subject_state(m.subject);
  const uint64_t on_subject = count_on_subject(offered, subject);
  uint64_t freed_on_subject = 0;
  if (rollup != Rollup::kNone) {
    freed_on_subject = on_subject;
  } else if (c.max_msgs_per_subject > 0 && on_subject >= static_cast<uint64_t>(c.max_msgs_per_subject)) {
    if (c.discard_new_per_subject) return refusal(10077, "maximum messages per subject exceeded");
    freed_on_subject = on_subject + 1 - static_cast<uint64_t>(c.max_msgs_per_subject);
  }
  uint64_t freed = freed_on_subject;
  uint64_t freed_bytes = 0;
  if (rollup == Rollup::kAll) {
    freed = state.messages;
    freed_bytes = state.bytes;
  } else if (c.max_bytes > 0 && freed > 0 && subject &&
             state.bytes + size_of(m) > static_cast<uint64_t>(c.max_bytes)) {
    freed_bytes = bytes_on_subject(m.subject, *subject, freed);
  }
  if (auto no = check_discard_new_totals(offered, freed, freed_bytes)) return no;
  if (offered.stage != nullptr)
    offered.stage->subjects[std::string(m.subject)].count = on_subject - freed_on_subject + 1;
  return std::nullopt;
}

Ingest::Refusal Ingest::check_discard_new_totals(const Offered& offered, uint64_t freed_count,
                                                 uint64_t freed_bytes) const {
  const StreamState state = s_.store.state();
  const StreamConfig& c = s_.config;
  const auto messages_more = 1 - static_cast<int64_t>(freed_count);
  const auto bytes_more = static_cast<int64_t>(size_of(offered.message)) - static_cast<int64_t>(freed_bytes);
  const int64_t staged_messages = offered.stage != nullptr ? offered.stage->messages : 0;
  const int64_t staged_bytes = offered.stage != nullptr ? offered.stage->bytes : 0;
  if (c.max_msgs > 0 && static_cast<int64_t>(state.messages) + staged_messages + messages_more > c.max_msgs)
    return refusal(10077, "maximum messages exceeded");
  if (c.max_bytes > 0 && static_cast<int64_t>(state.bytes) + staged_bytes + bytes_more > c.max_bytes)
    return refusal(10077, "maximum bytes exceeded");
  if (offered.stage != nullptr) {
    offered.stage->messages += messages_more;
    offered.stage->bytes -= static_cast<int64_t>(freed_bytes);
  }
  return std::nullopt;
}

/// Remembers an accepted message for the ones after it in its batch.
void Ingest::note(const Offered& offered, const Verdict& verdict) const {
  BatchStage& stage = *offered.stage;
  ++stage.count;
  stage.bytes += static_cast<int64_t>(size_of(offered.message));
  if (!offered.headers.msg_id.empty()) stage.msg_ids.emplace(offered.headers.msg_id);
  stage.rolled_up |= verdict.rollup == Rollup::kAll;
  auto& subject = stage.subjects[std::string(offered.message.subject)];
  if (s_.config.allow_msg_counter && verdict.rewritten && verdict.rewritten->payload) {
    subject.headers = verdict.rewritten->headers;
    subject.payload = *verdict.rewritten->payload;
  }
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
