#include "stream/local_stream.h"

#include <limits>
#include <utility>

#include "base/check.h"
#include "base/headers.h"
#include "base/limits.h"
#include "stream/direct_get.h"

namespace sluice {
namespace {

/// Under 40 bytes an id with its index: about 400 MB a stream at most, three quarters of 2^24 slots.
constexpr size_t kMaxDedupIds = 12'000'000;
constexpr std::string_view kTooManyRequests = "NATS/1.0 429 Too Many Requests\r\n\r\n";

/// The block as it is stored: a plain first line, and nothing that only the server may say.
std::string storable_headers(std::string_view block) {
  std::string out(kHeaderPreamble);
  const size_t first_line_end = block.find("\r\n");
  if (first_line_end == std::string_view::npos) return {};
  out += block.substr(first_line_end);
  remove_header(out, "Nats-Request-Info");
  return out;
}

}  // namespace

LocalStream::LocalStream(Parts parts)
    : parts_(std::move(parts)),
      store_(parts_.memory ? *parts_.memory : *parts_.file),
      visible_(store_.state().last_seq),
      ingest_({.config = parts_.config,
               .store = store_,
               .dedup = dedup_,
               .observers = observers_,
               .last_msg_id = last_msg_id_,
               .visible_last = visible_,
               .room_for = [this](uint64_t bytes) {
                 return parts_.owner.room_for(parts_.config.storage, bytes);
               }}),
      dedup_(parts_.config.duplicate_window, parts_.env.random.u64(), kMaxDedupIds),
      republisher_(parts_.bus, parts_.env.random, parts_.config),
      pub_ack_(parts_.config.name, parts_.options.domain),
      atomic_batches_(parts_.env, parts_.options.batches, parts_.owner.batches_open(),
                      [this](std::string_view id, AtomicBatches::Reason reason) { batch_abandoned(id, reason); }),
      fast_batches_(parts_.env, parts_.options.batches, parts_.owner.batches_open()),
      expiry_timer_(parts_.env.timers.make([this] { expire(); })),
      sweep_timer_(parts_.env.timers.make([this] { sweep_uninteresting(); })),
      scan_timer_(parts_.env.timers.make([this] { scan_headers(); })),
      purge_timer_(parts_.env.timers.make([this] { run_purges(); })),
      schedule_timer_(parts_.env.timers.make([this] { fire_schedules(); })),
      positions_timer_(parts_.env.timers.make([this] { save_positions(); })) {
  compile_transform();
  note_rewriting();
  recover();
  newest_stamp_ = store_.state().last_time;
}

LocalStream::~LocalStream() = default;

void LocalStream::open() {
  tell_resized();
  tell_traits();
  subscribe();
  trim_totals();
  arm_expiry_timer();
}

void LocalStream::close() {
  closed_ = true;
  subscriptions_.clear();
  retire_direct_get();
  expiry_timer_->stop();
  sweep_timer_->stop();
  positions_timer_->stop();
  reporter_ = nullptr;
  scan_timer_->stop();
  purge_timer_->stop();
  schedule_timer_->stop();
  atomic_batches_.forget_all();
  fast_batches_.forget_all();
  answers_.clear();
  republisher_.clear();
  observers_.each([](StreamObserver& o) { o.on_stream_deleted(); });
  fail_purges(Error{Errc::kClosed, 10059, {}});
}

void LocalStream::tell_traits() {
  StreamTraits traits{.compress = parts_.config.compression == Compression::kS2, .id_window = parts_.config.duplicate_window};
  if (parts_.config.persist_mode == PersistMode::kAsync) traits.sync = SyncMode::kInterval;
  store_.set_traits(traits);
}

void LocalStream::subscribe() {
  subscriptions_.clear();
  for (const std::string& subject : parts_.config.subjects)
    subscriptions_.push_back(
        parts_.bus.subscribe_traced(subject, [this](const Message& m, const Origin& origin) {
          if (origin.trace != nullptr) [[unlikely]] return take_traced(m, *origin.trace);
          take(m, nullptr);
        }));
  retire_direct_get();
  if (const std::vector<std::string> names = directly_read_names(); !names.empty())
    direct_get_ = std::make_unique<DirectGet>(parts_.env, parts_.bus, *this, names, parts_.options);
}

/// It may be answering right now, so it is destroyed in a later callback.
void LocalStream::retire_direct_get() {
  if (!direct_get_) return;
  direct_get_->stop();
  parts_.env.executor.post([old = std::shared_ptr<DirectGet>(std::move(direct_get_))] {});
}

void LocalStream::reconfigure(StreamConfig config) {
  const StreamConfig was = std::exchange(parts_.config, std::move(config));
  if (was.duplicate_window != parts_.config.duplicate_window)
    dedup_.set_window(parts_.config.duplicate_window, parts_.env.clock.wall());
  if (was.subjects != parts_.config.subjects || was.allow_direct != parts_.config.allow_direct ||
      was.mirror != parts_.config.mirror || was.mirror_direct != parts_.config.mirror_direct)
    subscribe();
  if (!parts_.config.allow_atomic) atomic_batches_.forget_all();
  if (!parts_.config.allow_batched) fast_batches_.forget_all();
  if (was.compression != parts_.config.compression || was.duplicate_window != parts_.config.duplicate_window) tell_traits();
  compile_transform();
  republisher_.reconfigure();
  note_rewriting();
  newest_stamp_ = std::max(newest_stamp_, store_.state().last_time);  // a mirror's come from its origin
  trim_after_update(was);
  if (sweep_timer_->active()) sweep_uninteresting();  // the reply already shows its first slice
}

// -- the way in

void LocalStream::compile_transform() {
  transform_.reset();
  if (!parts_.config.subject_transform) return;
  auto made = SubjectTransform::make(parts_.config.subject_transform->source,
                                     parts_.config.subject_transform->destination);
  SLUICE_CHECK(made);  // the configuration was checked
  if (!made->keeps_subject()) transform_ = *std::move(made);
}

/// What was held for republishing still goes out when that is switched off.
void LocalStream::note_rewriting() {
  if (transform_ || republisher_.enabled()) plain_ = false;
}

void LocalStream::offer(const Message& message, OfferDone done) {
  if (closed_) {
    done(pub_ack_.refused(Error{Errc::kClosed, 10059, {}}));
    return;
  }
  take(message, std::move(done));
}

Message LocalStream::transformed(const Message& message, std::string& mapped) {
  Message out = message;
  if (!plain_ && transform_ && transform_->map(message.subject,
                                    transform_->uses_random() ? parts_.env.random.u64() : 0, mapped))
    out.subject = mapped;
  return out;
}

void LocalStream::prefetch_publish() const {
  const auto fetch = [](const void* from, const void* to) {
    constexpr uintptr_t kLine = 64;
    const auto end = reinterpret_cast<uintptr_t>(to);
    for (auto at = reinterpret_cast<uintptr_t>(from) & ~(kLine - 1); at < end; at += kLine)
      __builtin_prefetch(reinterpret_cast<const void*>(at), 1);
  };
  const StreamConfig& c = parts_.config;
  fetch(&counters_.stored, &dedup_);
  fetch(pub_ack_.hot(), answers_.cold());
  fetch(&c.retention, &c.duplicate_window);
  fetch(&c.sealed, &c.persist_mode + 1);
}

void LocalStream::prefetch_settle() const {
  answers_.prefetch_pop();
  pub_ack_.prefetch();
}

void LocalStream::take(const Message& message, OfferDone done) {
  store_.prefetch_append();
  prefetch_publish();
  answers_.prefetch_push();
  if (closed_) return;
  if (answers_.count() >= parts_.options.max_buffered_msgs ||
      answers_.message_bytes() >= parts_.options.max_buffered_bytes) {
    refuse_overflow(message, std::move(done));
    return;
  }
  std::optional<PublishHeaders> parsed;
  const PublishHeaders& headers =
      message.headers.empty() ? kNoPublishHeaders : parsed.emplace(parse_publish_headers(message.headers));
  std::string mapped;
  Message stored = transformed(message, mapped);
  if (headers.needs_rewrite) {
    headers_ = storable_headers(message.headers);
    stored.headers = headers_;
  }
  if (is_fast_reply(message.reply)) [[unlikely]]
    return take_fast(stored, headers);
  if (!headers.batch_id.empty()) [[unlikely]]
    return take_staged(stored, headers, std::move(done));
  const WallNanos now = stamp();
  const Verdict verdict = ingest_.judge({.message = stored, .headers = headers, .now = now});
  if (trace_ != nullptr) [[unlikely]] trace_verdict(verdict, stored, headers);
  act(verdict, stored, headers.msg_id, now, std::move(done));
}

/// Stamps never fall, though the wall clock may: reading by time searches them.
WallNanos LocalStream::stamp() {
  newest_stamp_ = std::max(newest_stamp_, parts_.env.clock.wall());
  return newest_stamp_;
}

bool LocalStream::take_own(const Message& message) {
  if (closed_) return false;
  const PublishHeaders headers = parse_publish_headers(message.headers);
  const WallNanos now = stamp();
  const Verdict verdict =
      ingest_.judge({.message = message, .headers = headers, .now = now, .writer = Writer::kServer});
  act(verdict, message, headers.msg_id, now, nullptr);
  return verdict.kind != Verdict::Kind::kRefuse;
}

void LocalStream::act(const Verdict& verdict, const Message& message, std::string_view msg_id,
                      WallNanos now, OfferDone done) {
  switch (verdict.kind) {
    case Verdict::Kind::kStore: {
      Message stored = message;
      if (verdict.rewritten) {
        stored.headers = verdict.rewritten->headers;
        if (verdict.rewritten->payload) stored.payload = *verdict.rewritten->payload;
      }
      store_message(verdict, stored, msg_id, now, std::move(done));
      return;
    }
    case Verdict::Kind::kSkip:
      skip_message(verdict, message, msg_id, now, std::move(done));
      return;
    case Verdict::Kind::kDuplicate:
      ++counters_.duplicates;
      enqueue({.commit = store_.last_commit(), .seq = verdict.seq, .kind = AckQueue::Kind::kDuplicate},
              answered_reply(message), std::move(done));
      return;
    case Verdict::Kind::kRefuse:
      refuse(message, verdict.why, std::move(done));
      return;
  }
}

/// Republished messages name the one before them on their subject.
StreamSeq LocalStream::previous_on(std::string_view subject) {
  if (plain_ || !republisher_.enabled()) return {};
  const auto before = store_.subject_state(subject);
  return before ? before->last : StreamSeq();
}

void LocalStream::store_message(const Verdict& verdict, const Message& message,
                                std::string_view msg_id, WallNanos now, OfferDone done) {
  const StreamSeq previous = previous_on(message.subject);
  const StreamSeq seq = store_.append({.subject = message.subject,
                                       .headers = message.headers,
                                       .payload = message.payload,
                                       .time = now,
                                       .msg_id = msg_id});
  note_stored(verdict, message, msg_id, now, seq, previous);
  tell_resized();
  if (verdict.rollup != Rollup::kNone) roll_up(verdict.rollup, message.subject, seq);
  if (parts_.config.max_msgs_per_subject > 0) trim_subject(message.subject);
  trim_totals();
  if (parts_.config.max_age.count() > 0 && !expiry_timer_->active()) arm_expiry_timer();
  AckQueue::Entry entry{.commit = store_.last_commit(),
                        .seq = seq,
                        .message_bytes = static_cast<uint32_t>(
                            message.subject.size() + message.headers.size() + message.payload.size())};
  if (verdict.rewritten && !verdict.rewritten->sum.empty()) {
    entry.kind = AckQueue::Kind::kText;
    return enqueue(entry, answered_reply(message), std::move(done),
                   pub_ack_.counted(seq, verdict.rewritten->sum));
  }
  enqueue(entry, answered_reply(message), std::move(done));
}

void LocalStream::note_stored(const Verdict& verdict, const Message& message, std::string_view msg_id,
                              WallNanos now, StreamSeq seq, StreamSeq previous) {
  ++counters_.stored;
  last_msg_id_ = msg_id;
  if (!msg_id.empty()) dedup_.insert(msg_id, seq, now);
  if (seq.is_zero()) return;  // the store has failed: nothing was taken
  if (verdict.ttl)
    if (const auto due = ttl_.insert(seq, now, *verdict.ttl)) wake_at(*due);
  if (!plain_ && republisher_.enabled()) republisher_.hold(message, seq, previous, now);
  if (parts_.config.allow_msg_schedules && !message.headers.empty()) {
    note_schedule(message.subject, message.headers, seq, now);
    arm_schedule_timer();
  }
}

void LocalStream::skip_message(const Verdict& verdict, const Message& message,
                               std::string_view msg_id, WallNanos now, OfferDone done) {
  const StreamSeq seq = store_.skip(now, msg_id);
  ++counters_.skipped;
  last_msg_id_ = msg_id;
  if (!msg_id.empty()) dedup_.insert(msg_id, seq, now);
  if (verdict.rollup != Rollup::kNone) roll_up(verdict.rollup, message.subject, seq);
  enqueue({.commit = store_.last_commit(), .seq = seq}, answered_reply(message), std::move(done));
}

/// The reply subject when this publish gets an answer there at all.
std::string_view LocalStream::answered_reply(const Message& message) const {
  return parts_.config.no_ack ? std::string_view() : message.reply;
}

void LocalStream::refuse(const Message& message, const Error& why, OfferDone done) {
  ++counters_.refused;
  if (trace_ != nullptr) [[unlikely]] trace_refusal(why, {}, parse_publish_headers(message.headers));
  const std::string_view reply = answered_reply(message);
  if (reply.empty() && done == nullptr) return;
  // After a failure of the disk the queue stands still for good.
  if (parts_.store != nullptr && parts_.store->failed())
    return answer_past_queue(reply, "", pub_ack_.refused(why), std::move(done));
  enqueue({.commit = store_.last_commit(), .kind = AckQueue::Kind::kText}, reply,
          std::move(done), pub_ack_.refused(why));
}

/// The queue is full, so this one answer does not stand in it.
void LocalStream::refuse_overflow(const Message& message, OfferDone done) {
  ++counters_.overflowed;
  if (trace_ != nullptr) [[unlikely]] trace_refusal(Error{Errc::kFull, 10167, {}}, {}, {});
  answer_past_queue(answered_reply(message), kTooManyRequests,
                    pub_ack_.refused(Error{Errc::kFull, 10167, {}}), std::move(done));
}

void LocalStream::answer_past_queue(std::string_view reply, std::string_view headers,
                                    const std::string& body, OfferDone done) {
  if (done != nullptr) done(body);
  if (!reply.empty()) reply_to(reply, headers, body);
}

void LocalStream::enqueue(AckQueue::Entry entry, std::string_view reply, OfferDone done,
                          std::string text) {
  if (parts_.config.persist_mode == PersistMode::kAsync) [[unlikely]] {
    if (answer_early(entry, reply, done, text)) return;
    reply = {};
  }
  const bool first = answers_.empty();
  answers_.push(entry, reply, std::move(done), std::move(text));
  if (!first || settling_) return;
  // A refusal or a duplicate that waits for nothing is answered at once.
  const bool durable = parts_.store != nullptr && entry.kind != AckQueue::Kind::kStored &&
                       parts_.store->durable() >= entry.commit;
  if (!durable || settle(parts_.store->durable())) parts_.owner.settle_later(*this);
}

/// Answers before the disk has it; what readers see still waits in the queue.
/// @return true when nothing is left that must wait
bool LocalStream::answer_early(AckQueue::Entry entry, std::string_view reply, OfferDone& done,
                               std::string& text) {
  if (!reply.empty() || done != nullptr) {
    const std::string body = body_of(entry, std::exchange(text, {}));
    answer_past_queue(reply, "", body, std::exchange(done, nullptr));
  }
  return closed_ || entry.kind == AckQueue::Kind::kDuplicate || entry.seq.is_zero();
}

std::string LocalStream::body_of(const AckQueue::Entry& entry, std::string text) {
  switch (entry.kind) {
    case AckQueue::Kind::kStored: return std::string(pub_ack_.stored(entry.seq));
    case AckQueue::Kind::kDuplicate: return std::string(pub_ack_.duplicate(entry.seq));
    case AckQueue::Kind::kText: return text;
  }
  return text;
}

void LocalStream::tell_resized() {
  if (std::exchange(resized_, true)) return;
  parts_.owner.resized(*this);
}

int64_t LocalStream::recount() {
  resized_ = false;
  const uint64_t before = std::exchange(counted_bytes_, store_.state().bytes);
  return static_cast<int64_t>(counted_bytes_ - before);
}

void LocalStream::advance_to(StreamSeq last) {
  if (last > visible_) enqueue({.commit = store_.last_commit(), .seq = last}, "", nullptr);
}

bool LocalStream::settle(CommitNo durable) {
  if (closed_ || settling_) return false;
  settling_ = true;
  StreamSeq risen = visible_;
  size_t ready = 0;
  for (const AckQueue::Entry& entry : answers_.entries()) {
    if (entry.commit > durable) break;
    ++ready;
    if (entry.kind != AckQueue::Kind::kDuplicate && entry.seq > risen) risen = entry.seq;
  }
  const bool rose = risen > visible_;
  SLUICE_CHECK(risen <= store_.state().last_seq);
  visible_ = risen;
  // Both may run handlers in this process that publish again or delete this stream.
  if (!plain_) republisher_.release(visible_);
  for (; ready > 0 && !closed_; --ready) {
    answers_.pop(answer_);
    send(answer_);
  }
  settling_ = false;
  if (closed_) return false;
  if (rose) observers_.each([risen](StreamObserver& o) { o.on_visible(risen); });
  return !closed_ && !answers_.empty();
}

void LocalStream::send(AckQueue::Answer& answer) {
  if (answer.reply.empty() && answer.done == nullptr) return;
  std::string_view body;
  switch (answer.entry.kind) {
    case AckQueue::Kind::kStored: body = pub_ack_.stored(answer.entry.seq); break;
    case AckQueue::Kind::kDuplicate: body = pub_ack_.duplicate(answer.entry.seq); break;
    case AckQueue::Kind::kText: body = answer.text; break;
  }
  if (answer.done != nullptr) {
    // The caller may offer again, which formats into the same text.
    const std::string kept(body);
    std::exchange(answer.done, nullptr)(kept);
    if (!answer.reply.empty()) reply_to(answer.reply, "", kept);
    return;
  }
  reply_to(answer.reply, "", body);
}

void LocalStream::reply_to(std::string_view reply, std::string_view headers,
                           std::string_view body) {
  parts_.bus.publish({.subject = reply, .reply = "", .headers = headers, .payload = body});
}

void LocalStream::when_durable(std::move_only_function<void()> done) {
  if (parts_.store == nullptr)
    done();
  else
    parts_.store->when_durable(store_.last_commit(), std::move(done));
}

void LocalStream::collect(MetricSink& sink) const {
  const MetricLabels labels{{"stream", parts_.config.name}};
  const StreamState state = store_.state();
  auto count = [&](std::string_view name, std::string_view help, uint64_t value) {
    sink.counter(name, help, labels, static_cast<double>(value));
  };
  auto gauge = [&](std::string_view name, std::string_view help, uint64_t value) {
    sink.gauge(name, help, labels, static_cast<double>(value));
  };
  gauge("sluice_stream_messages", "Messages in the stream.", state.messages);
  gauge("sluice_stream_bytes", "Bytes of the stream by the API's record sizes.", state.bytes);
  gauge("sluice_stream_last_sequence", "Newest visible sequence.", visible_.value());
  gauge("sluice_stream_waiting_answers", "Publishes not yet durable.", answers_.count());
  gauge("sluice_stream_ttl_messages", "Messages with a TTL of their own.", ttl_.size());
  gauge("sluice_stream_dedup_ids", "Message ids in the duplicate window.", dedup_.size());
  count("sluice_stream_stored_total", "Messages stored.", counters_.stored);
  count("sluice_stream_duplicates_total", "Publishes answered as duplicates.",
        counters_.duplicates);
  count("sluice_stream_refused_total", "Publishes refused.", counters_.refused);
  count("sluice_stream_overflowed_total", "Publishes refused because too many were waiting.",
        counters_.overflowed);
  count("sluice_stream_skipped_total", "Publishes without interest.", counters_.skipped);
  count("sluice_stream_expired_total", "Messages removed by their own TTL.", counters_.expired);
  count("sluice_stream_delete_markers_total", "Delete markers left behind by expired messages.",
        counters_.markers);
  count("sluice_stream_batches_total", "Atomic batches committed.", counters_.batches);
  count("sluice_stream_batches_abandoned_total", "Atomic batches given up before their commit.",
        counters_.abandoned);
  gauge("sluice_stream_schedules", "Schedules that stand in the stream.", schedules_.size());
  count("sluice_stream_scheduled_total", "Messages produced by schedules.", counters_.scheduled);
  gauge("sluice_stream_atomic_batches", "Atomic batches under way.", atomic_batches_.size());
  gauge("sluice_stream_fast_batches", "Fast ingest batches under way.", fast_batches_.size());
  count("sluice_stream_republished_total", "Messages published again on other subjects.",
        republisher_.republished());
  count("sluice_stream_republish_loops_total",
        "Messages not republished, because the stream would have taken them in again.",
        republisher_.looped());
  count("sluice_stream_dedup_forgotten_total", "Message ids forgotten before their time.",
        dedup_.forgotten_early());
}

}  // namespace sluice
