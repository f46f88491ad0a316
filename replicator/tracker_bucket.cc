#include "replicator/tracker_bucket.h"

#include <fmt/format.h>

#include <utility>

#include "base/base64.h"
#include "base/nuid.h"
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
  open_timer_->start(kReopen);
}

void TrackerBucket::follow() {
  current_ = false;
  watch_ = bucket_->watch({.filters = {prefix_ + ">"}},
                          {.on_entry = [this](const KvEntry& entry) { on_entry(entry); },
                           .on_current = [this] { on_current(); },
                           .on_trouble = [this](const Error& why) { lost(why.detail); }});
}

void TrackerBucket::on_entry(const KvEntry& entry) {
  if (entry.operation != KvOperation::kPut) return;
  if (entry.key == prefix_ + std::string(kMarkKey)) {
    if (leads_ && !mark_.empty() && entry.value == mark_) begin();
    return;
  }
  ++figures_.read;
  if (!decode_saved(entry.value, tracker_)) ++figures_.bad;
}

void TrackerBucket::on_current() {
  current_ = true;
  if (!leads_) return;
  if (ready_) return watch_.reset();
  put_mark();
}

void TrackerBucket::lead(std::move_only_function<void()> on_ready) {
  leads_ = true;
  ready_ = false;
  on_ready_ = std::move(on_ready);
  ready_timer_->start(kPatience);
  if (current_) put_mark();
}

void TrackerBucket::put_mark() {
  mark_ = random_base62(12, env_.random);
  marking_ = bucket_->put(prefix_ + std::string(kMarkKey), mark_, [this](const Result<StreamSeq>& put) {
    if (!put) lost(put.error().detail);
  });
}

/// What is written from here on is our own: it need not be read.
void TrackerBucket::begin() {
  if (!leads_ || ready_) return;
  ready_ = true;
  ready_timer_->stop();
  if (current_) watch_.reset();
  tell_timer_->start(0ns);
}

void TrackerBucket::rest() {
  leads_ = ready_ = false;
  on_ready_ = nullptr;
  mark_.clear();
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
  pump();
}

void TrackerBucket::pump() {
  while (bucket_ && ready() && share_ > 0 && writing_.size() < kInFlight_count) {
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
  Ticket ticket = bucket_->put(key, text, [this, number](const Result<StreamSeq>& put) {
    on_written(number, put ? Status{} : std::unexpected(put.error()));
  });
  writing_.emplace(number, std::pair(std::move(what), std::move(ticket)));
}

void TrackerBucket::on_written(uint64_t number, const Status& status) {
  auto node = writing_.extract(number);
  node.mapped().second.release();
  if (status) {
    ++figures_.written;
    return pump();
  }
  ++figures_.failed;
  const Write& what = node.mapped().first;
  if (what.expired)
    expired(what.value, what.item);
  else
    tracker_.mark_changed(what.value);
  // What waits is tried again at the next tick. A bucket that is gone is looked for.
  if (status.error().code == Errc::kNoResponders || status.error().api_code == kStreamNotFound) return lost(status.error().detail);
  if (stopped_ && writing_.empty()) stop_timer_->start(0ns);
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
