#include "adapters/kafka_sink/sink.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "adapters/kafka/record_form.h"
#include "adapters/stream_ingest.h"
#include "adapters/subject_adapter.h"
#include "base/log.h"
#include "base/time_format.h"
#include "client/stream_reader.h"

namespace sluice {
namespace {

constexpr Logger kLog{"adapters"};
constexpr std::chrono::seconds kStopDeadline{5};
constexpr std::chrono::milliseconds kFirstReopen{250};
constexpr std::chrono::seconds kLastReopen{10};
/// One that was fenced gives way; it is there again when the other one is gone.
constexpr std::chrono::minutes kFencedPause{1};
constexpr std::chrono::seconds kLagEvery{5};
/// Brokers forget positions that nobody renews (offsets.retention.minutes, a week by default).
constexpr std::chrono::hours kRenewEvery{6};

class KafkaSink final : public Adapter {
 public:
  KafkaSink(Env& env, StreamClient& source, KafkaSinkOptions options, KafkaWriterFactory make_writer)
      : env_(env),
        source_(source),
        options_(std::move(options)),
        make_writer_(std::move(make_writer)),
        letters_(env, source, {.adapter = options_.name}),
        open_timer_(env.timers.make([this] { open(); })),
        lag_timer_(env.timers.make([this] { ask_lag(); })),
        renew_timer_(env.timers.make([this] {
          renew_ = true;
          send();
        })),
        stop_timer_(env.timers.make([this] { finish_stop(); })) {
    letters_.on_room([this] { send(); });
  }

  std::string_view name() const override { return options_.name; }
  std::string_view kind() const override { return "kafka_sink"; }

  void start(std::move_only_function<void(Status)> done) override {
    letters_.prepare_dead_letters([](const Status&) {});
    open();
    lag_timer_->start(kLagEvery);
    env_.executor.post([told = std::move(done)]() mutable { told({}); });  // brokers that are away are waited for
  }

  void stop(std::move_only_function<void()> done) override {
    stopping_ = true;
    stop_done_ = std::move(done);
    open_timer_->stop();
    lag_timer_->stop();
    renew_timer_->stop();
    reader_.reset();
    waiting_.clear();
    stop_timer_->start(writing_.empty() ? std::chrono::nanoseconds(0) : std::chrono::nanoseconds(kStopDeadline));
  }

  AdapterHealth health() const override {
    if (stopping_) return AdapterHealth::kStopped;
    if (!trouble_.empty()) return AdapterHealth::kDegraded;
    return reader_ ? AdapterHealth::kRunning : AdapterHealth::kStarting;
  }

  const AdapterFigures& figures() const override {
    figures_.in_flight = waiting_.size() + writing_.size();
    return figures_;
  }

  std::string place() const override {
    return fmt::format("{} at {}", options_.topic, fmt::join(options_.brokers, ","));
  }
  std::string trouble() const override { return trouble_; }

 private:
  struct Held {
    uint64_t seq = 0;
    KafkaOutRecord record;
    size_t bytes = 0;
    std::string payload;  ///< of what became a dead letter
    enum class State : uint8_t { kGood, kBad, kBurying, kBuried } state = State::kGood;
    std::string reason, detail;
  };

  // ---- a session

  void open() {
    auto writer = make_writer_();
    if (!writer) return again(writer.error().detail, kLastReopen);
    writer_ = *std::move(writer);
    writer_->open([this](std::expected<std::optional<KafkaPosition>, KafkaWriteFailure> position) {
      if (stopping_) return;
      if (!position) return on_failure(position.error());
      position_ = *std::move(position);
      call_ = source_.stream_info(options_.stream, [this](Result<StreamFigures> found) {
        call_.release();
        if (!stopping_) on_stream(std::move(found));
      });
    });
  }

