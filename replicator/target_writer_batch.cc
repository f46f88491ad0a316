// Of a writer: how several messages of one subject go to a shared target in one round trip.
#include <fmt/format.h>

#include <unordered_set>
#include <utility>

#include "base/headers.h"
#include "client/atomic_batch.h"
#include "replicator/target_writer.h"

namespace sluice {

/// Places in the line, from the first that waits, that may go together; empty when no subject is among them twice: then each goes
/// by itself, so that none waits for the others.
std::vector<size_t> TargetWriter::gather() {
  std::vector<size_t> places;
  std::unordered_set<std::string_view> subjects, ids;
  size_t bytes = 0;
  bool repeats = false;
  for (size_t at = published_; at < line_.size() && places.size() < kMaxAtomicBatch_count; ++at) {
    const Place& place = line_[at];
    if (!place.item.needs_writing()) continue;
    if (place.item.outcome != Outcome::kCopied || place.item.source_seq <= plan_.singly_through) break;
    if (subjects_in_flight_.contains(place.item.text->subject)) break;
    if (!window_.has_room(in_flight_ + places.size(), in_flight_bytes_ + bytes)) break;
    const auto id = find_header(place.item.text->headers, "Nats-Msg-Id");
    if (id && !ids.insert(*id).second) break;
    repeats |= !subjects.insert(place.item.text->subject).second;
    bytes += place.bytes;
    places.push_back(at);
  }
  const bool together = repeats || (plan_.one_fenced && is_fenced() && places.size() > 1);
  singles_ = together ? 0 : places.size();
  if (!together) places.clear();
  return places;
}

/// @return whether a batch was sent, or the writer has failed.
bool TargetWriter::gathers() {
  if (singles_ > 0) {
    --singles_;
    return false;
  }
  const std::vector<size_t> places = gather();
  if (!places.empty()) {
    publish_batch(places);
    return true;
  }
  if (singles_ > 0) --singles_;
  return false;
}

void TargetWriter::publish_batch(const std::vector<size_t>& places) {
  AtomicBatch batch(env_, target_);
  const uint64_t first = first_number_ + published_, last = first_number_ + places.back();
  for (const size_t at : places) {
    Place& place = line_[at];
    CopyText& text = *place.item.text;
    subjects_in_flight_.insert(text.subject);
    waiting_bytes_ -= place.bytes;
    on_its_way(place);
    if (at == places.front()) append_fence(text.headers);
    const BatchMessage message{text.subject, std::exchange(text.headers, {}), std::exchange(text.payload, {})};
    if (at != places.back()) {
      if (const Status added = batch.add(message); !added)
        return failed(WriteFailure::Kind::kNoAnswer, place.item.source_seq, "batch: " + added.error().detail);
      continue;
    }
    place.ticket = batch.commit(message, window_.timeout(),
                                [this, first, last](const Result<PubAck>& ack) { on_batch_answer(first, last, ack); });
  }
  for (size_t at = published_; at <= places.back(); ++at) {  // between them stands what needs no writing
    if (line_[at].item.needs_writing()) continue;
    line_[at].target_seq = line_[at].item.target_seq;
    line_[at].settled = true;
  }
  published_ = places.back() + 1;
}

void TargetWriter::on_batch_answer(uint64_t first, uint64_t last, const Result<PubAck>& ack) {
  if (dead_) return;
  find(last)->ticket.release();
  const StreamSeq source_seq = find(last)->item.source_seq;
  if (!ack || ack->duplicate) {
    const std::string why = fmt::format("target refused a batch up to source message {}: {}", source_seq.value(),
                                        ack ? "a duplicate" : ack.error().detail);
    const auto kind = ack ? WriteFailure::Kind::kBatch : kind_of(ack.error());
    // Whatever it is that the target will not have: one by one it is found out.
    const bool is_for_all = kind == WriteFailure::Kind::kNoAnswer || kind == WriteFailure::Kind::kFenced || kind == WriteFailure::Kind::kFenceBusy;
    return failed(is_for_all ? kind : WriteFailure::Kind::kBatch, source_seq, why);
  }
  if (ack->stream != plan_.target_stream)
    return failed(WriteFailure::Kind::kElsewhere, source_seq, fmt::format("stored in {} instead of {}", ack->stream, plan_.target_stream));
  // One behind the other, the last as acknowledged.
  StreamSeq target_seq = ack->seq;
  size_t bytes = 0;
  for (uint64_t number = last + 1; number-- > first;) {
    Place& place = *find(number);
    if (!place.item.needs_writing()) continue;
    place.settled = true;
    place.target_seq = target_seq;
    target_seq = target_seq.prev();
    subjects_in_flight_.erase(place.item.text->subject);
    --in_flight_;
    in_flight_bytes_ -= place.bytes;
    bytes += place.bytes;
  }
  window_.on_ack(env_.clock.now(), env_.clock.now() - find(last)->sent, bytes);
  pump();
}

}  // namespace sluice
