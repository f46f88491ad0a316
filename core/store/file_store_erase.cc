// Erasing of a FileStore: see erasure.h. The intent is a record of the journal; what it names is overwritten when the
// intent is on disk, and after a crash again.
#include <algorithm>

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

void FileStore::begin_erasure(const Erasure& erasure) {
  pend_erasure(erasure, 1);
  erasures_pending_.push_back(erasure);
  prove_intent(erasure);
}

/// From the first round on: an opening appends nothing, so that all there is then is durable.
void FileStore::resume_erasures(const std::vector<Erasure>& recovered) {
  for (const Erasure& erasure : recovered) {
    pend_erasure(erasure, 1);
    erasures_pending_.push_back(erasure);
  }
  if (recovered.empty()) return;
  env_.executor.post([this, recovered, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired() || failure_ || closing_) return;
    for (const Erasure& erasure : recovered) prove_intent(erasure);
  });
}

void FileStore::prove_intent(const Erasure& erasure) {
  if (retire_ != nullptr && retire_->adopted && retire_->copy->find(erasure.stream, erasure.seq) != nullptr) retire_->wipe = true;
  when_synced(journal_->commit(), [this, erasure] {
    // The batch with the intent is on disk; the next one proves the batches before it, after which that of the message
    // may differ from its checksum.
    if (failure_ || closing_) return;
    journal_->append(Record{});
    when_synced(journal_->commit(), [this, erasure] { erase_now(erasure); });
  });
}

void FileStore::erase_now(const Erasure& erasure) {
  if (failure_) return;
  if (retire_ != nullptr && !retire_->adopted && retire_->copy->copies(erasure.file)) {
    retire_->erase_after.push_back(erasure);
    return;
  }
  std::vector<ErasureTarget> targets;
  StoreFile* stood = files_.find(erasure.file);
  if (stood != nullptr && stood->is_journal && !stood->leaving) {
    targets.push_back({stood->path, erasure.offset, stood->seed, {}});
    if (std::byte* memory = journal_->in_memory(*stood, erasure.offset)) {
      const auto blank = erased_record(erasure, stood->seed);
      std::copy(blank.begin(), blank.end(), memory);
    }
  }
  for (const auto& [number, file] : files_.all()) {
    if (file->is_journal || file->leaving) continue;
    each_entry(number, erasure.stream, erasure.seq, erasure.seq, [&](const format::IndexEntry& e) {
      targets.push_back({file->path, e.offset, file->seed, file->shape->trailer});
    });
  }
  background([erasure, targets, &disk = env_.disk, keys = options_.keys] { return run_erasure(disk, erasure, targets, keys); },
             [this, erasure](Status result) { erased(erasure, result); });
}

/// Whether a file that goes may still hold what is being erased.
bool FileStore::must_wipe(StoreFile& file) const {
  return std::any_of(erasures_pending_.begin(), erasures_pending_.end(), [&](const Erasure& e) { return file.holds(e.stream); });
}

/// A file that has left the store.
void FileStore::wipe(const std::string& path) {
  background([path, &disk = env_.disk] { return wipe_file(disk, path); },
             [this, path](Status result) {
               if (result) return;
               if (result.error().code != Errc::kNoSpace) return fail_store(result.error());
               wipes_waiting_.push_back(path);  // copy-on-write disks need space for this too
               set_no_space(true);
               if (!closing_) space_timer_->start(std::chrono::milliseconds(200));
             });
}

void FileStore::erased(const Erasure& erasure, const Status& result) {
  if (!result && result.error().code == Errc::kNoSpace) {
    erasures_waiting_.push_back(erasure);
    set_no_space(true);
    if (!closing_) space_timer_->start(std::chrono::milliseconds(200));
    return;
  }
  if (!result) {
    fail_store(result.error());
    return;
  }
  ++erasures_;
  std::erase_if(erasures_pending_, [&](const Erasure& e) { return e.stream == erasure.stream && e.seq == erasure.seq; });
  unpacked_.clear();
  for (const auto& [number, file] : files_.all()) {
    if (number == erasure.file || file->holds(erasure.stream)) cache_.forget(number);
  }
  pend_erasure(erasure, -1);
  if (retire_ != nullptr && retire_->waits_for_erase) recycle();
  maintain_soon();
}

}  // namespace sluice
