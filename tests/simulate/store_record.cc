// A world's life with everything noted: the history that crash states and injected faults are made of.
#include <algorithm>
#include <utility>

#include "simulate/store_world.h"

namespace sluice::simulate {

RecordedLife StoreWorld::record_lives(uint64_t lives) {
  RecordedLife recorded;
  recorded_ = &recorded;
  options_.sync = SyncMode::kAlways;
  recorded.options = options_;
  sim_.disk().record(&recorded.disk);
  for (life_ = 1; life_ <= lives; ++life_) {
    auto opened = Store::open(sim_.env(), options_);
    if (!opened) violated("open failed: " + opened.error().detail);
    store_ = *std::move(opened);
    verify();
    const End end = life_ < lives && random_.chance(50) ? End::kKill : End::kClose;
    work(end);
    end_life(end);
  }
  sim_.disk().record(nullptr);
  recorded.erases = erases_;
  recorded_ = nullptr;
  return recorded;
}

bool StoreWorld::live_with_fault(sim::DiskOp op, uint64_t nth, Errc code) {
  constexpr int kSteps = 60;
  options_.sync = SyncMode::kAlways;
  options_.journal_file_bytes = 32 * kKiB;  // many files, so that every kind of call is made
  options_.segment_max_bytes = 32 * kKiB;
  life_ = 1;
  full_ = true;  // a write that finds no space counts as full for a while
  if (nth != 0) sim_.disk().fail_next(op, nth, code);
  auto opened = Store::open(sim_.env(), options_);
  if (!opened) {
    if (opened.error().code != code) violated("open failed for another reason: " + opened.error().detail);
    opened = Store::open(sim_.env(), options_);  // as a supervisor does
  }
  if (!opened) violated("open fails although the fault is gone: " + opened.error().detail);
  store_ = *std::move(opened);
  verify();
  for (int step = 0; step < kSteps; ++step) {
    sim_.env().executor.post([this] { change_some(); });
    sim_.run_for(std::chrono::milliseconds(3));
    if (!store_->failed()) check_reads();
  }
  const bool stopped = store_->failed();
  if (stopped) check_read_only();
  if (stopped && nth == 0) violated("the store failed by itself");
  if (stopped && code == Errc::kNoSpace) violated("a full disk broke the store for good");
  if (!stopped) {
    const bool back = sim_.run_until([this] { return store_->writable().has_value() || store_->failed(); },
                                     std::chrono::seconds(60));
    if (!back) violated("the fault is gone, but the store takes no messages");
  }
  sim_.crash(sim::Crash::kPower);
  store_.reset();
  sim_.drop_tasks();
  life_ = 2;
  opened = Store::open(sim_.env(), options_);
  if (!opened) violated("open after the fault failed: " + opened.error().detail);
  store_ = *std::move(opened);
  verify();
  store_.reset();
  sim_.drop_tasks();
  return stopped;
}

/// A store that failed says so, takes nothing and acknowledges nothing, but reads on.
void StoreWorld::check_read_only() {
  const CommitNo durable = store_->durable();
  if (store_->writable() || store_->writable().error().code != Errc::kIo) violated("failed, but claims to be writable");
  for (const RecoveredStream& stream : store_->streams()) {
    StreamStore& s = *store_->find_stream(stream.name);
    const StreamState before = s.state();
    if (s.append({"x", "", "x", sim_.clock().wall(), ""}).value() != 0) violated("failed, but takes messages");
    if (s.remove(before.first_seq, false)) violated("failed, but removes messages");
    if (s.state().messages != before.messages) violated("failed, but its figures change");
  }
  sim_.run_for(std::chrono::seconds(1));
  if (store_->durable() != durable) violated("failed, but acknowledges");
}

void StoreWorld::remember_made(const Change& change) {
  if (recorded_ == nullptr) return;
  recorded_->steps.push_back({change, recorded_->disk.events.size()});
}

void StoreWorld::remember_erased(const std::string& bytes) {
  if (recorded_ == nullptr) return;
  for (RecordedLife::Step& step : recorded_->steps) {
    if (step.erased == bytes) step.erased_at = recorded_->disk.events.size();
  }
}

void StoreWorld::remember_acked() {
  if (recorded_ == nullptr) return;
  const auto next = std::find_if(recorded_->steps.begin() + static_cast<std::ptrdiff_t>(recorded_acked_),
                                 recorded_->steps.end(),
                                 [](const auto& step) { return step.acked_at == RecordedLife::kNever; });
  next->acked_at = recorded_->disk.events.size();
  recorded_acked_ = static_cast<size_t>(next - recorded_->steps.begin()) + 1;
}

/// After a restart `kept` of the open changes are there, and from now on must be; the others never were.
void StoreWorld::remember_recovered(size_t kept) {
  if (recorded_ == nullptr) return;
  for (; kept > 0; --kept) remember_acked();
  recorded_->lost.insert(recorded_->lost.end(), recorded_->steps.begin() + static_cast<std::ptrdiff_t>(recorded_acked_),
                         recorded_->steps.end());
  recorded_->steps.resize(recorded_acked_);
}

}  // namespace sluice::simulate
