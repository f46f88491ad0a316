#include "adapters/choria_registration/adapter.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "adapters/choria_registration/envelopes.h"
#include "adapters/stream_ingest.h"
#include "base/log.h"
#include "client/inbound_queues.h"

namespace sluice {
namespace {

constexpr Logger kLog{"choria_registration"};
constexpr std::chrono::seconds kStopDeadline{5};
/// A retry after an outage of the target shorter than this can't store anything twice.
constexpr std::chrono::minutes kDuplicateWindow{10};
constexpr std::string_view kPlaceholder = "%s";

std::string with_sender(std::string_view pattern, std::string_view sender) {
  std::string out;
  for (size_t at; (at = pattern.find(kPlaceholder)) != std::string_view::npos;) {
    out.append(pattern.substr(0, at)).append(sender);
    pattern.remove_prefix(at + kPlaceholder.size());
  }
  return out.append(pattern);
}

/// What the stream listens on, so that every sender fits: the pattern up to its placeholder, and
/// ">".
std::string stream_subject(const std::string& pattern) {
  const size_t at = pattern.find(kPlaceholder);
  return at == std::string::npos ? pattern : pattern.substr(0, at) + ">";
}

bool is_subject(std::string_view text, bool wildcards) {
  if (text.empty() || text.front() == '.' || text.back() == '.' || text.contains(".."))
    return false;
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return static_cast<unsigned char>(c) > ' ' && c != '\x7f' &&
           (wildcards || (c != '*' && c != '>'));
  });
}

class ChoriaRegistration final : public Adapter {
 public:
  ChoriaRegistration(Env& env, NatsLink& network, StreamClient& target,
                     ChoriaRegistrationOptions options)
      : env_(env),
        network_(network),
        options_(std::move(options)),
        rules_{options_.requests, options_.verify_signatures},
        ingest_(env, target,
                {options_.name, options_.max_in_flight, StreamIngestOptions{}.max_in_flight_bytes,
                 StreamIngestOptions{}.ack_timeout}),
        stop_timer_(env.timers.make([this] { finish_stop(); })) {
    ingest_.on_room([this] { on_room(); });
  }

  std::string_view name() const override { return options_.name; }
  std::string_view kind() const override { return "choria_registration"; }

