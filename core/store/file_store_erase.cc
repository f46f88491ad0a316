// Erasing of a FileStore: see erasure.h. The intent is a record of the journal; what it names is overwritten when the
// intent is on disk, then what recycled files hold of it (file_store_wipe.cc), and after a crash all of that again.
#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "store/file_store.h"

namespace sluice {

using format::Record;

/// Neither the file with the intent nor the one with the message leaves before the work is done.
void FileStore::pend_erasure(const Erasure& erasure, int by) {
  for (const uint64_t number : {erasure.intent_file, erasure.file}) {
    if (StoreFile* file = files_.find(number)) file->erases_pending = static_cast<uint32_t>(static_cast<int>(file->erases_pending) + by);
  }
}

std::deque<FileStore::Erasing>::iterator FileStore::erasing(uint64_t number) {
  const auto found = std::lower_bound(erasing_.begin(), erasing_.end(), number,
                                      [](const Erasing& e, uint64_t n) { return e.number < n; });
  SLUICE_CHECK(found != erasing_.end() && found->number == number);
  return found;
}

uint64_t FileStore::add_erasure(const Erasure& erasure, bool copies_known) {
  pend_erasure(erasure, 1);
  erasing_.push_back({++last_erasing_, erasure, copies_known});
  return last_erasing_;
}

void FileStore::begin_erasure(const Erasure& erasure) { prove_intent(add_erasure(erasure, false)); }

/// From the first round on: an opening appends nothing, so that all there is then is durable.
void FileStore::resume_erasures(const std::vector<Erasure>& recovered) {
  if (recovered.empty()) return;
  for (const Erasure& erasure : recovered) add_erasure(erasure, true);
  env_.executor.post([this, last = last_erasing_, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired() || failure_ || closing_) return;
    for (uint64_t number = 1; number <= last; ++number) prove_intent(number);
  });
}

void FileStore::prove_intent(uint64_t number) {
  when_synced(journal_->commit(), [this, number] {
    // The batch with the intent is on disk; the next one proves the batches before it, after which that of the message
    // may differ from its checksum.
    if (failure_ || closing_) return;
    wipe_leftovers(erasing(number)->what);
    journal_->append(Record{});
    when_synced(journal_->commit(), [this, number] { erase_now(number); });
  });
}

void FileStore::erase_now(uint64_t number) {
  if (failure_) return;
  const auto begun = erasing(number);
  const Erasure& erasure = begun->what;
  if (retire_ != nullptr && !retire_->adopted &&
      std::any_of(retire_->sources.begin(), retire_->sources.end(), [&](uint64_t source) {
        return source == erasure.file || files_.find(source)->may_hold(erasure.stream, erasure.seq);
      })) {
    retire_->erase_after.push_back(number);
    return;
  }
  background([erasure, targets = erasure_targets(*begun), &disk = env_.disk, keys = options_.keys] {
               return run_erasure(disk, erasure, targets, keys);
             },
             [this, number](const Status& result) { overwritten(number, result); });
}

std::vector<ErasureTarget> FileStore::erasure_targets(const Erasing& erasing) {
  const Erasure& erasure = erasing.what;
  std::vector<ErasureTarget> targets;
  for (const auto& [number, file] : files_.all()) {
    if (file->leaving) continue;
    if (!file->is_journal) {
      each_entry(number, erasure.stream, erasure.seq, erasure.seq, [&](const format::IndexEntry& e) {
        targets.push_back({file->path, e.offset, 0, file->seed, file->shape->trailer});
      });
    } else if (number == erasure.file) {
      targets.push_back({file->path, erasure.offset, 0, file->seed, {}});
      if (std::byte* memory = journal_->in_memory(*file, erasure.offset)) {
        const auto blank = erased_record(erasure, file->seed);
        std::copy(blank.begin(), blank.end(), memory);
      }
    } else if (!erasing.copies_known && file->may_hold(erasure.stream, erasure.seq)) {
      targets.push_back({file->path, 0, journal_->end_on_disk(*file), file->seed, {}});
    }
  }
  return targets;
}

void FileStore::overwritten(uint64_t number, const Status& result) {
  if (failure_) return;
  if (!result && result.error().code == Errc::kNoSpace) {
    erasures_waiting_.push_back(number);
    return wait_for_space();
  }
  if (!result) return fail_store(result.error());
  const auto begun = erasing(number);
  begun->overwritten = true;
  const Erasure erasure = begun->what;
  unpacked_.clear();
  for (const auto& [file_number, file] : files_.all()) {
    if (file_number == erasure.file || file->holds(erasure.stream)) cache_.forget(file_number);
  }
  wipe_leftovers(erasure);
  finish_erasures();
}

/// Those of which nothing is left now.
void FileStore::finish_erasures() {
  const size_t before = erasing_.size();
  std::erase_if(erasing_, [this](const Erasing& e) {
    if (!e.overwritten || left_over(e.what)) return false;
    pend_erasure(e.what, -1);
    ++erasures_;
    return true;
  });
  if (erasing_.size() != before) erasures_finished();
}

void FileStore::erasures_finished() {
  const uint64_t open_from = erasing_.empty() ? UINT64_MAX : erasing_.front().number;
  while (!erase_waiters_.empty() && erase_waiters_.front().commit < open_from) {
    auto done = std::move(erase_waiters_.front().done);
    erase_waiters_.pop_front();
    done();
  }
  if (retire_ != nullptr && retire_->waits_for_erase) recycle();
  maintain_soon();
}

void FileStore::when_erased(std::move_only_function<void()> done) {
  if (!erasing_.empty()) return erase_waiters_.push_back({last_erasing_, std::move(done)});
  env_.executor.post([this, done = std::move(done), alive = std::weak_ptr<bool>(alive_)]() mutable {
    if (!alive.expired() && !failure_) done();  // a store that failed overwrites nothing any more
  });
}

}  // namespace sluice
