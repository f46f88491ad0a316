// Of a world of sites: what is looked at on the way and at its end.
#include <fmt/format.h>

#include <algorithm>

#include "base/headers.h"
#include "simulate/site_world.h"

namespace sluice::simulate {

using namespace std::chrono_literals;

namespace {

/// Bytes a second. At a slower pace a message or a batch alone may take seconds.
constexpr uint64_t kPaceOfNoStall = 20'000;

std::chrono::nanoseconds millis(uint64_t count) { return std::chrono::milliseconds(static_cast<int64_t>(count)); }

}  // namespace

void SiteWorld::look_at_replicators() {
  if (!record_.fault().empty()) violated(record_.fault());
  if (!worker_.fault().empty()) violated(worker_.fault());
  for (SiteMachine* copier : copiers_) {
    if (!copier->replicator()) continue;
    for (const auto& view : copier->replicator()->copies()) {
      if (!view.figures.position.ledger.balanced()) violated("the ledger does not balance");
      look_for_stall(*copier);
      look_at_pace(*copier);
      if (view.leadership && view.figures.state == CopyState::kCopying && last_leader_ != copier->replicator()) {
        if (last_leader_) ++tally_.takeovers;
        last_leader_ = copier->replicator();
      }
    }
  }
}

/// Something happened to one of these, or between them.
void SiteWorld::note_disturbance(const std::string& a, const std::string& b) {
  const auto matters = [this](const std::string& host) {
    return host == source_->host() || std::any_of(copiers_.begin(), copiers_.end(), [&](SiteMachine* c) { return c->host() == host; });
  };
  if (matters(a) && matters(b)) disturbed_at_ = sim_.clock().now();
}

/// A message, not only a sequence: what was purged waits for nobody.
bool SiteWorld::waits_behind(StreamSeq at) {
  Stream& stream = *source_->node()->streams().find("ORDERS");
  const auto next = stream.store().load_next(at.next(), ">");
  return next && next->seq <= stream.visible_last();
}

/// A copy that does not move for 10 s while messages wait raises its alarm, however healthy its connections look.
void SiteWorld::look_for_stall(SiteMachine& copier) {
  const auto view = copier.replicator()->copies().front();
  const MonoTime now = sim_.clock().now();
  Standing& standing = standing_[&copier];
  const StreamSeq at = view.figures.position.source_seq;
  const bool runs = view.figures.state == CopyState::kCopying || view.figures.state == CopyState::kLocating ||
                    view.figures.state == CopyState::kBackingOff;
  const bool waits = source_->up() && life_ != 0 && view.figures.position.origin_created == life_ &&
                     waits_behind(at);
  if (standing.who != copier.replicator() || standing.at != at || !runs || !waits) {
    standing = {copier.replicator(), at, now};
    return;
  }
  // Where most is filtered, or the link or the pace is narrow, standing still for a while is no stall; leaders may change
  // unseen, and a start may wait for the sampling state.
  const bool is_slow = config_.copy.pace.enabled() && config_.slowest_pace() < kPaceOfNoStall;
  if (!config_.copy.filters().empty() || config_.bytes_per_second != 0 || is_slow || view.leadership ||
      !config_.copy.inspect.state_bucket.empty())
    return;
  if (now - std::max(standing.since, disturbed_at_) < 10s + millis(4 * config_.latency_ms_max)) return;
  if (!view.lag.stalled) violated(fmt::format("{} stands at {} for 10 s and says nothing", copier.host(), at.value()));
  ++tally_.alarms;
}

/// No process gives its target's link more than the fastest hour of its pace allows: what is unused for 50 ms, and the message
/// (or batch) that makes the debt, may go on top.
void SiteWorld::look_at_pace(SiteMachine& copier) {
  const uint64_t rate = config_.fastest_pace();
  if (rate == 0) return;
  const uint64_t sent = copier.replicator()->copies().front().figures.sent_bytes;
  const double seconds = std::chrono::duration<double>(sim_.clock().now() - copier.replicating_since()).count() + 0.06;
  // A target that the copy makes for several writers takes batches too.
  const bool batches = config_.target_takes_batches || config_.copy.target_writers == TargetWriters::kShared;
  const uint64_t at_once = (config_.large_percent != 0 ? 22'000 : 2'000) + (batches ? config_.copy.window_bytes : 0);
  if (static_cast<double>(sent) > static_cast<double>(rate) * seconds + static_cast<double>(at_once))
    violated(fmt::format("{} has sent {} bytes in {:.3f} s, at a pace of {} B/s at most", copier.host(), sent, seconds, rate));
}

bool SiteWorld::caught_up() {
  const Stream* stream = source_->node()->streams().find("ORDERS");
  const StreamSeq last = stream->visible_last();
  return std::any_of(copiers_.begin(), copiers_.end(), [&](SiteMachine* copier) {
    const auto view = copier->replicator()->copies().front();
    return view.figures.state == CopyState::kCopying && view.figures.position.source_seq >= last &&
           view.figures.position.origin_created == stream->created() && view.figures.in_flight == 0;
  });
}

/// Whoever leads has written what it knows, and nothing stands behind its mark that another one wrote.
void SiteWorld::check_sampling_state() {
  if (config_.copy.inspect.state_bucket.empty()) return;
  const auto written = [this] {
    return std::any_of(copiers_.begin(), copiers_.end(), [](SiteMachine* copier) {
      const TrackerBucket* bucket = copier->replicator()->copies().front().limiter->bucket();
      return bucket->ready() && !bucket->superseded() && bucket->waiting() == 0;
    });
  };
  if (!sim_.run_until(written, patience())) violated("the sampling state is never written");
  const auto items = read_all(*source_, "KV_" + config_.copy.inspect.state_bucket, 1);
  const auto mark = std::find_if(items.begin(), items.end(), [](const StoredCopy& item) { return item.subject.ends_with(".reader"); });
  if (mark == items.end()) return;  // the bucket forgot it: nobody has written for long
  for (auto item = std::next(mark); item != items.end(); ++item) {
    const auto fence = find_header(item->headers, "Nats-Expected-Last-Subject-Sequence");
    if (fence != std::to_string(mark->seq.value())) violated(fmt::format("the sampling state holds {} without its fence", item->seq.value()));
  }
}

/// Of worlds that ended well.
void SiteWorld::count_links() {
  bool compressed = false;
  for (auto& machine : machines_) {
    if (!machine->copies()) continue;
    const auto& figures = machine->replicator()->copies().front().figures;
    compressed |= figures.source_link.compressed || figures.target_link.compressed;
  }
  const uint64_t dictionaries = source_->dictionaries_agreed() + target_->dictionaries_agreed();
  tally_.compressed += compressed ? 1 : 0;
  tally_.with_dictionaries += dictionaries != 0 ? 1 : 0;
  tally_.into_queues += config_.target_is_queue ? 1 : 0;
  tally_.between_queues += config_.target_is_queue && config_.source_is_queue ? 1 : 0;
  tally_.paced += config_.copy.pace.enabled() ? 1 : 0;
  tally_.paced_by_hour += config_.copy.pace.schedule.empty() ? 0 : 1;
}

}  // namespace sluice::simulate
