#include "spool/sender.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/log.h"
#include "client/backoff.h"

namespace sluice {
namespace {

constexpr Logger kLog{"spool"};
/// Plain messages sent in one go; then others have their turn.
constexpr size_t kPlainAtOnce = 64;
/// Acknowledged messages whose removal is not on disk: after a crash so many are sent again, with their ids.
constexpr size_t kMaxUnsettled = 8;
constexpr std::chrono::seconds kProbeTimeout{5};
constexpr std::chrono::milliseconds kPlainRetry{250};
constexpr uint64_t kMaxKeyFile_bytes = 16 * kKiB;

/// Errors of a stream that say "not now" rather than "never": unavailable, no resources, storage full, offline.
/// (JetStream error codes: JSNotEnabled 10076, JSClusterNotAvail 10008, InsufficientResources 10023,
/// StorageResourcesExceeded 10047, MemoryResourcesExceeded 10028, StreamStoreFailed 10077, StreamOffline 10118.)
constexpr std::array<uint16_t, 7> kNotNow{10008, 10023, 10028, 10047, 10076, 10077, 10118};

Result<std::string> read_small_file(Disk& disk, const std::string& path) {
  auto file = disk.open(path, OpenMode::kRead);
  if (!file) return std::unexpected(file.error());
  std::string text(kMaxKeyFile_bytes + 1, '\0');
  auto got = (*file)->read_at(0, std::as_writable_bytes(std::span(text)));
  if (!got) return std::unexpected(got.error());
  if (*got > kMaxKeyFile_bytes) return fail(Errc::kInvalidArgument, path + " is too large for a key or token");
  text.resize(*got);
  return text;
}

}  // namespace

SpoolSender::SpoolSender(Env& env, SpoolQueue& queue, NatsLink& link, StreamClient& client, SpoolSenderOptions options)
    : env_(env), queue_(queue), link_(link), client_(client), options_(std::move(options)),
      probe_subject_(link.new_inbox()),
      probes_(link.subscribe(probe_subject_, "", [this](const LinkMessage&) {
        probe_timer_->stop();
        const uint32_t waiting = std::exchange(probing_, 0);
        for (uint8_t p = 0; p < kSpoolPriorities; ++p) {
          if ((waiting >> p & 1) != 0) failed(p, true, "no answer");
        }
      })),
      probe_timer_(env.timers.make([this] {
        const uint32_t waiting = std::exchange(probing_, 0);
        for (uint8_t p = 0; p < kSpoolPriorities; ++p) {
          if ((waiting >> p & 1) != 0) failed(p, false, "no answer, nor from the server itself");
        }
      })),
      plain_timer_(env.timers.make([this] { pump(); })) {
  for (uint8_t p = 0; p < kSpoolPriorities; ++p) lanes_[p].timer = env.timers.make([this, p] { again(p); });
  state_listener_ = link_.on_state([this](LinkState state) {
    if (state != LinkState::kConnected) return;
    for (uint8_t p = 0; p < kSpoolPriorities; ++p) {  // what failed on the old connection is tried at once on the new one
      lanes_[p].timer->stop();
      lanes_[p].waits = false;
    }
    pump_later();
  });
  queue_.on_change([this] { pump(); });
}

void SpoolSender::start() {
  started_ = true;
  pump_later();
}

SpoolSender::~SpoolSender() { queue_.on_change({}); }

void SpoolSender::pump_later() {
  if (std::exchange(pump_posted_, true)) return;
  env_.executor.post([this, alive = std::weak_ptr<char>(alive_)] {
    if (alive.expired()) return;
    pump_posted_ = false;
    pump();
  });
}

void SpoolSender::pump() {
  if (!started_ || link_.state() != LinkState::kConnected) return;
  for (uint8_t p = 0; p < kSpoolPriorities; ++p) {
    pump_reliable(p);
    pump_plain(p);
  }
}

void SpoolSender::again(uint8_t priority) {
  lanes_[priority].waits = false;
  pump();
}

void SpoolSender::pump_reliable(uint8_t priority) {
  Lane& lane = lanes_[priority];
  const SpoolLane place{priority, true};
  for (size_t moved = 0; moved < kPlainAtOnce; ++moved) {
    if (lane.busy || lane.waits || queue_.unsettled(place) >= kMaxUnsettled) return;
    const auto next = queue_.head(place);
    if (!next) {
      lane.trouble.clear();
      return;
    }
    const Submission& submission = next->entry.submission;
    if (const Status good = check_submission(submission, SIZE_MAX); !good) {
      queue_.quarantine(next->place, kReasonInvalid, good.error().detail);
      continue;
    }
    const uint32_t tries = submission.tries + queue_.tries_of(next->place);
    if (submission.max_tries != 0 && tries >= submission.max_tries) {
      queue_.quarantine(next->place, kReasonTries, lane.trouble.empty() ? "tried often enough" : lane.trouble);
      lane.failures = 0;
      lane.trouble.clear();
      continue;
    }
    if (next->place.seq != lane.head.seq) lane.failures = 0;
    lane.head = next->place;
    send(lane, *next);
  }
  pump_later();
}

void SpoolSender::send(Lane& lane, const QueuedEntry& next) {
  const Submission& submission = next.entry.submission;
  const auto signer = signer_for(submission);
  if (!signer) {
    ++figures_.unsignable;
    return hold(lane, signer.error().detail);
  }
  const uint32_t tries = submission.tries + queue_.tries_of(next.place);
  const std::string headers = outgoing_headers(submission, tries, *signer ? &**signer : nullptr);
  const std::string subject = options_.subject_prefix + submission.subject;
  lane.busy = true;
  lane.call = client_.publish({subject, {}, headers, submission.payload}, options_.ack_timeout,
                              [this, priority = submission.priority](Result<PubAck> answer) { answered(priority, answer); });
}

void SpoolSender::pump_plain(uint8_t priority) {
  const SpoolLane place{priority, false};
  for (size_t sent = 0; sent < kPlainAtOnce; ++sent) {
    if (queue_.unsettled(place) >= kPlainAtOnce) return;  // goes on when they settle
    const auto next = queue_.head(place);
    if (!next) return;
    const Submission& submission = next->entry.submission;
    if (const Status good = check_submission(submission, SIZE_MAX); !good) {
      queue_.quarantine(next->place, kReasonInvalid, good.error().detail);
      continue;
    }
    const auto signer = signer_for(submission);
    if (!signer) {
      if (figures_.unsignable++ == 0) SLUICE_LOG(kLog, kError, "messages can't be signed and wait reason={}", signer.error().detail);
      if (!plain_timer_->active()) plain_timer_->start(std::chrono::seconds(5));
      return;
    }
    const std::string headers = outgoing_headers(submission, submission.tries, *signer ? &**signer : nullptr);
    const Status published = link_.publish({options_.subject_prefix + submission.subject, {}, headers, submission.payload});
    if (published) {
      ++figures_.published;
      queue_.remove(next->place);
    } else if (published.error().code == Errc::kInvalidArgument) {
      queue_.quarantine(next->place, kReasonTooLarge, published.error().detail);
    } else {  // a full send buffer, or a connection that broke just now
      if (!plain_timer_->active()) plain_timer_->start(kPlainRetry);
      return;
    }
  }
  pump_later();
}

Result<std::optional<SpoolSigner>> SpoolSender::signer_for(const Submission& submission) {
  if (!submission.sign) return std::optional<SpoolSigner>();
  if (options_.seed_file.empty()) return fail(Errc::kInvalidArgument, "this node has no seed to sign with");
  auto seed_text = read_small_file(env_.disk, options_.seed_file);
  if (!seed_text) return std::unexpected(seed_text.error());
  const auto seed = parse_hex_seed(*seed_text);
  std::ranges::fill(*seed_text, '\0');
  if (!seed) return fail(Errc::kInvalidArgument, options_.seed_file + " does not hold 64 hexadecimal digits");
  SpoolSigner signer{*seed, {}};
  if (!options_.token_file.empty()) {
    auto token = read_small_file(env_.disk, options_.token_file);
    if (!token) return std::unexpected(token.error());
    while (!token->empty() && (token->back() == '\n' || token->back() == '\r')) token->pop_back();
    if (token->find_first_of("\r\n") != std::string::npos) return fail(Errc::kInvalidArgument, options_.token_file + " holds more than one line");
    signer.token = std::move(*token);
  }
  return std::optional<SpoolSigner>(std::move(signer));
}

void SpoolSender::answered(uint8_t priority, const Result<PubAck>& answer) {
  Lane& lane = lanes_[priority];
  if (answer) {
    ++(answer->duplicate ? figures_.already_there : figures_.acked);
    lane.busy = false;
    lane.failures = 0;
    lane.trouble.clear();
    queue_.remove(lane.head);
    return pump_later();
  }
  const Error& why = answer.error();
  switch (why.code) {
    case Errc::kInvalidArgument:
      lane.busy = false;
      queue_.quarantine(lane.head, kReasonTooLarge, why.detail);
      return pump_later();
    case Errc::kTimeout:
      ++figures_.silent;
      return probe(priority);
    case Errc::kNoResponders:
      ++figures_.no_responders;
      return failed(priority, options_.no_responders == NoResponders::kCount, why.detail);
    case Errc::kClosed:
    case Errc::kFull:
    case Errc::kIo:
      ++figures_.interrupted;
      return failed(priority, false, why.detail);
    case Errc::kNotFound:
    case Errc::kExists:
    case Errc::kNoSpace:
    case Errc::kCorrupt:
    case Errc::kUnsupported:
    case Errc::kDenied:
    case Errc::kRefused:
      break;
  }
  ++figures_.refused;
  failed(priority, std::ranges::find(kNotNow, why.api_code) == kNotNow.end(), why.detail);
}

/// Is it the message that is not answered, or is the server gone without a word?
void SpoolSender::probe(uint8_t priority) {
  const bool under_way = probing_ != 0;
  probing_ |= 1U << priority;
  if (under_way) return;
  probe_timer_->start(kProbeTimeout);
  (void)link_.publish({probe_subject_, {}, {}, {}});  // refused: the timer tells
}

/// The lane's head was not taken. It stays, and waits.
void SpoolSender::failed(uint8_t priority, bool counts, std::string why) {
  Lane& lane = lanes_[priority];
  if (counts) queue_.count_try(lane.head);
  hold(lane, std::move(why));
}

void SpoolSender::hold(Lane& lane, std::string why) {
  lane.busy = false;
  lane.waits = true;
  if (lane.trouble.empty()) {
    lane.trouble_since = env_.clock.now();
    SLUICE_LOG(kLog, kWarn, "messages of a priority wait priority={} reason={}", &lane - lanes_.data(), why);
  }
  lane.trouble = std::move(why);
  lane.timer->start(five_sec_backoff(++lane.failures, env_.random));
}

std::vector<SpoolSender::LaneTrouble> SpoolSender::troubles() const {
  std::vector<LaneTrouble> out;
  for (uint8_t p = 0; p < kSpoolPriorities; ++p) {
    if (!lanes_[p].trouble.empty()) out.push_back({p, lanes_[p].trouble, env_.clock.now() - lanes_[p].trouble_since});
  }
  return out;
}

void SpoolSender::collect(MetricSink& sink) const {
  const auto outcome = [&](std::string_view word, uint64_t count) {
    sink.counter("sluice_spool_attempts_total", "What became of attempts to send.", {{"outcome", word}}, static_cast<double>(count));
  };
  outcome("acked", figures_.acked);
  outcome("duplicate", figures_.already_there);
  outcome("published", figures_.published);
  outcome("refused", figures_.refused);
  outcome("silent", figures_.silent);
  outcome("no_responders", figures_.no_responders);
  outcome("interrupted", figures_.interrupted);
  outcome("unsignable", figures_.unsignable);
  sink.gauge("sluice_spool_connected", "1 while the other end's server is reached.", {}, link_.state() == LinkState::kConnected ? 1 : 0);
  for (uint8_t p = 0; p < kSpoolPriorities; ++p) {
    const std::string priority = std::to_string(p);
    sink.gauge("sluice_spool_blocked", "1 while the head of a reliable lane waits after a failure.", {{"priority", priority}},
               lanes_[p].trouble.empty() ? 0 : 1);
  }
}

}  // namespace sluice
