#include "adapters/stream_ingest.h"

#include <algorithm>
#include <utility>

#include "base/base64.h"
#include "base/headers.h"
#include "base/log.h"
#include "base/nuid.h"

namespace sluice {
namespace {

constexpr Logger kLog{"adapters"};
constexpr std::chrono::milliseconds kFirstBackoff{250};
constexpr std::chrono::milliseconds kLastBackoff{10000};
constexpr int64_t kDeadLetterMax_bytes = int64_t{kGiB};
constexpr std::chrono::hours kDeadLetterMaxAge{30 * 24};
/// A restart or an outage shorter than this leaves no letter twice.
constexpr std::chrono::minutes kDeadLetterWindow{10};
/// What is left of the usual max_payload when a dead letter's headers are counted.
constexpr size_t kDeadLetterBody_bytes = kDefaultMaxPayload_bytes - 8 * kKiB;

/// Of a message's own headers, in a letter; with more they are left out.
constexpr size_t kKeptHeaders_bytes = 4 * kKiB;

constexpr uint16_t kMessageTooLarge = 10054;
constexpr uint16_t kHeaderTooLarge = 10097;
constexpr uint16_t kUnavailable = 10008;
constexpr uint16_t kNoResources = 10023;

StreamSpec dead_letter_spec() {
  StreamSpec spec;
  spec.name = kDeadLetterStream;
  spec.description = "Messages that Sluice's adapters could not store, with the reason";
  spec.subjects = {std::string(kDeadLetterSubjects)};
  spec.max_bytes = kDeadLetterMax_bytes;
  spec.max_age = kDeadLetterMaxAge;
  spec.duplicate_window = kDeadLetterWindow;
  return spec;
}

/// Everything else may pass: the server comes back, the stream is made again or gets room.
bool is_final(const Error& why) {
  return why.code == Errc::kInvalidArgument || why.api_code == kMessageTooLarge ||
         why.api_code == kHeaderTooLarge;
}

std::string one_line(std::string_view text) {
  std::string line(text);
  std::replace_if(line.begin(), line.end(), [](char c) { return c == '\r' || c == '\n'; }, ' ');
  return line;
}

std::string dead_letter_headers(std::string_view reason, std::string_view detail,
                                std::string_view origin) {
  std::string headers;
  append_header(headers, "Sluice-Reason", one_line(reason));
  append_header(headers, "Sluice-Detail", one_line(detail));
  append_header(headers, "Sluice-Origin", one_line(origin));
  return headers;
}

/// A letter keeps the message's own headers, so that it can be sent again as it was; its id under another
/// name, as it is the letter's id no more.
std::string with_own_headers(std::string letter, std::string_view own) {
  if (own.size() > kKeptHeaders_bytes) {
    append_header(letter, "Sluice-Headers-Dropped", std::to_string(own.size()));
    return letter;
  }
  each_header(own, [&](std::string_view name, std::string_view value) {
    if (name == "Nats-Msg-Id") name = "Sluice-Msg-Id";
    if (!name.starts_with("Nats-") && is_valid_header_name(name) && is_valid_header_value(value)) append_header(letter, name, value);
  });
  return letter;
}

}  // namespace

bool may_pass(const Error& why) {
  return why.code == Errc::kTimeout || why.code == Errc::kClosed ||
         why.code == Errc::kNoResponders || why.code == Errc::kFull ||
         why.api_code == kUnavailable || why.api_code == kNoResources;
}

StreamIngest::StreamIngest(Env& env, StreamClient& client, StreamIngestOptions options)
    : env_(env),
      client_(client),
      options_(std::move(options)),
      retry_timer_(env.timers.make([this] {
        if (prepared_)
          send_ready();
        else
          ensure_streams();
      })),
      state_listener_(client.link().on_state([this](LinkState state) {
        if (state != LinkState::kConnected || !retry_timer_->active()) return;
        failures_ = 0;
        retry_timer_->start(std::chrono::nanoseconds(0));
      })) {}

StreamIngest::~StreamIngest() = default;

// ---- the streams

void StreamIngest::prepare(const StreamSpec& target, std::move_only_function<void(Status)> done) {
  target_ = target;
  prepare_done_ = std::move(done);
  ensure_streams();
}

void StreamIngest::ensure_streams() {
  const auto letters = [this] { ensure_stream(dead_letter_spec(), [this](Status made) { prepared(std::move(made)); }); };
  if (target_.name.empty()) return letters();
  ensure_stream(target_, [this, letters](Status target) {
    if (!target) return prepared(std::move(target));
    letters();
  });
}

void StreamIngest::ensure_stream(const StreamSpec& spec,
                                 std::move_only_function<void(Status)> done) {
  api_call_ = client_.stream_info(
      spec.name, [this, spec, told = std::move(done)](Result<StreamFigures> found) mutable {
        api_call_.release();
        if (found) return told({});
        if (found.error().code != Errc::kNotFound) return told(std::unexpected(found.error()));
        api_call_ =
            client_.create_stream(spec, [this, name = spec.name, told_made = std::move(told)](
                                            Result<StreamFigures> made) mutable {
              api_call_.release();
              if (made) tell_made(name);
              if (made || made.error().code == Errc::kExists) return told_made({});
              told_made(std::unexpected(made.error()));
            });
      });
}

/// All adapters make the dead-letter stream, at once, and each hears that it did: that line is the core's own.
void StreamIngest::tell_made(const std::string& name) const {
  if (name == kDeadLetterStream)
    SLUICE_LOG(kLog, kDebug, "stream made or found made name={} adapter={}", name, options_.adapter);
  else
    SLUICE_LOG(kLog, kInfo, "stream made name={} adapter={}", name, options_.adapter);
}

void StreamIngest::prepared(Status outcome) {
  if (stopped_) return;
  prepared_ = outcome.has_value();
  const bool first = prepare_done_ != nullptr;
  if (!outcome) {
    if (!first || may_pass(outcome.error()) || target_.name.empty()) back_off(outcome.error(), "");
  } else {
    if (ready_.empty()) trouble_.clear();  // else those that are sent now tell
    send_ready();
  }
  if (auto done = std::exchange(prepare_done_, nullptr)) done(std::move(outcome));
}

// ---- taking

Offer StreamIngest::offer(const IngestMessage& message, Stored stored) {
  Item item;
  item.subject = message.subject;
  item.headers = message.headers;
  item.payload = message.payload;
  item.lane = message.lane;
  item.place = message.place;
  item.stored = std::move(stored);
  if (!message.msg_id.empty())
    append_header(item.headers, "Nats-Msg-Id",
                  is_valid_header_value(message.msg_id) ? std::string(message.msg_id)
                                                        : base64_encode(message.msg_id));
  return take(std::move(item));
}

/// Without a place only this port's own retries are known again.
std::string StreamIngest::letter_id(std::string_view reason, std::string_view place, std::string_view bytes) {
  if (!place.empty()) return dead_letter_id(options_.adapter, reason, place, bytes);
  if (own_letters_.empty()) own_letters_ = "letter-" + make_nuid([this] { return env_.random.u64(); }) + "-";
  return own_letters_ + std::to_string(++last_letter_);
}

Offer StreamIngest::dead_letter(const DeadLetter& letter, Stored stored) {
  Item item;
  item.subject = "SLUICE.DLQ." + options_.adapter;
  item.headers = dead_letter_headers(letter.reason, letter.detail, letter.origin);
  item.payload = letter.bytes.substr(0, kDeadLetterBody_bytes);
  if (letter.bytes.size() > kDeadLetterBody_bytes)
    append_header(item.headers, "Sluice-Truncated-From", std::to_string(letter.bytes.size()));
  append_header(item.headers, "Nats-Msg-Id", letter_id(letter.reason, letter.place, letter.bytes));
  item.is_dead_letter = true;
  item.stored = std::move(stored);
  return take(std::move(item));
}

Offer StreamIngest::take(Item item) {
  const size_t size = item.payload.size() + item.headers.size();
  if (stopped_ || items_.size() >= options_.max_in_flight_count ||
      (bytes_ + size > options_.max_in_flight_bytes && !items_.empty())) {
    refused_ = true;
    ++figures_.full;
    return Offer::kFull;
  }
  item.number = ++last_number_;
  bytes_ += size;
  const Place place = items_.insert(items_.end(), std::move(item));
  ready_.emplace(place->number, place);
  send_ready();
  return Offer::kAccepted;
}

// ---- sending

void StreamIngest::send_ready() {
  if (stopped_ || !prepared_ || retry_timer_->active()) return;
  while (!ready_.empty()) {
    const Place place = ready_.begin()->second;
    if (!place->holds_lane && !place->lane.empty()) {
      if (!busy_lanes_.insert(place->lane).second) return;
      place->holds_lane = true;
    }
    ready_.erase(ready_.begin());
    place->publish = client_.publish(
        {place->subject, {}, place->headers, place->payload}, options_.ack_timeout,
        [this, place](Result<PubAck> answer) { on_answer(place, std::move(answer)); });
  }
}

void StreamIngest::on_answer(Place place, Result<PubAck> answer) {
  place->publish.release();
  if (answer) {
    failures_ = 0;
    trouble_.clear();
    if (place->is_dead_letter) {
      ++figures_.dead_letters;
    } else {
      ++figures_.stored;
      if (answer->duplicate) ++figures_.duplicates;
    }
    if (place->refusal) return finish(place, std::unexpected(*place->refusal));
    return finish(place, std::move(answer));
  }
  if (is_final(answer.error())) return bury(place, answer.error());
  ++figures_.retries;
  // A stream that was there and is gone is made again.
  if (answer.error().code == Errc::kNoResponders) prepared_ = false;
  ready_.emplace(place->number, place);
  back_off(answer.error(), place->subject);
}

void StreamIngest::bury(Place place, const Error& why) {
  if (place->is_dead_letter) {
    SLUICE_LOG(kLog, kError, "dead letter refused adapter={} why=\"{}\"", options_.adapter,
               why.detail);
    ++figures_.lost;
    return finish(place, std::unexpected(why));
  }
  bytes_ -= place->headers.size() + place->payload.size();
  std::string letter = dead_letter_headers("refused", why.detail, place->subject);
  append_header(letter, "Nats-Msg-Id", letter_id("refused", place->place, place->payload));
  place->headers = with_own_headers(std::move(letter), place->headers);
  if (place->payload.size() > kDeadLetterBody_bytes) {
    append_header(place->headers, "Sluice-Truncated-From", std::to_string(place->payload.size()));
    place->payload.resize(kDeadLetterBody_bytes);
  }
  bytes_ += place->headers.size() + place->payload.size();
  place->subject = "SLUICE.DLQ." + options_.adapter;
  place->is_dead_letter = true;
  place->refusal = why;
  ready_.emplace(place->number, place);
  send_ready();
}

void StreamIngest::finish(Place place, Result<PubAck> outcome) {
  if (place->holds_lane) busy_lanes_.erase(place->lane);
  bytes_ -= place->headers.size() + place->payload.size();
  auto stored = std::move(place->stored);
  items_.erase(place);
  const std::weak_ptr<char> alive = alive_;
  stored(std::move(outcome));
  if (alive.expired()) return;
  send_ready();
  tell_room();
}

/// Tried again after a pause; what is wrong is in the log once, until it is something else or over.
void StreamIngest::back_off(const Error& why, std::string_view subject) {
  if (stopped_ || retry_timer_->active()) return;
  std::string told = why.code == Errc::kNoResponders && !subject.empty() ? "no stream takes the subject '" + std::string(subject) + "'" : why.detail;
  if (told != trouble_)
    SLUICE_LOG(kLog, kWarn, "messages wait, tried again adapter={} waiting={} why=\"{}\"", options_.adapter, items_.size(), told);
  trouble_ = std::move(told);
  const auto full = std::min(kFirstBackoff * (1 << std::min(failures_, 6)), kLastBackoff);
  ++failures_;
  const auto half = std::chrono::nanoseconds(full) / 2;
  retry_timer_->start(half + std::chrono::nanoseconds(static_cast<int64_t>(
                                 env_.random.below(static_cast<uint64_t>(half.count())))));
}

// ---- room and end

void StreamIngest::on_room(std::move_only_function<void()> room) {
  room_.push_back(std::move(room));
}

void StreamIngest::tell_room() {
  if (stopped_ || !refused_ || items_.size() > options_.max_in_flight_count / 2 ||
      bytes_ > options_.max_in_flight_bytes / 2)
    return;
  refused_ = false;
  const std::weak_ptr<char> alive = alive_;
  for (size_t i = 0; i < room_.size(); ++i) {
    room_[i]();
    if (alive.expired()) return;
  }
}

void StreamIngest::stop() {
  if (std::exchange(stopped_, true)) return;
  retry_timer_->stop();
  api_call_.cancel();
  ready_.clear();
  busy_lanes_.clear();
  std::vector<Stored> waiting;
  for (Item& item : items_) {
    item.publish.cancel();
    waiting.push_back(std::move(item.stored));
  }
  items_.clear();
  bytes_ = 0;
  // Whoever waits is part of our owner, and may go with us before this runs.
  env_.executor.post([alive = std::weak_ptr<char>(alive_), told = std::move(waiting),
                      preparing = std::exchange(prepare_done_, nullptr)]() mutable {
    if (preparing && !alive.expired()) preparing(fail(Errc::kClosed, "the adapter stops"));
    for (auto& one : told)
      if (!alive.expired()) one(fail(Errc::kClosed, "the adapter stops"));
  });
}

}  // namespace sluice
