#include "replicator/target_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/headers.h"

namespace sluice {
namespace {

using Kind = WriteFailure::Kind;

/// "HPUB … <inbox> <sizes>\r\n" and the last line end, about.
constexpr size_t kProtocol_bytes = 64;

constexpr uint16_t kFenceInUse = 10164;
constexpr size_t kWaiting_bytes = 2 * 1024 * 1024;
constexpr auto kProofRetry = std::chrono::milliseconds(20);
/// Of no message.
constexpr std::string_view kNoId = "Sluice asks whether the id is known";

bool is_fence_error(const Error& error) {
  return error.api_code == 10070 || error.api_code == 10071 || error.api_code == kFenceInUse;
}

}  // namespace

bool passes_by_itself(const Error& error) {
  constexpr uint16_t kStreamFull = 10077, kInsufficientResources = 10023;
  if (error.code == Errc::kInvalidArgument) return false;
  if (error.api_code == 0) return true;
  return error.api_code == kStreamFull || error.api_code == kInsufficientResources;
}

TargetWriter::TargetWriter(Env& env, StreamClient& target, WriterPlan plan, Events events)
    : env_(env),
      target_(target),
      plan_(std::move(plan)),
      events_(std::move(events)),
      window_(plan_.max_messages, plan_.max_bytes, plan_.idle_trip),
      window_max_bytes_(plan_.max_bytes),
      next_target_(plan_.target_last.next()),
      maybe_known_(plan_.shared || plan_.taken_after >= plan_.target_last ? 0 : plan_.target_last.value() - plan_.taken_after.value()) {
  if (plan_.pace != nullptr) pace_timer_ = env_.timers.make([this] { pump(); });
  if (plan_.may_write) proof_timer_ = env_.timers.make([this] { pump(); });
}

/// What waits is of no use in memory: some is there when acks make room, more is on its way from the source by then; with a pace no more
/// than a second's worth.
size_t TargetWriter::most_waiting_bytes() const {
  const uint64_t rate = plan_.pace == nullptr ? 0 : plan_.pace->rate_at(env_.clock.wall());
  return rate == 0 ? std::clamp<size_t>(window_max_bytes_ / 4, 1, kWaiting_bytes) : std::clamp<size_t>(rate, 1, window_max_bytes_);
}

/// A message can be fenced by the id of the one before it only if that has one.
bool TargetWriter::must_go_alone() const {
  if (plan_.one_fenced && is_fenced()) return true;
  if (maybe_known_ != 0 && !last_id_.empty()) return true;
  return !plan_.shared && !plan_.alone && last_id_.empty();
}

bool TargetWriter::may_be_known(const CopyItem& item) const {
  return maybe_known_ != 0 && item.outcome == Outcome::kCopied && find_header(item.text->headers, "Nats-Msg-Id");
}

bool TargetWriter::must_wait_for_pace() {
  if (plan_.pace == nullptr) return false;
  const auto wait = plan_.pace->wait(env_.clock.now(), env_.clock.wall());
  if (wait.count() == 0) return false;
  pace_timer_->start(wait);
  if (in_flight_ == 0) events_.on_paced();
  return true;
}

bool TargetWriter::must_wait_for_proof() {
  if (!plan_.may_write || plan_.may_write()) return false;
  proof_timer_->start(kProofRetry);
  return true;
}

void TargetWriter::append_fence(std::string& headers) const {
  if (!is_fenced()) return;
  append_header(headers, "Nats-Expected-Last-Subject-Sequence", fmt::format_int(plan_.fence.value()).str());
  append_header(headers, "Nats-Expected-Last-Subject-Sequence-Subject", plan_.fence_subject);
}

Kind TargetWriter::kind_of(const Error& error) const {
  if (is_fenced() && error.api_code == kFenceInUse) return Kind::kFenceBusy;
  if (is_fence_error(error)) return is_fenced() ? Kind::kFenced : Kind::kMovedOn;
  return passes_by_itself(error) ? Kind::kNoAnswer : Kind::kRefused;
}

void TargetWriter::add(CopyItem item) {
  if (dead_) return;
  Place& place = line_.emplace_back();
  place.bytes = item.needs_writing() ? item.bytes() : 0;
  place.item = std::move(item);
  waiting_bytes_ += place.bytes;
  pump();
}

void TargetWriter::pump() {
  while (!dead_ && published_ < line_.size()) {
    Place& place = line_[published_];
    if (place.item.needs_writing()) {
      if (!window_.has_room(in_flight_, in_flight_bytes_)) break;
      if (met_unknown_) break;
      if (may_be_known(place.item)) {
        if (in_flight_ >= maybe_known_ || must_wait_for_pace()) break;
        waiting_bytes_ -= place.bytes;
        ++published_;
        ask(place, first_number_ + published_ - 1);
        continue;
      }
      if (asked_ != 0 || (in_flight_ != 0 && must_go_alone())) break;
      if (must_wait_for_proof()) break;
      if (must_wait_for_pace()) break;
      if (plan_.shared) {
        if (subjects_in_flight_.contains(place.item.text->subject)) break;
        if (plan_.batches && gathers()) continue;
        subjects_in_flight_.insert(place.item.text->subject);
      }
      waiting_bytes_ -= place.bytes;
      ++published_;
      publish(place, first_number_ + published_ - 1);
    } else {
      place.target_seq = place.item.target_seq;
      place.settled = true;
      ++published_;
    }
  }
  settle();
}

/// Whether an id is known is looked at before what it expects: so a message that expects what can't be is told to be a
/// duplicate, or refused.
void TargetWriter::ask(Place& place, uint64_t number) {
  std::string headers;
  append_header(headers, "Nats-Msg-Id", *find_header(place.item.text->headers, "Nats-Msg-Id"));
  append_header(headers, "Nats-Expected-Last-Msg-Id", kNoId);
  const std::string& subject = place.item.text->subject;
  const size_t bytes = subject.size() + headers.size() + kProtocol_bytes;
  sent_bytes_ += bytes;
  if (plan_.pace != nullptr) plan_.pace->sent(bytes);
  ++in_flight_;
  ++asked_;
  place.ticket = target_.publish({subject, "", headers, {}}, window_.timeout(),
                                 [this, number](const Result<PubAck>& ack) { on_told(number, ack); });
}

void TargetWriter::on_told(uint64_t number, const Result<PubAck>& ack) {
  if (dead_) return;
  Place& place = *find(number);
  place.ticket.release();
  const StreamSeq seq = place.item.source_seq;
  if (!ack && !is_fence_error(ack.error()))
    return failed(Kind::kNoAnswer, seq, fmt::format("target does not say whether it has source message {}: {}", seq.value(), ack.error().detail));
  if (ack && ack->stream != plan_.target_stream)
    return failed(Kind::kElsewhere, seq, fmt::format("the id of source message {} is known to {}", seq.value(), ack->stream));
  if (ack && !ack->duplicate) return failed(Kind::kElsewhere, seq, "the target takes a message that expects what is not so");
  --in_flight_;
  --asked_;
  if (!ack) {
    place.is_unknown = met_unknown_ = true;
  } else if (ack->seq > plan_.taken_after && ack->seq <= plan_.target_last) {
    --maybe_known_;
    place.target_seq = ack->seq;
    place.settled = true;
  } else {
    return failed(Kind::kDuplicate, seq, fmt::format("Nats-Msg-Id of source message {} is known to the target", seq.value()));
  }
  if (met_unknown_ && in_flight_ == 0) go_back_to_unknown();
  pump();
}

/// All that was asked is answered. The target took them in the source's order: so what it has forgotten and stands before one that it
/// knows was taken, and what stands behind the last of those was not.
void TargetWriter::go_back_to_unknown() {
  met_unknown_ = false;
  maybe_known_ = 0;
  std::optional<StreamSeq> known;
  for (size_t at = published_; at-- > 0;) {
    Place& place = line_[at];
    if (!place.item.needs_writing()) continue;
    if (!place.is_unknown) {
      known = place.target_seq;
    } else if (known) {
      place.target_seq = known->prev();
      place.settled = true;
    } else {
      place.is_unknown = false;
      waiting_bytes_ += place.bytes;
      published_ = at;
    }
  }
}

void TargetWriter::publish(Place& place, uint64_t number) {
  CopyText& text = *place.item.text;
  const bool fenced = !plan_.shared && place.item.outcome == Outcome::kCopied;
  if (fenced) {
    std::string id(find_header(text.headers, "Nats-Msg-Id").value_or(""));
    append_header(text.headers, "Nats-Expected-Last-Sequence", fmt::format_int(next_target_.value() - 1).str());
    if (in_flight_ != 0 && !last_id_.empty()) append_header(text.headers, "Nats-Expected-Last-Msg-Id", last_id_);
    last_id_ = std::move(id);
    place.target_seq = next_target_;
    next_target_ = next_target_.next();
  }
  if (place.item.outcome == Outcome::kCopied) append_fence(text.headers);
  on_its_way(place);
  place.ticket = target_.publish({text.subject, "", text.headers, text.payload}, window_.timeout(),
                                 [this, number](Result<PubAck> ack) { on_answer(number, std::move(ack)); });
  forget_text(place);
}

/// The link has it; it is never sent again in this session.
void TargetWriter::forget_text(Place& place) const {
  if (!plan_.shared) return place.item.text.reset();
  place.item.text = std::make_unique<CopyText>(CopyText{.subject = std::move(place.item.text->subject), .headers = {}, .payload = {}});
}

void TargetWriter::on_its_way(Place& place) {
  const size_t bytes = place.item.bytes() + kProtocol_bytes;
  sent_bytes_ += bytes;
  if (plan_.pace != nullptr) plan_.pace->sent(bytes);
  place.sent = env_.clock.now();
  ++in_flight_;
  in_flight_bytes_ += place.bytes;
}

TargetWriter::Place* TargetWriter::find(uint64_t number) {
  SLUICE_CHECK(number >= first_number_);
  const uint64_t index = number - first_number_;
  SLUICE_CHECK(index < line_.size());
  return &line_[index];
}

void TargetWriter::on_answer(uint64_t number, Result<PubAck> ack) {
  if (dead_) return;
  Place& place = *find(number);
  place.ticket.release();
  const StreamSeq seq = place.item.source_seq;
  if (!ack) {
    const Error& error = ack.error();
    const Kind kind = kind_of(error);
    if (kind == Kind::kMovedOn) return failed(kind, seq, "the target moved on: " + error.detail);
    if (kind == Kind::kFenced) return failed(kind, seq, "our mark on the target stands no more: " + error.detail);
    return failed(kind, seq, fmt::format("target refused source message {}: {}", seq.value(), error.detail));
  }
  if (place.item.outcome == Outcome::kDeadLettered) return acknowledged(number, StreamSeq(0));
  if (ack->stream != plan_.target_stream) {
    return failed(Kind::kElsewhere, seq,
                  fmt::format("stored in {} instead of {}: is another stream listening on the subject?", ack->stream,
                              plan_.target_stream));
  }
  if (ack->duplicate) return check_duplicate(number, ack->seq);
  if (!plan_.shared && ack->seq != place.target_seq) {
    return failed(Kind::kMovedOn, seq,
                  fmt::format("stored as {} instead of {}", ack->seq.value(), place.target_seq.value()));
  }
  if (maybe_known_ != 0) --maybe_known_;  // it had none to ask for
  acknowledged(number, ack->seq);
}

/// Within its window of ids the target knows this one: by ourselves, when the ack of an earlier attempt was
/// lost, or by another message that happens to have the same.
void TargetWriter::check_duplicate(uint64_t number, StreamSeq target_seq) {
  const StreamSeq seq = find(number)->item.source_seq;
  const std::string why = fmt::format("Nats-Msg-Id of source message {} is known to the target", seq.value());
  if (!plan_.shared) {
    // In its very place: what an earlier session sent came just now. The next one sees it.
    return failed(target_seq == find(number)->target_seq ? Kind::kMovedOn : Kind::kDuplicate, seq, why);
  }
  find(number)->ticket = target_.get_message(
      plan_.target_stream, target_seq, [this, number, seq, why, target_seq](Result<StoredCopy> stored) {
        if (dead_) return;
        find(number)->ticket.release();
        if (!stored && stored.error().code == Errc::kNotFound) {
          // It was taken and is gone. An id that we made ourselves tells whose it was.
          if (find(number)->item.has_our_id) return acknowledged(number, target_seq);
          return failed(Kind::kDuplicate, seq, why);
        }
        if (!stored) return failed(Kind::kNoAnswer, seq, why + ", which can't be looked at: " + stored.error().detail);
        const auto mark = find_provenance(stored->headers, plan_.copy);
        const auto header = find_header(stored->headers, kPositionHeader);
        const auto record = header ? parse_position_header(*header) : std::nullopt;
        const bool same_life = !record || record->origin_created == 0 || record->origin_created == plan_.origin_created;
        if (!mark || mark->seq != seq || !same_life) return failed(Kind::kDuplicate, seq, why);
        acknowledged(number, target_seq);
      });
}

void TargetWriter::acknowledged(uint64_t number, StreamSeq target_seq) {
  Place& place = *find(number);
  place.settled = true;
  if (plan_.shared) {
    place.target_seq = target_seq;
    subjects_in_flight_.erase(place.item.text->subject);
  }
  --in_flight_;
  in_flight_bytes_ -= place.bytes;
  window_.on_ack(env_.clock.now(), env_.clock.now() - place.sent, place.bytes);
  pump();
}

void TargetWriter::settle() {
  if (settling_) return;  // on_settled and on_progress may add
  settling_ = true;
  bool moved = false;
  while (!dead_ && published_ > 0 && line_.front().settled) {
    const Place place = std::move(line_.front());
    line_.pop_front();
    ++first_number_;
    --published_;
    moved = true;
    events_.on_settled(place.item, place.item.outcome == Outcome::kCopied ? place.target_seq : StreamSeq(0));
  }
  settling_ = false;
  if (moved && !dead_) events_.on_progress();
}

void TargetWriter::drop_waiting() {
  line_.resize(published_);
  waiting_bytes_ = 0;
}

void TargetWriter::failed(Kind kind, StreamSeq source_seq, std::string why) {
  if (std::exchange(dead_, true)) return;
  events_.on_failed({kind, source_seq, std::move(why)});
}

}  // namespace sluice