  void start(std::move_only_function<void(Status)> done) override {
    StreamSpec spec;
    spec.name = options_.stream;
    spec.subjects = {stream_subject(options_.subject)};
    spec.duplicate_window = kDuplicateWindow;
    ingest_.prepare(spec, [this, told = std::move(done)](Status ready) mutable {
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
    sources_.clear();
    if (held_ || ingest_.in_flight() != 0) return stop_timer_->start(kStopDeadline);
    stop_timer_->start(std::chrono::nanoseconds(0));
  }

  AdapterHealth health() const override {
    if (stopping_ || failed_) return AdapterHealth::kStopped;
    if (sources_.empty()) return AdapterHealth::kStarting;
    const bool well = ingest_.healthy() && network_.state() == LinkState::kConnected;
    return well ? AdapterHealth::kRunning : AdapterHealth::kDegraded;
  }

  const AdapterFigures& figures() const override {
    figures_.duplicates = ingest_.figures().duplicates;
    figures_.in_flight = ingest_.in_flight() + (held_ ? 1 : 0);
    return figures_;
  }

 private:
  void subscribe() {
    const std::string group =
        options_.queue_group.empty() ? "sluice_" + options_.name : options_.queue_group;
    for (const std::string& subject : options_.ingest_subjects)
      sources_.push_back(network_.subscribe(
          subject, group, [this](const LinkMessage& message) { on_message(message); }));
    SLUICE_LOG(kLog, kInfo, "started adapter={} subjects={} group={} stream={}", options_.name,
               fmt::join(options_.ingest_subjects, ","), group, options_.stream);
  }

  void on_message(const LinkMessage& message) {
    ++figures_.received;
    figures_.received_bytes += message.payload.size();
    if (try_store(message)) return;
    // Core NATS has no acks: what was taken from the network is kept here until there is room.
    held_.emplace(message);
    ++figures_.paused;
    for (const auto& source : sources_) source->pause();
  }

  /// @return false when the port is full and took nothing.
  bool try_store(const LinkMessage& message) {
    const auto unwrapped = unwrap_envelope(message.payload, rules_);
    if (!unwrapped) return try_reject(message, unwrapped.error());
    const std::string subject = with_sender(options_.subject, unwrapped->sender);
    // A sender sends a request once, so the pair names the message however often it comes.
    const std::string msg_id = "choria:" + unwrapped->sender + ":" + unwrapped->request_id;
    const Offer offer = ingest_.offer({subject, {}, unwrapped->record, msg_id, unwrapped->sender},
                                      [this](Status stored) {
                                        if (stored)
                                          ++figures_.accepted;
                                        else if (stored.error().code != Errc::kClosed)
                                          ++figures_.rejected["refused"];
                                        on_stored();
                                      });
    return offer == Offer::kAccepted;
  }

  bool try_reject(const LinkMessage& message, const Rejection& why) {
    const Offer offer =
        ingest_.dead_letter({why.reason, why.detail, message.subject, message.payload},
                            [this](Status) { on_stored(); });
    if (offer != Offer::kAccepted) return false;
    ++figures_.rejected[std::string(why.reason)];
    SLUICE_LOG(kLog, kDebug, "rejected adapter={} reason={} detail=\"{}\"", options_.name,
               why.reason, why.detail);
    return true;
  }

  void on_room() {
    if (held_) {
      if (!try_store(held_->view())) return;
      held_.reset();
    }
    for (const auto& source : sources_) source->resume();
  }

  void on_stored() {
    // The port counts a message as finished before it tells; the timer is armed only while
    // stopping.
    if (stop_timer_->active() && ingest_.in_flight() == 0 && !held_)
      stop_timer_->start(std::chrono::nanoseconds(0));
  }

  void finish_stop() {
    const size_t left = ingest_.in_flight() + (held_ ? 1 : 0);
    if (left != 0)
      SLUICE_LOG(kLog, kWarn, "stopped with messages not stored adapter={} count={}", options_.name,
                 left);
    ingest_.stop();
    held_.reset();
    if (auto done = std::exchange(stop_done_, nullptr)) done();
  }

  Env& env_;
  NatsLink& network_;
  const ChoriaRegistrationOptions options_;
  const UnwrapRules rules_;
  mutable AdapterFigures figures_;
  bool stopping_ = false;
  bool failed_ = false;
  std::optional<HeldMessage> held_;
  StreamIngest ingest_;
  std::vector<std::unique_ptr<LinkSubscription>> sources_;
  std::move_only_function<void()> stop_done_;
  std::unique_ptr<Timer> stop_timer_;
};

}  // namespace

Result<std::unique_ptr<Adapter>> make_choria_registration(Env& env, NatsLink& network,
                                                          StreamClient& target,
                                                          ChoriaRegistrationOptions options) {
  if (!is_subject(options.name, false) || options.name.contains('.'))
    return fail(Errc::kInvalidArgument, "the adapter's name must be one subject token");
  if (options.ingest_subjects.empty())
    return fail(Errc::kInvalidArgument, "no subject to take messages from");
  for (const std::string& subject : options.ingest_subjects)
    if (!is_subject(subject, true))
      return fail(Errc::kInvalidArgument, "ingest subject: not a subject");
  if (!is_subject(with_sender(options.subject, "sender"), false))
    return fail(Errc::kInvalidArgument, "target subject: not a subject without wildcards");
  if (options.max_in_flight == 0)
    return fail(Errc::kInvalidArgument, "max_in_flight must not be 0");
  return std::make_unique<ChoriaRegistration>(env, network, target, std::move(options));
}

}  // namespace sluice
