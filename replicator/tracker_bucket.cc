#include "replicator/tracker_bucket.h"

#include <fmt/format.h>

#include <utility>

#include "base/base64.h"
#include "base/nuid.h"
#include "base/parse_number.h"
#include "crypto/digest.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr auto kTick = 1s;
constexpr auto kReopen = 2s;
constexpr auto kPatience = 10s;
constexpr auto kStopDeadline = 1s;
constexpr size_t kShare_count = 5000;  ///< of writes in a second
constexpr size_t kInFlight_count = 256;
constexpr size_t kMaxExpired_count = 10'000;
constexpr uint16_t kStreamNotFound = 10059;
constexpr uint16_t kWrongLastSequence = 10071;
constexpr uint16_t kFenceInUse = 10164;
constexpr size_t kDigest_bytes = 16;
constexpr std::string_view kMarkKey = "reader";

/// Any text as one token of a key.
std::string key_token(std::string_view text) {
  std::string token;
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '_';
    token += plain ? std::string(1, c) : fmt::format("={:02x}", static_cast<unsigned char>(c));
  }
  return token;
}

std::string mark_key(const std::string& prefix) { return prefix + std::string(kMarkKey); }

/// Marks are "<token> <random>"; those of older versions had no token.
uint64_t token_of(std::string_view mark) { return parse_decimal<uint64_t>(mark.substr(0, mark.find(' '))).value_or(0); }

std::string value_token(std::string_view value) {
  const Sha256 digest = sha256(value);
  return base64url_encode({reinterpret_cast<const char*>(digest.data()), kDigest_bytes});
}

}  // namespace

TrackerBucket::TrackerBucket(Env& env, StreamClient& control, std::string bucket, const std::string& copy_id,
                             std::chrono::nanoseconds period, Tracker& tracker)
    : env_(env),
      control_(control),
      name_(std::move(bucket)),
      copy_id_(copy_id),
      prefix_("tracker." + key_token(copy_id) + "."),
      period_(period),
      tracker_(tracker),
      most_in_flight_(kInFlight_count),
      tick_timer_(env.timers.make([this] { tick(); })),
      open_timer_(env.timers.make([this] { open(); })),
      ready_timer_(env.timers.make([this] {
        ++figures_.unread;
        SLUICE_LOG(log_, kWarn, "sampling begins without the state in the bucket copy={} bucket={} why=\"{}\"", copy_id_, name_,
                   trouble_.empty() ? "no answer" : trouble_);
        begin();
      })),
      tell_timer_(env.timers.make([this] {
        if (auto tell = std::exchange(on_ready_, nullptr)) tell();
      })),
      stop_timer_(env.timers.make([this] { finish_stop(); })) {
  tracker_.note_changes();
}

void TrackerBucket::start() {
  open();
  tick_timer_->start(kTick);
}

void TrackerBucket::open() {
  opening_ = KvBucket::open(env_, control_, name_, "$JS.API",
                            [this](Result<std::unique_ptr<KvBucket>> opened) { on_opened(std::move(opened)); });
}

void TrackerBucket::on_opened(Result<std::unique_ptr<KvBucket>> opened) {
  if (!opened && opened.error().api_code == kStreamNotFound) return make();
  if (!opened) return lost(opened.error().detail);
  bucket_ = *std::move(opened);
  const auto ttl = bucket_->status().spec.ttl;
  if (ttl.count() != 0 && ttl < 2 * period_) {
    SLUICE_LOG(log_, kWarn, "the bucket forgets values before sampling does copy={} bucket={} ttl_s={} needed_s={}", copy_id_,
               name_, ttl / 1s, 2 * period_ / 1s);
  }
  trouble_.clear();
  follow();
}

void TrackerBucket::make() {
  const KvBucketSpec spec{.bucket = name_, .description = "What Sluice's replicators know of sampled values", .ttl = 2 * period_};
  opening_ = KvBucket::make(env_, control_, spec, [this](const Result<KvStatus>& made) {
    if (!made) return lost(made.error().detail);
    open_timer_->start(0ns);
  });
}

void TrackerBucket::lost(const std::string& why) {
  if (trouble_ != why) {
    SLUICE_LOG(log_, kWarn, "bucket of the sampling state can't be used copy={} bucket={} error=\"{}\"", copy_id_, name_, why);
  }
  trouble_ = why;
  marking_.cancel();
  watch_.reset();
  bucket_.reset();
  current_ = false;
  fence_ = StreamSeq();
  open_timer_->start(kReopen);
}