  /// The position's note tells which stream it is of: one that was made again begins anew.
  void on_stream(Result<StreamFigures> found) {
    if (!found) return end_session(fmt::format("stream '{}': {}", options_.stream, found.error().detail), kLastReopen);
    note_ = format_rfc3339(found->created);
    next_ = options_.from_start ? 1 : found->last_seq.value() + 1;
    bool store = !position_ && !options_.from_start;
    if (position_) {
      const bool same = position_->note == note_ && static_cast<uint64_t>(position_->next) <= found->last_seq.value() + 1;
      next_ = same ? static_cast<uint64_t>(position_->next) : 1;
      if (!same)
        SLUICE_LOG(kLog, kWarn, "stream was made again, read from its start adapter={} stream={} was_at={}", options_.name,
                   options_.stream, position_->next);
    }
    if (const uint64_t first = found->first_seq.value(); position_ && next_ < first) {
      figures_.lost_at_source += options_.filter_subject.empty() ? first - next_ : 0;
      SLUICE_LOG(kLog, kWarn, "messages were gone before they were read adapter={} stream={} from={} to={}", options_.name,
                 options_.stream, next_, first - 1);
    }
    if (trouble_.empty() || !started_)
      SLUICE_LOG(kLog, kInfo, "started adapter={} type=kafka_sink stream={} topic={} next={}", options_.name, options_.stream,
                 options_.topic, next_);
    started_ = true;
    read_ = next_ - 1;
    limit_ = options_.max_batch;
    renew_ = store;
    renew_timer_->start(kRenewEvery);
    reader_ = std::make_unique<StreamReader>(
        env_, source_,
        ReadPlan{.stream = options_.stream,
                 .filters = options_.filter_subject.empty() ? std::vector<std::string>{} : std::vector<std::string>{options_.filter_subject},
                 .first = StreamSeq(next_),
                 .window_messages = std::min<size_t>(options_.max_batch, 4096),
                 .consumer_prefix = "kafka_" + options_.name,
                 .description = "read by the Kafka sink " + options_.name},
        StreamReader::Events{[this](const ConsumedMessage& message) { on_message(message); },
                             [this](const std::string& why) { end_session(why, kFirstReopen); }});
    reader_->start();
    trouble_.clear();
    send();
  }

  void on_failure(const KafkaWriteFailure& failure) {
    switch (failure.kind) {
      case KafkaWriteFailure::Kind::kRefused:
        // Found by halves: the next session writes fewer.
        if (writing_.size() == 1) bad_seq_ = writing_.front().seq;
        suspects_ = std::max<size_t>(writing_.size() / 2, 1);
        return end_session("refused: " + failure.why, std::chrono::nanoseconds(0));
      case KafkaWriteFailure::Kind::kFenced:
        ++figures_.refused["fenced"];
        SLUICE_LOG(kLog, kError, "another copy writes with our transactional id adapter={} id={}", options_.name, options_.transactional_id);
        return end_session("fenced: another copy writes with transactional id " + options_.transactional_id, kFencedPause);
      case KafkaWriteFailure::Kind::kAgain:
        return end_session(failure.why, std::min<std::chrono::nanoseconds>(kFirstReopen * (1 << std::min(failures_++, 6)), kLastReopen));
    }
  }

  /// Runs inside callbacks of what it ends, so that goes later.
  void end_session(const std::string& why, std::chrono::nanoseconds pause) {
    if (trouble_ != why) SLUICE_LOG(kLog, kWarn, "session ends, begun anew adapter={} why=\"{}\"", options_.name, why);
    trouble_ = why;
    ++session_;
    writing_.clear();
    if (stopping_) return finish_soon();
    env_.executor.post([this, alive = std::weak_ptr<char>(alive_), pause] {
      if (alive.expired()) return;
      reader_.reset();
      waiting_.clear();
      waiting_bytes_ = 0;
      paused_ = false;
      close_writer([this, pause] {
        if (!stopping_) open_timer_->start(pause);
      });
    });
  }

  void close_writer(std::move_only_function<void()> then) {
    if (!writer_) return then();
    if (std::exchange(closing_, true)) return;
    writer_->close([this, go_on = std::move(then)]() mutable {
      closing_ = false;
      auto next = std::move(go_on);
      writer_.reset();
      next();
    });
  }

  void again(const std::string& why, std::chrono::nanoseconds pause) {
    trouble_ = why;
    open_timer_->start(pause);
  }

  // ---- reading

