#include "adapters/subject_adapter.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "adapters/reading_line.h"
#include "adapters/stream_ingest.h"
#include "base/headers.h"
#include "base/log.h"
#include "client/inbound_queues.h"

namespace sluice {
namespace {

constexpr Logger kLog{"adapters"};
constexpr std::chrono::seconds kStopDeadline{5};
constexpr size_t kMaxUnread_bytes = 16 * kMiB;

class SubjectAdapter final : public Adapter {
 public:
  SubjectAdapter(Env& env, NatsLink& network, StreamClient& target, SubjectAdapterOptions options,
                 std::unique_ptr<SubjectReader> reader)
      : env_(env),
        network_(network),
        options_(std::move(options)),
        reader_(std::move(reader)),
        ingest_(env, target,
                {options_.name, options_.max_in_flight, StreamIngestOptions{}.max_in_flight_bytes,
                 StreamIngestOptions{}.ack_timeout}),
        stop_timer_(env.timers.make([this] { finish_stop(); })) {
    ingest_.on_room([this] { on_room(); });
    if (reader_->is_slow())
      line_.emplace(env, *reader_, [this](const LinkMessage& message, const SubjectReading& reading) { return hand_on(message, reading); });
  }

  std::string_view name() const override { return options_.name; }
  std::string_view kind() const override { return reader_->kind(); }

  void start(std::move_only_function<void(Status)> done) override {
    ingest_.prepare(options_.stream, [this, told = std::move(done)](Status ready) mutable {
      if (ready || may_pass(ready.error())) {
        // A target that is away for now does not keep the source waiting: the window holds some.
        if (!stopping_) subscribe();
        return told({});
      }
      failed_ = true;
      told(std::move(ready));
    });
  }

  void stop(std::move_only_function<void()> done) override {
    stopping_ = true;
    stop_done_ = std::move(done);
    for (const auto& source : sources_) source->drain();  // what it has taken comes within this round
    stop_timer_->start(std::chrono::nanoseconds(0));
  }

  bool may_overlap() const override { return !options_.answer; }

  AdapterHealth health() const override {
    if (stopping_ || failed_) return AdapterHealth::kStopped;
    if (sources_.empty()) return AdapterHealth::kStarting;
    const bool well = ingest_.healthy() && network_.state() == LinkState::kConnected;
    return well ? AdapterHealth::kRunning : AdapterHealth::kDegraded;
  }

  std::string trouble() const override {
    if (network_.state() != LinkState::kConnected) return "not connected to " + network_.peer();
    return ingest_.trouble();
  }

  const AdapterFigures& figures() const override {
    figures_.duplicates = ingest_.figures().duplicates;
    figures_.in_flight = left();
    return figures_;
  }

 private:
  void subscribe() {
    const std::string group =
        options_.queue_group.empty() ? "sluice_" + options_.name : options_.queue_group;
    for (const std::string& subject : options_.ingest_subjects)
      sources_.push_back(network_.subscribe(
          subject, group, [this](const LinkMessage& message) { on_message(message); }));
    SLUICE_LOG(kLog, kInfo, "started adapter={} type={} subjects={} group={} stream={}",
               options_.name, kind(), fmt::join(options_.ingest_subjects, ","), group,
               options_.stream.name);
  }

  void on_message(const LinkMessage& message) {
    ++figures_.received;
    figures_.received_bytes += message.payload.size();
    if (line_) {
      line_->add(message);
      if (!has_room()) pause();
      return;
    }
    if (try_store(message)) return;
    // Core NATS has no acks: what was taken from the network is kept here until there is room.
    held_.emplace(message);
    pause();
  }

  void pause() {
    if (std::exchange(paused_, true)) return;
    ++figures_.paused;
    for (const auto& source : sources_) source->pause();
  }

  void resume() {
    paused_ = false;
    for (const auto& source : sources_) source->resume();
  }

  /// For more to be read; half of everything must be free before it is so again.
  bool has_room() const {
    const size_t parts = paused_ ? 2 : 1;
    return left() * parts < std::max(options_.max_in_flight, parts) && line_->bytes() * parts < kMaxUnread_bytes;
  }

  /// Taken from the network and not yet settled.
  size_t left() const { return ingest_.in_flight() + (held_ ? 1 : 0) + (line_ ? line_->count() : 0); }

  bool try_store(const LinkMessage& message) {
    return hand_on(message, reader_->read(message, {env_.clock.now(), env_.clock.wall()}));
  }

  /// @return false when the port is full and took nothing.
  bool hand_on(const LinkMessage& message, const SubjectReading& record) {
    if (!record) return try_reject(message, record.error());
    std::string reply(options_.answer ? message.reply : std::string_view());
    const Offer offer = ingest_.offer(
        {record->subject, record->headers, record->payload, record->msg_id, record->lane},
        [this, answer_to = std::move(reply)](Result<PubAck> stored) {
          if (stored)
            ++figures_.accepted;
          else if (stored.error().code != Errc::kClosed)
            ++figures_.rejected["refused"];
          if (!answer_to.empty()) answer(answer_to, stored);
          on_stored();
        });
    return offer == Offer::kAccepted;
  }

