#include "adapters/kafka_source/adapter.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "adapters/kafka/record_form.h"
#include "adapters/kafka_source/partition_book.h"
#include "adapters/kafka_source/positioned_writer.h"
#include "adapters/stream_ingest.h"
#include "adapters/subject_adapter.h"
#include "base/log.h"

namespace sluice {
namespace {

constexpr Logger kLog{"adapters"};
constexpr std::chrono::seconds kStopDeadline{5};
constexpr std::chrono::seconds kLookSoon{1};
constexpr std::chrono::milliseconds kFirstReopen{250};
constexpr std::chrono::seconds kLastReopen{10};
constexpr size_t kBatch_bytes = 4 * kMiB;
constexpr size_t kReadAtOnce_count = 250;
/// What a batch adds to the headers of a message.
constexpr size_t kBatchHeaders_bytes = 120;

StreamSpec stream_spec(const KafkaSourceOptions& options) {
  StreamSpec spec;
  spec.name = options.stream;
  spec.description = "Records of Kafka, taken by " + options.name;
  spec.max_bytes = options.max_bytes;
  spec.max_age = options.max_age;
  spec.memory = options.memory;
  return spec;
}

class KafkaSource final : public Adapter {
 public:
  KafkaSource(Env& env, StreamClient& target, KafkaSourceOptions options, SubjectTemplate subject, KafkaReaderFactory make_reader)
      : env_(env),
        options_(std::move(options)),
        subject_(std::move(subject)),
        make_reader_(std::move(make_reader)),
        letters_(env, target, {.adapter = options_.name, .max_in_flight_count = options_.max_in_flight}),
        book_({options_.topics, options_.from_start, options_.restart_recreated, options_.pass_expired}),
        look_timer_(env.timers.make([this] { look(); })),
        open_timer_(env.timers.make([this] { open(); })),
        stop_timer_(env.timers.make([this] { finish_stop(); })),
        writer_(env, target, letters_, options_.name,
                {.on_stored = [this](const PlacedMessage& one) { settled(one, true); },
                 .on_buried = [this](const PlacedMessage& one) { settled(one, false); },
                 .on_settled = [this] { on_settled(); },
                 .on_room = [this] { on_room(); },
                 .on_lost = [this](const std::string& why) { on_lost(why); }}) {
    letters_.on_room([this] { offer_letters(); });
  }

  std::string_view name() const override { return options_.name; }
  std::string_view kind() const override { return "kafka_source"; }

  void start(std::move_only_function<void(Status)> done) override {
    auto reader = make_reader_();
    if (!reader) {
      failed_ = true;
      return env_.executor.post([told = std::move(done), why = reader.error()]() mutable { told(std::unexpected(why)); });
    }
    reader_ = *std::move(reader);
    reader_->on_readable([this] { pump(); });
    reader_->on_changed([this] {
      if (reader_->take_missing()) book_.doubt();
      look_soon();
    });
    start_done_ = std::move(done);
    open();
  }

  void stop(std::move_only_function<void()> done) override {
    stopping_ = true;
    stop_done_ = std::move(done);
    look_timer_->stop();
    open_timer_->stop();
    in_flight_letters_ = 0;
    building_.clear();
    stop_timer_->start(writer_.busy() ? std::chrono::nanoseconds(kStopDeadline) : std::chrono::nanoseconds(0));
  }

  AdapterHealth health() const override {
    if (stopping_ || failed_) return AdapterHealth::kStopped;
    if (!looked_once_ && trouble_.empty()) return AdapterHealth::kStarting;
    return trouble().empty() && reading_ ? AdapterHealth::kRunning : AdapterHealth::kDegraded;
  }

  const AdapterFigures& figures() const override {
    figures_.in_flight = building_.size() + writer_.in_flight();
    figures_.lag.clear();
    if (!opened_once_ || !reader_) return figures_;
    std::vector<PartitionBook::Lag> lags = book_.lags(*reader_);
    std::ranges::sort(lags, std::ranges::greater(), &PartitionBook::Lag::records);
    figures_.lag_total = 0;
    for (const auto& [partition, records] : lags) {
      *figures_.lag_total += records;
      if (figures_.lag.size() < kMaxLags_count) figures_.lag[fmt::format("{}/{}", partition.topic, partition.number)] = records;
    }
    return figures_;
  }