void TrackerBucket::follow() {
  current_ = false;
  seen_mark_ = StreamSeq();
  seen_token_ = 0;
  watch_ = bucket_->watch({.filters = {prefix_ + ">"}},
                          {.on_entry = [this](const KvEntry& entry) { on_entry(entry); },
                           .on_current = [this] { on_current(); },
                           .on_trouble = [this](const Error& why) { lost(why.detail); }});
}

void TrackerBucket::on_entry(const KvEntry& entry) {
  if (entry.operation != KvOperation::kPut) return;
  if (entry.key == mark_key(prefix_)) return on_mark(entry);
  ++figures_.read;
  if (!decode_saved(entry.value, tracker_)) ++figures_.bad;
}

void TrackerBucket::on_current() {
  current_ = true;
  if (leads_) put_mark();
}

void TrackerBucket::lead(uint64_t token, std::move_only_function<void()> on_ready) {
  token_ = token;
  leads_ = true;
  ready_ = false;
  fence_ = StreamSeq();
  superseded_ = false;
  on_ready_ = std::move(on_ready);
  ready_timer_->start(kPatience);
  if (current_) put_mark();
}

/// In the place of the one that was seen last.
void TrackerBucket::put_mark() {
  if (seen_token_ > token_ && !superseded_) {
    superseded_ = true;
    superseded_at_ = env_.clock.now();
    SLUICE_LOG(log_, kWarn, "a later term keeps the sampling state copy={} bucket={} token={} ours={}", copy_id_, name_, seen_token_, token_);
  }
  if (superseded_ && env_.clock.now() - superseded_at_ < kPatience) return;
  fence_ = StreamSeq();
  mark_ = fmt::format("{} {}", token_, random_base62(12, env_.random));
  auto done = [this](const Result<StreamSeq>& put) {
    marking_.release();
    if (!put && put.error().api_code == kWrongLastSequence) return look_at_mark();
    if (!put) return lost(put.error().detail);
    superseded_ = false;
    fence_ = seen_mark_ = *put;
    seen_token_ = token_;
    marked_at_ = env_.clock.now();
    if (ready_ && current_) watch_.reset();
    pump();
  };
  marking_ = seen_mark_.is_zero() ? bucket_->create(mark_key(prefix_), mark_, 0ns, std::move(done))
                                  : bucket_->update(mark_key(prefix_), mark_, seen_mark_, std::move(done));
}

/// As the watch tells it.
void TrackerBucket::on_mark(const KvEntry& mark) {
  if (mark.revision > seen_mark_) {
    seen_mark_ = mark.revision;
    seen_token_ = token_of(mark.value);
  }
  if (leads_ && !mark_.empty() && mark.value == mark_) begin();
}

void TrackerBucket::look_at_mark() {
  if (!bucket_ || !leads_) return;
  marking_ = bucket_->get(mark_key(prefix_), [this](const Result<KvEntry>& mark) {
    marking_.release();
    weigh_mark(mark);
  });
}

/// Ours was refused, or what it stood for was.
void TrackerBucket::weigh_mark(const Result<KvEntry>& mark) {
  if (!leads_) return;
  if (!mark && mark.error().code != Errc::kNotFound) return lost(mark.error().detail);
  const StreamSeq stands = mark ? mark->revision : StreamSeq();
  if (!fence_.is_zero() && stands == fence_) {  // and yet it was refused
    is_unfenced_ = true;
    SLUICE_LOG(log_, kWarn, "this server has no fence for the sampling state: a stale leader's last words may be taken copy={} bucket={}",
               copy_id_, name_);
    return pump();
  }
  seen_mark_ = stands;
  seen_token_ = mark ? token_of(mark->value) : 0;
  put_mark();
}

/// Before the bucket forgets it; and one that a later term had taken is asked for again.
void TrackerBucket::keep_mark() {
  if (!bucket_ || !ready() || is_unfenced_ || marking_.active()) return;
  const auto ttl = bucket_->status().spec.ttl;
  if (superseded_ && env_.clock.now() - superseded_at_ >= kPatience) return look_at_mark();
  if (!fence_.is_zero() && ttl.count() != 0 && writing_.empty() && env_.clock.now() - marked_at_ > ttl / 4) put_mark();
}

