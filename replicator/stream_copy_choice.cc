// Of a copy: what becomes of each message, and how it is written to the target.
#include <fmt/format.h>

#include <utility>

#include "base/headers.h"
#include "replicator/stream_copy.h"

namespace sluice {

void StreamCopy::take(Read message, GapCounts gap) {
  CopyItem item;
  item.source_seq = message.seq;
  item.source_time = message.time;
  item.size_bytes = message.payload.size();
  const uint64_t marked = take_marks(ahead_.source_seq.value() + 1, message.seq.value(), gap);
  const CopyGap between{.copied = marked, .filtered = gap.filtered, .removed = gap.removed, .purged = gap.purged};
  if (between.all() != 0) item.gap = std::make_unique<const CopyGap>(between);
  forget_chosen(ahead_.source_seq.value() + 1, message.seq.value(), false);
  item.on_target = on_target_.contains(message.seq.value());
  item.outcome = decide(message, item);
  ahead_.source_seq = message.seq;
  count(ahead_.ledger, item);
  if (item.needs_writing()) address(item, std::move(message));
  taken_at_.push_back(env_.clock.now());
  writer_->add(std::move(item));
  if (writer_ && reader_ && writer_->is_full() && !reading_paused_) {
    reading_paused_ = true;
    reader_->pause();
  }
}

/// Of messages between these sequences (the end is not in) that will not be read any more.
void StreamCopy::forget_chosen(uint64_t first, uint64_t end, bool were_copied) {
  const auto from = chosen_.lower_bound(first), until = chosen_.lower_bound(end);
  for (auto it = from; it != until; ++it) {
    if (were_copied) {
      limiter_->copied(it->second);
    } else {
      limiter_->vanished(it->second);
      vanished_.insert(it->second);
    }
  }
  chosen_.erase(from, until);
}

Outcome StreamCopy::decide(const Read& message, CopyItem& item) {
  const auto outcome = choose(message, item);
  return item.on_target ? Outcome::kCopied : outcome;  // whatever would be decided now
}

Outcome StreamCopy::choose(const Read& message, CopyItem& item) {
  const uint64_t seq = message.seq.value();
  if (const auto unwanted = reason_to_leave_out(message)) {
    if (limiter_) forget_chosen(seq, seq + 1, false);  // chosen in an earlier session, and not copied after all
    return *unwanted;
  }
  const auto chosen = chosen_.find(seq);
  if (!item.on_target && is_followed_on_target(message)) {
    // It was copied by then, and has gone since, or was left out.
    const bool was_left_out = limiter_ ? chosen == chosen_.end() : options_.max_age.count() != 0;
    if (was_left_out) return limiter_ ? Outcome::kSampled : Outcome::kExpired;
    if (limiter_) item.value = chosen->second;
    item.on_target = true;
    return Outcome::kCopied;
  }
  if (!limiter_) return Outcome::kCopied;
  if (seq > judged_through_) {
    vanished_.clear();
    judged_through_ = seq;
    return note_verdict(seq, limiter_->judge(message.subject, message.headers, message.payload), item.value);
  }
  // What was judged in an earlier session stays so: asking again would see it as a repetition. Only where the value's
  // choice went, another one takes its place.
  if (chosen != chosen_.end()) {
    item.value = chosen->second;
    vanished_.erase(item.value);
    return Outcome::kCopied;
  }
  if (vanished_.empty() || !vanished_.contains(limiter_->value_of(message.subject, message.headers, message.payload)))
    return Outcome::kSampled;
  return note_verdict(seq, limiter_->judge_again(message.subject, message.headers, message.payload), item.value);
}

/// A newer message of its subject is on a target that others write to. There one of a subject follows the other, so this one's
/// turn is over: written now, it would come behind the newer one.
bool StreamCopy::is_followed_on_target(const Read& message) const {
  if (message.seq.value() >= last_on_target_ || newest_on_target_.empty()) return false;
  const auto newest = newest_on_target_.find(rewrite_.of_message(message.subject, 0));
  return newest != newest_on_target_.end() && message.seq.value() < newest->second;
}

/// What holds whatever sampling says.
std::optional<Outcome> StreamCopy::reason_to_leave_out(const Read& message) const {
  if (refused_ == message.seq && refusals_ >= options_.max_tries && !options_.dead_letter_subject.empty())
    return Outcome::kDeadLettered;
  if (options_.max_hops != 0 && count_hops(message.headers) >= options_.max_hops) return Outcome::kFiltered;
  if (options_.max_age.count() != 0 && env_.clock.wall() - message.time > options_.max_age.count())
    return Outcome::kExpired;
  return std::nullopt;
}

Outcome StreamCopy::note_verdict(uint64_t seq, Limiter::Verdict verdict, std::string& value) {
  value = std::move(verdict.value);
  if (!verdict.copy) return Outcome::kSampled;
  chosen_.emplace(seq, value);
  vanished_.erase(value);
  return Outcome::kCopied;
}

/// Fills in what is written to the target.
void StreamCopy::address(CopyItem& item, Read message) {
  const Provenance mark{copy_.stream, message.seq, copy_.replicator, copy_.worker, message.time / 1'000'000};
  item.text = std::make_unique<CopyText>();
  std::string& headers = item.text->headers;
  headers = copy_headers(message.headers, mark, ahead_.shared ? figures_.position : ahead_);
  item.text->payload = std::move(message.payload);
  if (item.outcome == Outcome::kDeadLettered) {
    item.text->subject = options_.dead_letter_subject;
    set_header(headers, "Nats-Msg-Id", "dead:" + copy_message_id(mark, ahead_.origin_created));
    append_header(headers, "Sluice-Original-Subject", message.subject);
    append_header(headers, "Sluice-Dead-Letter-Reason", refusal_);
    return;
  }
  item.text->subject = rewrite_.of_message(message.subject, rewrite_.has_transforms() ? env_.random() : 0);
  const auto id = find_header(headers, "Nats-Msg-Id");
  if (rename_ == message.seq || (id && message.seq <= rename_through_)) {
    const std::string original(id.value_or(""));
    set_header(headers, "Nats-Msg-Id",
               fmt::format("{}:{}", copy_message_id(mark, ahead_.origin_created), target_attempt_id_));
    if (!original.empty()) append_header(headers, kOriginalIdHeader, original);
    ++figures_.renamed_ids;
  } else if (!id && options_.message_ids && message.seq > rename_through_) {
    append_header(headers, "Nats-Msg-Id", copy_message_id(mark, ahead_.origin_created));
    item.has_our_id = true;
  }
}

}  // namespace sluice