  std::string place() const override {
    return fmt::format("{} from {}", fmt::join(options_.topics, ","), fmt::join(options_.brokers, ","));
  }

  std::string trouble() const override {
    for (const std::string& why : {trouble_, reader_ ? reader_->trouble() : "", writer_.trouble(), book_.trouble()})
      if (!why.empty()) return why;
    return {};
  }

 private:
  // ---- beginning

  void open() {
    opened_ = reading_ = false;
    std::vector<std::string> filters;
    for (const std::string& topic : options_.topics)
      if (std::string filter = subject_.filter(topic); std::ranges::find(filters, filter) == filters.end())
        filters.push_back(std::move(filter));
    writer_.open(stream_spec(options_), std::move(filters), [this](Status outcome) { on_open(std::move(outcome)); });
  }

  void on_open(Status outcome) {
    if (stopping_) return;
    if (!outcome) {
      trouble_ = outcome.error().detail;
      SLUICE_LOG(kLog, kWarn, "stream not ready adapter={} why=\"{}\"", options_.name, trouble_);
      if (start_done_ && !may_pass(outcome.error())) {
        failed_ = true;
        return std::exchange(start_done_, nullptr)(std::move(outcome));
      }
      const auto delay = std::min<std::chrono::nanoseconds>(kFirstReopen * (1 << std::min(failures_++, 6)), kLastReopen);
      open_timer_->start(delay);
      if (auto told = std::exchange(start_done_, nullptr)) told({});
      return;
    }
    failures_ = 0;
    trouble_.clear();
    opened_ = true;
    book_.load(writer_.positions());
    look();
    if (!std::exchange(letters_ready_, true)) letters_.prepare_dead_letters([](const Status&) {});
    if (auto told = std::exchange(start_done_, nullptr)) told({});
  }

  // ---- partitions

  void look_soon() {
    if (opened_ && !looking_ && !stopping_ && !std::exchange(look_is_soon_, true)) look_timer_->start(kLookSoon);
  }

  void look_later(std::chrono::nanoseconds when) {
    if (!look_is_soon_) look_timer_->start(when);
  }

  void look() {
    if (!opened_ || looking_ || stopping_) return;
    looking_ = true;
    look_is_soon_ = false;
    book_.note_look();
    reader_->look(options_.topics, [this](Result<KafkaReader::Bounds> found) {
      looking_ = false;
      looked_once_ = true;
      if (stopping_) return;
      if (!found || !opened_) return look_timer_->start(kLookSoon);
      trouble_.clear();
      if (opened_once_ && reading_ && !book_.is_news(*found)) return look_later(options_.refresh);
      news_ = *std::move(found);
      settle_news();
    });
  }

  /// Only between two batches, when what is read is stored.
  void settle_news() {
    if (!news_ || writer_.busy() || !building_.empty()) return send();
    const PartitionBook::Verdict verdict = book_.settle(*std::exchange(news_, std::nullopt));
    for (const std::string& note : verdict.notes) SLUICE_LOG(kLog, kWarn, "{} adapter={}", note, options_.name);
    figures_.lost_at_source += verdict.expired;
    const bool waits = verdict.again || !book_.trouble().empty();
    look_later(waits ? std::chrono::nanoseconds(kLookSoon) : options_.refresh);
    if (verdict.moved) {
      assign_next_ = true;
      return writer_.place(book_.positions());
    }
    if (verdict.assign || !reading_) assign();
    pump();
  }

  void assign() {
    assign_next_ = false;
    if (!opened_once_)
      SLUICE_LOG(kLog, kInfo, "started adapter={} type=kafka_source topics={} stream={}", options_.name,
                 fmt::join(options_.topics, ","), options_.stream);
    opened_once_ = reading_ = true;
    reader_->assign(book_.assignment());
  }

  // ---- reading

  size_t room() const {
    if (!reading_ || news_ || assign_next_ || stopping_ || building_bytes_ >= kBatch_bytes) return 0;
    const size_t held = building_.size() + writer_.in_flight();
    if (held >= options_.max_in_flight) return 0;
    return std::min(options_.max_in_flight - held, PositionedWriter::max_count() - std::min(building_.size(), PositionedWriter::max_count()));
  }