  void on_message(const ConsumedMessage& message) {
    if (stopping_) return;
    read_ = message.stream_seq.value();
    if (message.subject.starts_with(kKafkaPositions)) return;  // a Kafka source's own
    ++figures_.received;
    figures_.received_bytes += message.payload.size();
    Held& held = waiting_.emplace_back();
    held.seq = read_;
    held.bytes = message.payload.size() + message.headers.size();
    auto record = record_of({message.subject, message.headers, message.payload, message.time}, options_.key, options_.events);
    if (record && bad_seq_ != read_) {
      held.record = *std::move(record);
    } else {
      held.state = Held::State::kBad;
      held.reason = record ? "refused" : std::string(record.error().reason);
      held.detail = record ? trouble_of_bad() : record.error().detail;
      held.payload = message.payload;
    }
    waiting_bytes_ += held.bytes;
    if (!paused_ && (waiting_.size() >= options_.max_batch || waiting_bytes_ >= options_.max_batch_bytes)) {
      paused_ = true;
      ++figures_.paused;
      reader_->pause();
    }
    // What came in one round goes into one transaction.
    if (!std::exchange(send_soon_, true))
      env_.executor.post([this, alive = std::weak_ptr<char>(alive_)] {
        if (alive.expired()) return;
        send_soon_ = false;
        send();
      });
  }

  static std::string trouble_of_bad() { return "Kafka takes no record like this one"; }

  // ---- writing

  void send() {
    if (stopping_ || !reader_ || !writer_ || closing_ || !writing_.empty()) return;
    if (waiting_.empty() && !renew_) return;
    const size_t most = suspects_ > 0 ? suspects_ : limit_;
    size_t count = 0, bytes = 0;
    while (count < waiting_.size() && count < most && bytes < options_.max_batch_bytes) bytes += waiting_[count++].bytes;
    if (!bury(count)) return;
    std::vector<KafkaOutRecord> records;
    records.reserve(count);
    for (size_t i = 0; i < count; ++i) {
      Held& held = waiting_.front();
      if (held.state == Held::State::kGood) records.push_back(std::move(held.record));
      waiting_bytes_ -= held.bytes;
      writing_.push_back({.seq = held.seq, .record = {}, .bytes = 0, .payload = {}, .state = held.state, .reason = {}, .detail = {}});
      waiting_.pop_front();
    }
    renew_ = false;
    const uint64_t last = writing_.empty() ? next_ - 1 : writing_.back().seq;
    if (writing_.empty()) writing_.push_back({.seq = last, .record = {}, .bytes = 0, .payload = {}, .state = Held::State::kBuried, .reason = {}, .detail = {}});
    writer_->write(std::move(records), {static_cast<int64_t>(last + 1), note_},
                   [this, session = session_](std::expected<void, KafkaWriteFailure> outcome) {
                     if (session == session_) on_written(std::move(outcome));
                   });
  }

  /// @return whether the first `count` have no letter that is not on disk.
  bool bury(size_t count) {
    bool done = true;
    for (size_t i = 0; i < count; ++i) {
      Held& held = waiting_[i];
      if (held.state == Held::State::kBad) {
        const std::string origin = fmt::format("stream:{}/{}", options_.stream, held.seq);
        const Offer offer = letters_.dead_letter({held.reason, held.detail, origin, held.payload, origin},
                                                 [this, session = session_, seq = held.seq](const Result<PubAck>& kept) {
                                                   if (session != session_ || (!kept && kept.error().code == Errc::kClosed)) return;
                                                   for (Held& one : waiting_)
                                                     if (one.seq == seq) one.state = Held::State::kBuried;
                                                   send();
                                                 });
        if (offer == Offer::kAccepted) {
          held.state = Held::State::kBurying;
          ++figures_.rejected[held.reason];
        }
      }
      done = done && (held.state == Held::State::kGood || held.state == Held::State::kBuried);
    }
    return done;
  }

  void on_written(std::expected<void, KafkaWriteFailure> outcome) {
    if (!outcome) return on_failure(outcome.error());
    failures_ = 0;
    trouble_.clear();
    next_ = writing_.back().seq + 1;
    for (const Held& one : writing_) figures_.accepted += one.state == Held::State::kGood ? 1 : 0;
    if (bad_seq_ < next_) bad_seq_ = 0;
    suspects_ = suspects_ * 2 >= limit_ ? 0 : suspects_ * 2;
    writing_.clear();
    if (stopping_) return finish_soon();
    if (paused_ && waiting_.size() < options_.max_batch / 2 && waiting_bytes_ < options_.max_batch_bytes / 2) {
      paused_ = false;
      reader_->resume();
    }
    send();
  }

