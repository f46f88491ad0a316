#include "spool/daemon/quarantine_letters.h"

#include <fmt/format.h>

#include <utility>


namespace sluice {
namespace {

constexpr size_t kMaxInFlight_count = 64;
constexpr std::chrono::seconds kTtl{31 * 86'400};  // of a letter that somebody sends again

/// What the disk refuses for now comes again: the log keeps it, and the follower's position stands still.
class QuarantineLetters final : public AuditLetters {
 public:
  QuarantineLetters(Env& env, SpoolQueue& queue, std::string subject, std::string identity)
      : env_(env),
        queue_(queue),
        subject_(std::move(subject)),
        identity_(std::move(identity)),
        retry_timer_(env.timers.make([this] {
          if (room_) room_();
        })) {}

  void prepare(std::move_only_function<void(Status)> done) override {
    env_.executor.post([alive = std::weak_ptr<char>(alive_), told = std::move(done)]() mutable {
      if (!alive.expired()) told({});
    });
  }
  bool healthy() const override { return queue_.writable().has_value(); }

  Offer dead_letter(const DeadLetter& letter, Stored stored) override {
    if (stopped_ || in_flight_ >= kMaxInFlight_count || !queue_.writable()) {
      if (!stopped_ && !retry_timer_->active()) retry_timer_->start(std::chrono::seconds(1));
      return Offer::kFull;
    }
    Submission out;
    // The same line taken again after a crash is the same letter.
    out.id = dead_letter_id("choria_audit", letter.reason, letter.place, letter.bytes);
    out.subject = subject_;
    out.payload = letter.bytes;
    out.created = env_.clock.wall();
    out.ttl = kTtl;
    out.sender = "choria_audit";
    out.identity = identity_;
    ++in_flight_;
    queue_.submit_quarantined(std::move(out), letter.reason, fmt::format("{}: {}", letter.origin, letter.detail),
                              [this, alive = std::weak_ptr<char>(alive_), told = std::move(stored)](const Result<SpoolQueue::Accepted>& kept) mutable {
                                if (alive.expired()) return;
                                --in_flight_;
                                if (kept) return told(PubAck{.stream = "quarantine", .seq = kept->place.seq, .duplicate = kept->duplicate});
                                told(std::unexpected(Error{Errc::kClosed, 0, kept.error().detail}));
                              });
    return Offer::kAccepted;
  }

  void on_room(std::move_only_function<void()> room) override { room_ = std::move(room); }
  size_t in_flight() const override { return in_flight_; }
  void stop() override {
    stopped_ = true;
    retry_timer_->stop();
  }

 private:
  Env& env_;
  SpoolQueue& queue_;
  const std::string subject_;
  const std::string identity_;
  size_t in_flight_ = 0;
  bool stopped_ = false;
  std::move_only_function<void()> room_;
  std::unique_ptr<Timer> retry_timer_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace

std::unique_ptr<AuditLetters> make_quarantine_letters(Env& env, SpoolQueue& queue, std::string subject, std::string identity) {
  return std::make_unique<QuarantineLetters>(env, queue, std::move(subject), std::move(identity));
}

}  // namespace sluice