/// What is written from here on is our own: it need not be read.
void TrackerBucket::begin() {
  if (!leads_ || ready_) return;
  ready_ = true;
  ready_timer_->stop();
  if (current_ && !fence_.is_zero()) watch_.reset();
  tell_timer_->start(0ns);
}

void TrackerBucket::rest() {
  leads_ = ready_ = superseded_ = false;
  on_ready_ = nullptr;
  mark_.clear();
  fence_ = StreamSeq();
  ready_timer_->stop();
  marking_.cancel();
  for (auto& [number, write] : writing_) tracker_.mark_changed(write.first.value);
  writing_.clear();
  expired_.clear();
  if (bucket_ && !watch_) follow();
}

void TrackerBucket::expired(std::string_view value, const TrackedItem& item) {
  if (expired_.size() >= kMaxExpired_count) {
    ++figures_.dropped;
    return;
  }
  expired_.push_back({std::string(value), item, true});
}

void TrackerBucket::tick() {
  tick_timer_->start(kTick);
  share_ = kShare_count;
  keep_mark();
  pump();
}

void TrackerBucket::pump() {
  while (may_write() && share_ > 0 && writing_.size() < most_in_flight_) {
    auto what = next();
    if (!what) break;
    --share_;
    write(*std::move(what));
  }
  if (stopped_ && writing_.empty()) stop_timer_->start(0ns);
}

std::optional<TrackerBucket::Write> TrackerBucket::next() {
  if (!expired_.empty()) {
    Write what = std::move(expired_.front());
    expired_.pop_front();
    // Seen again meanwhile: then that is what is to be known.
    if (tracker_.find(what.value) == nullptr) return what;
  }
  auto changed = tracker_.take_changed();
  if (!changed) return std::nullopt;
  return Write{std::move(changed->first), changed->second, false};
}

void TrackerBucket::write(Write what) {
  const uint64_t number = ++writes_;
  const std::string key = prefix_ + value_token(what.value);
  const std::string text = encode_saved(what.value, what.item, what.expired);
  auto done = [this, number](const Result<StreamSeq>& put) { on_written(number, put ? Status{} : std::unexpected(put.error())); };
  Ticket ticket = is_unfenced_ ? bucket_->put(key, text, std::move(done))
                               : bucket_->put_while(key, text, mark_key(prefix_), fence_, std::move(done));
  writing_.emplace(number, std::pair(std::move(what), std::move(ticket)));
}

void TrackerBucket::on_written(uint64_t number, const Status& status) {
  auto node = writing_.extract(number);
  node.mapped().second.release();
  if (status) {
    ++figures_.written;
    return pump();
  }
  const uint16_t code = status.error().api_code;
  const bool is_refused = code == kWrongLastSequence || code == kFenceInUse;
  if (!is_refused) ++figures_.failed;
  const Write& what = node.mapped().first;
  if (what.expired)
    expired(what.value, what.item);
  else
    tracker_.mark_changed(what.value);
  if (is_refused) on_refused(code);
  // What waits is tried again at the next tick. A bucket that is gone is looked for.
  if (status.error().code == Errc::kNoResponders || status.error().api_code == kStreamNotFound) return lost(status.error().detail);
  if (stopped_ && writing_.empty()) stop_timer_->start(0ns);
}

void TrackerBucket::on_refused(uint16_t api_code) {
  if (api_code == kFenceInUse) {
    most_in_flight_ = 1;
    if (writing_.empty()) pump();
    return;
  }
  ++figures_.refused;
  if (!marking_.active() && !fence_.is_zero()) look_at_mark();
}

void TrackerBucket::stop(std::move_only_function<void()> done) {
  stopped_ = std::move(done);
  tick_timer_->stop();
  open_timer_->stop();
  ready_timer_->stop();
  tell_timer_->stop();
  on_ready_ = nullptr;
  stop_timer_->start(kStopDeadline);
  share_ = SIZE_MAX;
  pump();
}

void TrackerBucket::finish_stop() {
  if (!stopped_) return;
  leads_ = ready_ = false;
  writing_.clear();
  watch_.reset();
  marking_.cancel();
  opening_.cancel();
  open_timer_->stop();
  auto done = std::exchange(stopped_, nullptr);
  done();
}

}  // namespace sluice
