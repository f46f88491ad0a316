#include "replicator/leadership.h"

#include <utility>

namespace sluice {
namespace {

constexpr std::chrono::seconds kRetry{5};

}  // namespace

Leadership::Leadership(Env& env, StreamClient& client, ElectionOptions options, OnChange on_change)
    : env_(env),
      client_(client),
      options_(std::move(options)),
      on_change_(std::move(on_change)),
      retry_timer_(env.timers.make([this] { campaign(); })) {}

void Leadership::start() { campaign(); }

void Leadership::campaign() {
  election_ = std::make_unique<Election>(
      env_, client_, options_,
      ElectionEvents{.on_won =
                         [this](uint64_t token) {
                           SLUICE_LOG(log_, kInfo, "leads election={} candidate={} token={}", options_.name,
                                      options_.candidate, token);
                           on_change_(true, token);
                         },
                     .on_lost =
                         [this](std::string_view why) {
                           SLUICE_LOG(log_, kWarn, "leads no more election={} candidate={} why=\"{}\"", options_.name,
                                      options_.candidate, why);
                           on_change_(false, 0);
                         }});
  election_->start([this](const Status& ready) {
    if (ready) {
      trouble_.clear();
      return;
    }
    if (trouble_ != ready.error().detail) {
      SLUICE_LOG(log_, kError, "no election is possible election={} bucket={} error=\"{}\"", options_.name,
                 options_.bucket, ready.error().detail);
    }
    trouble_ = ready.error().detail;
    retry_timer_->start(kRetry);
  });
}

bool Leadership::may_act() const { return leads() && env_.clock.now() < election_->lease_end() - election_->lease() / 8; }

void Leadership::stop(std::move_only_function<void()> done) {
  retry_timer_->stop();
  election_->stop(std::move(done));
}

}  // namespace sluice
