// LocalStream: the way in for batches (ADR-50), atomic ones and fast ones.
#include <utility>

#include <fmt/format.h>

#include "base/headers.h"
#include "stream/api_level.h"
#include "stream/local_stream.h"
#include "stream/stream_advisory.h"

namespace sluice {
namespace {

std::string gap_text(uint64_t expected, uint64_t arrived) {
  return fmt::format(R"({{"type":"gap","last_seq":{},"seq":{}}})", expected, arrived);
}

std::string flow_text(uint64_t sequence, uint64_t messages) {
  return fmt::format(R"({{"type":"ack","seq":{},"msgs":{}}})", sequence, messages);
}

std::string error_text(uint64_t sequence, const Error& why) {
  return fmt::format(R"({{"type":"err","seq":{},"error":{}}})", sequence, api_error_json(why));
}

}  // namespace

// -- atomic batches

void LocalStream::take_staged(const Message& message, const PublishHeaders& headers, OfferDone done) {
  auto refuse_with = [&](Error why) {
    atomic_batches_.forget(headers.batch_id);
    refuse(message, why, std::move(done));
  };
  if (parts_.config.sealed) return refuse_with(Error{Errc::kRefused, 10109, {}});
  if (!parts_.config.allow_atomic) return refuse_with(Error{Errc::kRefused, 10174, {}});
  if (auto no = ingest_.check_sizes({.message = message, .headers = headers}))
    return refuse_with(*std::move(no));
  auto taken = atomic_batches_.take(headers, message, parts_.options.api_level);
  if (!taken) return refuse(message, taken.error(), std::move(done));
  if (taken->has_value()) return commit_batch(**std::move(taken), message, std::move(done));
  // Only the sign that it was taken; nothing of a batch is on disk before its commit.
  answer_past_queue(answered_reply(message), "", "", std::move(done));
}

void LocalStream::commit_batch(AtomicBatches::Batch batch, const Message& last, OfferDone done) {
  const WallNanos now = stamp();
  std::vector<Verdict> verdicts;
  if (const auto why = judge_batch(batch, now, verdicts)) return refuse(last, *why, std::move(done));
  const StreamSeq end = store_batch(batch, verdicts, now);
  if (end.is_zero())
    return refuse(last, Error{Errc::kIo, 10077, "the store has failed"}, std::move(done));
  ++counters_.batches;
  enqueue({.commit = store_.last_commit(),
           .seq = end,
           .message_bytes = static_cast<uint32_t>(batch.bytes),
           .kind = AckQueue::Kind::kText},
          answered_reply(last), std::move(done),
          pub_ack_.batch(end, batch.id, batch.messages.size()));
}

/// Every message against what is stored and what the batch staged before it. Rewrites what is to be stored.
std::optional<Error> LocalStream::judge_batch(AtomicBatches::Batch& batch, WallNanos now,
                                              std::vector<Verdict>& verdicts) {
  BatchStage stage;
  verdicts.reserve(batch.messages.size());
  for (AtomicBatches::Staged& staged : batch.messages) {
    const Message message{
        .subject = staged.subject, .reply = {}, .headers = staged.headers, .payload = staged.payload};
    Verdict verdict = ingest_.judge({.message = message,
                                     .headers = parse_publish_headers(staged.headers),
                                     .now = now,
                                     .stage = &stage});
    if (verdict.kind == Verdict::Kind::kRefuse) return std::move(verdict.why);
    if (verdict.rewritten) {
      staged.headers = std::move(verdict.rewritten->headers);
      if (verdict.rewritten->payload) staged.payload = *std::move(verdict.rewritten->payload);
      verdict.rewritten.reset();
    }
    verdicts.push_back(std::move(verdict));
  }
  return std::nullopt;
}

/// @return the last sequence; 0 when the store has failed
StreamSeq LocalStream::store_batch(const AtomicBatches::Batch& batch, const std::vector<Verdict>& verdicts,
                                   WallNanos now) {
  std::vector<AppendRequest> requests;
  std::vector<StreamSeq> previous(batch.messages.size());
  std::map<std::string_view, StreamSeq> newest;
  const uint64_t next = store_.state().last_seq.value() + 1;
  for (size_t i = 0; i < batch.messages.size(); ++i) {
    const AtomicBatches::Staged& m = batch.messages[i];
    const auto [at, fresh] = newest.try_emplace(m.subject);
    previous[i] = fresh ? previous_on(m.subject) : at->second;
    at->second = StreamSeq(next + i);
    requests.push_back({.subject = m.subject,
                        .headers = m.headers,
                        .payload = m.payload,
                        .time = now,
                        .msg_id = parse_publish_headers(m.headers).msg_id,
                        .skipped = verdicts[i].kind == Verdict::Kind::kSkip});
  }
  if (store_.append_all(requests).is_zero()) return {};
  for (size_t i = 0; i < requests.size(); ++i) {
    const AppendRequest& r = requests[i];
    const Message message{.subject = r.subject, .reply = {}, .headers = r.headers, .payload = r.payload};
    if (!r.skipped) {
      note_stored(verdicts[i], message, r.msg_id, now, StreamSeq(next + i), previous[i]);
      continue;
    }
    ++counters_.skipped;
    last_msg_id_ = r.msg_id;
    if (!r.msg_id.empty()) dedup_.insert(r.msg_id, StreamSeq(next + i), now);
  }
  tell_resized();
  for (size_t i = 0; i < requests.size(); ++i)
    if (verdicts[i].rollup != Rollup::kNone)
      roll_up(verdicts[i].rollup, requests[i].subject, StreamSeq(next + i));
  if (parts_.config.max_msgs_per_subject > 0)
    for (const auto& [subject, seq] : newest) trim_subject(subject);
  trim_totals();
  if (parts_.config.max_age.count() > 0 && !expiry_timer_->active()) arm_expiry_timer();
  return StreamSeq(next + requests.size() - 1);
}

void LocalStream::batch_abandoned(std::string_view id, AtomicBatches::Reason reason) {
  ++counters_.abandoned;
  advise_batch_abandoned(parts_.env, parts_.bus, parts_.options.system_bus,
                         {.account = parts_.options.account,
                          .stream = parts_.config.name,
                          .domain = parts_.options.domain,
                          .id = id,
                          .reason = to_string(reason)});
}

// -- fast batches

/// 0, or why a message of a batch that is not open does not begin one.
uint16_t LocalStream::cannot_begin(const FastReply& said) {
  switch (said.operation) {
    case FastReply::Operation::kStart: return said.sequence == 1 ? 0 : 10206;
    case FastReply::Operation::kAppendAndCommit: return said.sequence == 1 ? 0 : 10208;
    case FastReply::Operation::kAppend:
    case FastReply::Operation::kCommit: return said.sequence == 1 ? 10206 : 10208;
    case FastReply::Operation::kPing: return 10208;
  }
  return 10206;
}

void LocalStream::take_fast(const Message& message, const PublishHeaders& headers) {
  auto refuse_with = [&](uint16_t code) { refuse(message, Error{Errc::kRefused, code, {}}, nullptr); };
  if (parts_.config.sealed) return refuse_with(10109);
  if (!parts_.config.allow_batched) return refuse_with(10205);
  const auto said = parse_fast_reply(message.reply);
  if (!said) return refuse_with(said.error().api_code);
  if (!api_level_suffices(message.headers, parts_.options.api_level)) return refuse_with(10185);
  FastTalk talk{.said = *said, .message = message, .headers = headers};
  FastBatches::Batch whole;  // begins and ends with this message
  talk.batch = fast_batches_.find(said->id);
  if (talk.batch == nullptr) {
    if (const uint16_t code = cannot_begin(*said); code != 0) return refuse_with(code);
    talk.batch = &whole;
    if (said->operation == FastReply::Operation::kStart) {
      const auto begun = fast_batches_.begin(*said);
      if (!begun) return refuse_with(begun.error().api_code);
      talk.batch = *begun;
      talk.answers.push_back(flow_text(0, talk.batch->flow));
    }
  }
  converse(talk);
  // Last, because an answer may reach a handler in this process that changes this stream. Also a stream that
  // acknowledges nothing tells the end: the client of a batch waits for it.
  for (std::string& text : talk.answers)
    enqueue({.commit = store_.last_commit(), .kind = AckQueue::Kind::kText},
            talk.ended ? message.reply : answered_reply(message), nullptr, std::move(text));
}

/// One message of an open batch.
void LocalStream::converse(FastTalk& talk) {
  using Operation = FastReply::Operation;
  const FastReply& said = talk.said;
  FastBatches::Batch& batch = *talk.batch;
  if (said.operation == Operation::kPing) return ping_fast(talk);
  const uint64_t expected = batch.last + 1;
  if (said.sequence != expected) {
    talk.answers.push_back(gap_text(expected, said.sequence));
    if (said.stop_at_gap || said.sequence < expected) return end_fast(talk, batch.last);
  }
  if (said.operation == Operation::kCommit) return end_fast(talk, said.sequence - 1);
  const bool ends = said.operation == Operation::kAppendAndCommit;
  const auto refused = store_fast(talk);
  if (refused && said.stop_at_gap && said.sequence == 1) {
    talk.answers.push_back(pub_ack_.refused(*refused));
    talk.ended = true;
    return fast_batches_.close(said.id);
  }
  if (refused) talk.answers.push_back(error_text(said.sequence, *refused));
  if (refused && (said.stop_at_gap || ends)) return end_fast(talk, said.sequence - 1);
  batch.last = said.sequence;
  if (ends) return end_fast(talk, said.sequence);
  if (batch.last < batch.next_ack) return;
  fast_batches_.acked(batch);
  talk.answers.push_back(flow_text(batch.acked, batch.flow));
}

/// A client that waits for an ack asks how far things got; what it sent up to there is missing then.
void LocalStream::ping_fast(FastTalk& talk) {
  FastBatches::Batch& batch = *talk.batch;
  if (talk.said.sequence > batch.last) {
    talk.answers.push_back(gap_text(batch.last + 1, talk.said.sequence + 1));
    if (talk.said.stop_at_gap) return end_fast(talk, batch.last);
    batch.last = talk.said.sequence;
  }
  talk.answers.push_back(flow_text(batch.acked, batch.flow));
}

std::optional<Error> LocalStream::store_fast(FastTalk& talk) {
  const PublishHeaders& headers = talk.headers;
  Message stored = talk.message;
  stored.reply = {};
  std::string stripped;
  if (!headers.required_api_level.empty()) {
    stripped = stored.headers;
    remove_header(stripped, "Nats-Required-Api-Level");
    stored.headers = stripped;
  }
  const WallNanos now = stamp();
  const Verdict verdict = ingest_.judge({.message = stored, .headers = headers, .now = now});
  act(verdict, stored, headers.msg_id, now, nullptr);
  if (verdict.kind == Verdict::Kind::kRefuse) return verdict.why;
  if (verdict.kind != Verdict::Kind::kDuplicate) talk.batch->stored = store_.state().last_seq;
  return std::nullopt;
}

void LocalStream::end_fast(FastTalk& talk, uint64_t count) {
  talk.answers.emplace_back(pub_ack_.batch(talk.batch->stored, talk.said.id, count));
  talk.ended = true;
  fast_batches_.close(talk.said.id);
}

}  // namespace sluice