  void pump() {
    if (pumping_) return;
    const size_t free = room();
    if (free == 0) {
      // Nobody reads: librdkafka's queue fills up, and it fetches no more.
      const bool full = building_.size() + writer_.in_flight() > 0;
      if (reading_ && !stopping_ && full && !std::exchange(paused_, true)) ++figures_.paused;
      return;
    }
    pumping_ = true;
    const size_t got = reader_->read(std::min(free, kReadAtOnce_count), [this](const KafkaRecord& record) { take(record); });
    pumping_ = false;
    send();
    if (got == 0) return;
    env_.executor.post([this, alive = std::weak_ptr<char>(alive_)] {
      if (!alive.expired()) pump();
    });
  }

  void take(const KafkaRecord& record) {
    switch (book_.take(record)) {
      case PartitionBook::Taken::kIgnored:
      case PartitionBook::Taken::kKnown:
        return;
      case PartitionBook::Taken::kForeign:
        look_timer_->start(std::chrono::nanoseconds(0));
        return;
      case PartitionBook::Taken::kRepeated:
        ++figures_.duplicates;
        return;
      case PartitionBook::Taken::kNew:
        break;
    }
    const std::string_view value = record.value.value_or("");
    ++figures_.received;
    figures_.received_bytes += value.size();
    PlacedMessage& placed = building_.emplace_back();
    placed.partition = book_.last_partition();
    placed.position = book_.last_position();
    auto message = message_of(record, subject_, options_.events);
    if (!message) return reject(record, message.error());
    const size_t size = message->headers.size() + message->payload.size();
    if (size + kBatchHeaders_bytes > options_.max_message_bytes)
      return reject(record, {"too_large", fmt::format("{} bytes with its headers, at most {}", size, options_.max_message_bytes)});
    building_bytes_ += size;
    placed.message = {std::move(message->subject), std::move(message->headers), std::move(message->payload)};
  }

  // ---- dead letters: on disk before the position passes them

  struct Letter {
    std::string reason, detail, origin, bytes;
  };

  void reject(const KafkaRecord& record, const EventFault& fault) {
    building_.back().is_stored = false;
    ++figures_.rejected[std::string(fault.reason)];
    waiting_letters_.push_back({std::string(fault.reason), fault.detail,
                                fmt::format("kafka:{}/{}/{}", record.topic, record.partition, record.offset),
                                std::string(record.value.value_or(""))});
    building_bytes_ += waiting_letters_.back().bytes.size();
    ++in_flight_letters_;
  }

  void offer_letters() {
    while (!waiting_letters_.empty() && !stopping_) {
      const Letter& letter = waiting_letters_.front();
      const Offer offer = letters_.dead_letter(
          {letter.reason, letter.detail, letter.origin, letter.bytes, letter.origin}, [this, turn = turn_](const Result<PubAck>& kept) {
            if (stopping_ || turn != turn_ || (!kept && kept.error().code == Errc::kClosed)) return;
            --in_flight_letters_;
            send();
          });
      if (offer == Offer::kFull) return;
      waiting_letters_.pop_front();
    }
  }

  // ---- storing

  void send() {
    offer_letters();
    if (stopping_ || !opened_ || building_.empty() || in_flight_letters_ != 0) return;
    // Behind one that is under way goes what is whole; the rest may still grow.
    const bool whole = building_.size() >= PositionedWriter::max_count() || building_bytes_ >= kBatch_bytes;
    if (writer_.busy() && !(whole && writer_.takes())) return;
    building_bytes_ = 0;
    writer_.write(std::exchange(building_, {}));
  }

  void settled(const PlacedMessage& one, bool stored) {
    book_.stored(one.partition, one.position);
    figures_.accepted += stored ? 1 : 0;
    if (!stored && !one.message.subject.empty()) ++figures_.rejected["refused"];
  }

  void on_settled() {
    paused_ = false;
    if (stopping_) {
      if (stop_timer_->active()) stop_timer_->start(std::chrono::nanoseconds(0));
      return;
    }
    if (assign_next_) assign();
    send();
    if (news_) settle_news();
    pump();
  }