  static std::string refusal(const SubjectRejection& why) {
    std::string detail = why.detail;
    std::ranges::replace_if(detail, [](char c) { return c == '"' || c == '\\' || static_cast<unsigned char>(c) < ' '; }, ' ');
    return fmt::format(R"({{"error":{{"code":400,"description":"{}: {}; kept in SLUICE_DLQ"}}}})", why.reason, detail);
  }

  /// The sender's library expects what a stream would say. A lost answer makes it send again, and its
  /// message id keeps that from being stored twice.
  void answer(const std::string& reply, const Result<PubAck>& stored) {
    std::string text;
    if (stored) {
      text = fmt::format(R"({{"stream":"{}","seq":{}{}}})", stored->stream, stored->seq.value(),
                         stored->duplicate ? R"(,"duplicate": true)" : "");
    } else if (stored.error().code != Errc::kClosed) {
      text = fmt::format(
          R"({{"error":{{"code":503,"err_code":{},"description":"the gateway's stream refused it; kept in SLUICE_DLQ"}}}})",
          stored.error().api_code);
    }
    if (!text.empty()) (void)network_.publish({reply, {}, {}, text});
  }

  /// Who waits for an answer hears why, when the letter is kept: without one a node takes the gateway for dead. What it sends
  /// again has its id, and is the same letter.
  bool try_reject(const LinkMessage& message, const SubjectRejection& why) {
    const auto id = find_header(message.headers, "Nats-Msg-Id");
    const std::string place = id && !id->empty() ? fmt::format("{} {}", message.subject, *id) : "";
    std::string reply(options_.answer ? message.reply : std::string_view());
    const Offer offer = ingest_.dead_letter(
        {why.reason, why.detail, message.subject, message.payload, place},
        [this, answer_to = std::move(reply), told = refusal(why)](const Result<PubAck>& kept) {
          if (kept && !answer_to.empty()) (void)network_.publish({answer_to, {}, {}, told});
          on_stored();
        });
    if (offer != Offer::kAccepted) return false;
    ++figures_.rejected[std::string(why.reason)];
    SLUICE_LOG(kLog, kDebug, "rejected adapter={} reason={} detail=\"{}\"", options_.name,
               why.reason, why.detail);
    return true;
  }

  void on_room() {
    if (line_) return line_->go_on();  // what is read goes first; on_stored() resumes the sources
    if (held_) {
      if (!try_store(held_->view())) return;
      held_.reset();
    }
    resume();
  }

  void on_stored() {
    // The port counts a message as finished before it tells; the timer is armed only while
    // stopping.
    if (stop_timer_->active() && left() == 0) stop_timer_->start(std::chrono::nanoseconds(0));
    if (line_ && paused_ && has_room()) resume();
  }

  void finish_stop() {
    if (!sources_.empty()) {
      sources_.clear();
      if (left() != 0) return stop_timer_->start(kStopDeadline);
    }
    if (left() != 0)
      SLUICE_LOG(kLog, kWarn, "stopped with messages not stored adapter={} count={}", options_.name,
                 left());
    ingest_.stop();
    held_.reset();
    line_.reset();
    if (auto done = std::exchange(stop_done_, nullptr)) done();
  }

  Env& env_;
  NatsLink& network_;
  const SubjectAdapterOptions options_;
  std::unique_ptr<SubjectReader> reader_;
  mutable AdapterFigures figures_;
  bool stopping_ = false;
  bool failed_ = false;
  bool paused_ = false;
  std::optional<HeldMessage> held_;  ///< without a line: the one that found the port full
  StreamIngest ingest_;
  std::optional<ReadingLine> line_;  ///< of a slow reader
  std::vector<std::unique_ptr<LinkSubscription>> sources_;
  std::move_only_function<void()> stop_done_;
  std::unique_ptr<Timer> stop_timer_;
};

}  // namespace

Result<std::unique_ptr<Adapter>> make_subject_adapter(Env& env, NatsLink& network,
                                                      StreamClient& target,
                                                      SubjectAdapterOptions options,
                                                      std::unique_ptr<SubjectReader> reader) {
  if (!is_adapter_subject(options.name, false) || options.name.contains('.'))
    return fail(Errc::kInvalidArgument, "the adapter's name must be one subject token");
  if (options.ingest_subjects.empty())
    return fail(Errc::kInvalidArgument, "no subject to take messages from");
  for (const std::string& subject : options.ingest_subjects)
    if (!is_adapter_subject(subject, true))
      return fail(Errc::kInvalidArgument, "ingest subject: not a subject");
  if (options.max_in_flight == 0)
    return fail(Errc::kInvalidArgument, "max_in_flight must not be 0");
  return std::make_unique<SubjectAdapter>(env, network, target, std::move(options),
                                          std::move(reader));
}

}  // namespace sluice
