#include "stream/republisher.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/headers.h"
#include "subject/subject.h"

namespace sluice {

Republisher::Republisher(Bus& bus, Random& random, const StreamConfig& config)
    : bus_(bus), random_(random), config_(config) {
  reconfigure();
}

void Republisher::reconfigure() {
  transform_.reset();
  if (!config_.republish || config_.republish->destination.empty()) return;
  auto made = SubjectTransform::make(config_.republish->source, config_.republish->destination);
  SLUICE_CHECK(made);
  transform_ = *std::move(made);
}

/// A destination with functions can lead back although its text did not collide.
bool Republisher::is_own(std::string_view subject) const {
  return std::any_of(config_.subjects.begin(), config_.subjects.end(),
                     [subject](const std::string& own) { return subject_matches(own, subject); });
}

void Republisher::hold(const Message& stored, StreamSeq seq, StreamSeq previous, WallNanos time) {
  const uint64_t dice = transform_->uses_random() ? random_.u64() : 0;
  Waiting w{.seq = seq, .subject = {}, .headers = {}, .payload = {}};
  if (!transform_->map(stored.subject, dice, w.subject)) return;
  if (is_own(w.subject)) {
    ++looped_;
    return;
  }
  // A header line can't hold every subject, and a bus can't route every one.
  if (!is_valid_header_value(stored.subject) || !is_valid_literal(w.subject)) return;
  w.headers = stored.headers;
  append_header(w.headers, "Nats-Stream", config_.name);
  append_header(w.headers, "Nats-Subject", stored.subject);
  append_header(w.headers, "Nats-Sequence", fmt::format_int(seq.value()).c_str());
  append_header(w.headers, "Nats-Time-Stamp", format_rfc3339(time));
  append_header(w.headers, "Nats-Last-Sequence", fmt::format_int(previous.value()).c_str());
  if (config_.republish->headers_only)
    append_header(w.headers, "Nats-Msg-Size", fmt::format_int(stored.payload.size()).c_str());
  else
    w.payload = stored.payload;
  waiting_.push_back(std::move(w));
}

void Republisher::release(StreamSeq visible) {
  while (!waiting_.empty() && waiting_.front().seq <= visible) {
    const Waiting w = std::move(waiting_.front());
    waiting_.pop_front();
    ++republished_;
    bus_.publish({.subject = w.subject, .reply = {}, .headers = w.headers, .payload = w.payload});
  }
}

}  // namespace sluice