  void on_room() {
    paused_ = false;
    if (stopping_) return;
    send();
    pump();
  }

  /// What was read and not stored is read again, from the position that is there.
  void on_lost(const std::string& why) {
    SLUICE_LOG(kLog, kError, "batch not stored, begun anew adapter={} why=\"{}\"", options_.name, why);
    ++figures_.refused["position_lost"];
    trouble_ = why;
    building_.clear();
    building_bytes_ = 0;
    waiting_letters_.clear();
    in_flight_letters_ = 0;
    ++turn_;
    news_.reset();
    assign_next_ = opened_ = reading_ = false;
    open_timer_->start(kLookSoon);
  }

  void finish_stop() {
    if (const size_t left = writer_.in_flight(); left != 0)
      SLUICE_LOG(kLog, kWarn, "stopped with records under way, they are read again adapter={} count={}", options_.name, left);
    writer_.stop();
    letters_.stop();
    if (!reader_ || closing_) {
      if (auto done = std::exchange(stop_done_, nullptr)) done();
      return;
    }
    closing_ = true;
    stop_timer_->start(kStopDeadline);
    reader_->close([this] {
      stop_timer_->stop();
      if (auto done = std::exchange(stop_done_, nullptr)) done();
    });
  }

  Env& env_;
  const KafkaSourceOptions options_;
  const SubjectTemplate subject_;
  KafkaReaderFactory make_reader_;
  mutable AdapterFigures figures_;
  StreamIngest letters_;
  PartitionBook book_;
  std::string trouble_;
  int failures_ = 0;
  bool letters_ready_ = false;
  bool opened_ = false;       ///< the position is read
  bool opened_once_ = false;
  bool reading_ = false;      ///< partitions are assigned
  bool looking_ = false;
  bool looked_once_ = false;
  bool look_is_soon_ = false;
  bool assign_next_ = false;  ///< when the new positions are stored
  bool pumping_ = false;
  bool paused_ = false;
  bool stopping_ = false;
  bool closing_ = false;
  bool failed_ = false;
  std::optional<KafkaReader::Bounds> news_;  ///< a look that waits until what is read is stored
  std::vector<PlacedMessage> building_;      ///< read, not given to the writer
  size_t building_bytes_ = 0;
  std::deque<Letter> waiting_letters_;  ///< of records in building_
  size_t in_flight_letters_ = 0;        ///< of them, not on disk
  uint64_t turn_ = 0;                   ///< letters of an earlier one concern nobody
  std::move_only_function<void(Status)> start_done_;
  std::move_only_function<void()> stop_done_;
  std::unique_ptr<Timer> look_timer_;
  std::unique_ptr<Timer> open_timer_;
  std::unique_ptr<Timer> stop_timer_;
  std::unique_ptr<KafkaReader> reader_;
  PositionedWriter writer_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace

Result<std::unique_ptr<Adapter>> make_kafka_source(Env& env, StreamClient& target, KafkaSourceOptions options,
                                                   KafkaReaderFactory make_reader) {
  if (options.subject.empty()) options.subject = options.name + ".{topic}.{key}";
  if (!is_adapter_subject(options.name, false) || options.name.contains('.'))
    return fail(Errc::kInvalidArgument, "the adapter's name must be one subject token");
  if (options.topics.empty()) return fail(Errc::kInvalidArgument, "no topics are named");
  if (options.max_in_flight == 0) return fail(Errc::kInvalidArgument, "max_in_flight must not be 0");
  auto subject = SubjectTemplate::parse(options.subject);
  if (!subject) return std::unexpected(subject.error());
  return std::make_unique<KafkaSource>(env, target, std::move(options), *std::move(subject), std::move(make_reader));
}

Result<std::unique_ptr<Adapter>> make_kafka_source(Env& env, StreamClient& target, KafkaSourceOptions options) {
  if (auto good = check_kafka_properties(options, false); !good) return std::unexpected(good.error());
  const KafkaClientOptions kafka = options;
  return make_kafka_source(env, target, std::move(options), [&env, kafka] { return make_kafka_reader(env, kafka); });
}

}  // namespace sluice