  // ---- figures and end

  void ask_lag() {
    lag_timer_->start(kLagEvery);
    lag_call_ = source_.stream_info(options_.stream, [this](Result<StreamFigures> found) {
      lag_call_.release();
      if (!found || !started_) return;
      const uint64_t end = found->last_seq.value() + 1;
      // With a filter the rest of the stream counts too until something that fits is read.
      const uint64_t from = waiting_.empty() && writing_.empty() ? std::max(next_, read_ + 1) : next_;
      figures_.lag_total = end > from ? end - from : 0;
      figures_.lag = {{options_.stream, *figures_.lag_total}};
    });
  }

  void finish_soon() {
    if (stop_timer_->active()) stop_timer_->start(std::chrono::nanoseconds(0));
  }

  void finish_stop() {
    if (std::exchange(finishing_, true)) {
      if (auto done = std::exchange(stop_done_, nullptr)) done();
      return;
    }
    letters_.stop();
    stop_timer_->start(kStopDeadline);
    close_writer([this] {
      stop_timer_->stop();
      if (auto done = std::exchange(stop_done_, nullptr)) done();
    });
  }

  Env& env_;
  StreamClient& source_;
  const KafkaSinkOptions options_;
  KafkaWriterFactory make_writer_;
  mutable AdapterFigures figures_;
  StreamIngest letters_;
  std::string trouble_;
  std::optional<KafkaPosition> position_;  ///< as the session found it
  std::string note_;                       ///< of the stream
  uint64_t next_ = 1;                      ///< first sequence not committed
  uint64_t read_ = 0;
  uint64_t session_ = 0;
  uint64_t bad_seq_ = 0;  ///< a message Kafka refused; 0 = none
  size_t suspects_ = 0;   ///< of so many one is refused; 0 = nobody is suspected
  size_t limit_ = 0;
  int failures_ = 0;
  bool started_ = false;
  bool paused_ = false;
  bool send_soon_ = false;
  bool renew_ = false;
  bool closing_ = false;
  bool stopping_ = false;
  bool finishing_ = false;
  std::deque<Held> waiting_;  ///< max_batch of them, and what was on its way
  size_t waiting_bytes_ = 0;
  std::vector<Held> writing_;  ///< the transaction under way
  std::move_only_function<void()> stop_done_;
  std::unique_ptr<Timer> open_timer_;
  std::unique_ptr<Timer> lag_timer_;
  std::unique_ptr<Timer> renew_timer_;
  std::unique_ptr<Timer> stop_timer_;
  Ticket call_;
  Ticket lag_call_;
  std::unique_ptr<StreamReader> reader_;
  std::unique_ptr<KafkaWriter> writer_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace

Result<std::unique_ptr<Adapter>> make_kafka_sink(Env& env, StreamClient& source, KafkaSinkOptions options,
                                                 KafkaWriterFactory make_writer) {
  if (options.transactional_id.empty()) options.transactional_id = "sluice-" + options.name;
  if (!is_adapter_subject(options.name, false) || options.name.contains('.'))
    return fail(Errc::kInvalidArgument, "the adapter's name must be one subject token");
  if (options.topic.empty()) return fail(Errc::kInvalidArgument, "no topic is named");
  if (!options.filter_subject.empty() && !is_adapter_subject(options.filter_subject, true))
    return fail(Errc::kInvalidArgument, "'" + options.filter_subject + "' is not a subject");
  if (options.max_batch == 0 || options.max_batch_bytes == 0)
    return fail(Errc::kInvalidArgument, "max_batch and max_batch_size must not be 0");
  return std::make_unique<KafkaSink>(env, source, std::move(options), std::move(make_writer));
}

Result<std::unique_ptr<Adapter>> make_kafka_sink(Env& env, StreamClient& source, KafkaSinkOptions options) {
  if (auto good = check_kafka_properties(options, true); !good) return std::unexpected(good.error());
  const KafkaClientOptions kafka = options;
  KafkaWriterOptions writer{options.topic, options.transactional_id.empty() ? "sluice-" + options.name : options.transactional_id, {}};
  writer.group = writer.transactional_id;
  return make_kafka_sink(env, source, std::move(options), [&env, kafka, writer] { return make_kafka_writer(env, kafka, writer); });
}

}  // namespace sluice
