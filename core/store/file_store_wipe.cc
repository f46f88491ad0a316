// What recycled journal files of a FileStore hold of a message that is erased: spares, the part of each journal file
// behind what was written to it, files that leave meanwhile. Zeros are written over it, on the worker.
#include <algorithm>

#include "store/file_store.h"

namespace sluice {

/// Whether anything but the files in use may hold the message.
bool FileStore::left_over(const Erasure& e) const {
  const auto holds = [&](const Spare& spare) { return spare.leftovers.may_hold(e.stream, e.seq, 0); };
  if (std::any_of(spares_.begin(), spares_.end(), holds) || std::any_of(wiping_.begin(), wiping_.end(), holds)) return true;
  return std::any_of(files_.all().begin(), files_.all().end(), [&](const auto& entry) {
    StoreFile& file = *entry.second;
    if (file.leaving && file.may_hold(e.stream, e.seq)) return true;
    return file.is_journal && file.leftovers.may_hold(e.stream, e.seq, journal_->end_on_disk(file));
  });
}

bool FileStore::erasing_in(const Leftovers& leftovers) const {
  return std::any_of(erasing_.begin(), erasing_.end(),
                     [&](const Erasing& e) { return leftovers.may_hold(e.what.stream, e.what.seq, 0); });
}

/// Whether a file that goes may still hold what is being erased.
bool FileStore::must_wipe(StoreFile& file) const {
  if (erasing_in(file.leftovers)) return true;
  return std::any_of(erasing_.begin(), erasing_.end(),
                     [&](const Erasing& e) { return file.may_hold(e.what.stream, e.what.seq); });
}

void FileStore::wipe_leftovers(const Erasure& e) {
  const auto clean = [&](const Spare& spare) { return !spare.leftovers.may_hold(e.stream, e.seq, 0); };
  const auto held = std::stable_partition(spares_.begin(), spares_.end(), clean);
  std::vector<Spare> dirty(std::make_move_iterator(held), std::make_move_iterator(spares_.end()));
  spares_.erase(held, spares_.end());
  for (Spare& spare : dirty) wipe_spare(std::move(spare));
  std::vector<uint64_t> files;  // wiping may add one to the table
  for (const auto& [number, file] : files_.all()) {
    if (!file->is_journal || file->leaving || file->wiping) continue;
    if (file->leftovers.may_hold(e.stream, e.seq, journal_->end_on_disk(*file))) files.push_back(number);
  }
  for (const uint64_t number : files) wipe_tail(*files_.find(number));
}

void FileStore::wipe_spare(Spare spare) {
  const std::string path = spare.path;
  wiping_.push_back(std::move(spare));
  background([path, &disk = env_.disk] { return zero_file(disk, path, 0); },
             [this, path](const Status& result) { spare_wiped(path, result); });
}

void FileStore::spare_wiped(const std::string& path, const Status& result) {
  if (failure_) return;
  if (!result && result.error().code != Errc::kNoSpace) return fail_store(result.error());
  const auto spare = std::find_if(wiping_.begin(), wiping_.end(), [&](const Spare& s) { return s.path == path; });
  if (result) {
    spare->leftovers.clear();
  } else {
    wipe_again_ = true;
    wait_for_space();
  }
  spares_.push_back(std::move(*spare));
  wiping_.erase(spare);
  finish_erasures();
  maintain_soon();
}

/// Nothing is written to that file any more; what its cut batches tell is told again first.
void FileStore::wipe_tail(StoreFile& file) {
  file.wiping = true;
  const uint64_t number = file.number;
  if (&file == journal_->current_or_null()) {
    journal_->rotate();
    journal_->append(format::Record{});
  }
  if (std::exchange(file.cut, false)) {
    for (const auto& [id, stream] : by_id_) {
      if (stream->last_file() == number) stream->state_meta();
    }
  }
  when_synced(journal_->commit(), [this, number] {
    const StoreFile* full = files_.find(number);
    if (failure_ || closing_ || full == nullptr || full->leaving) return;  // as a spare it is wiped whole
    background([path = full->path, tail = full->tail, &disk = env_.disk] { return zero_file(disk, path, tail); },
               [this, number](const Status& result) { tail_wiped(number, result); });
  });
}

void FileStore::tail_wiped(uint64_t number, const Status& result) {
  if (failure_) return;
  if (!result && result.error().code != Errc::kNoSpace) return fail_store(result.error());
  if (StoreFile* file = files_.find(number)) {
    file->wiping = false;
    if (result) file->leftovers.clear();
  }
  if (!result) {
    wipe_again_ = true;
    return wait_for_space();
  }
  finish_erasures();
}

/// A journal file that was recycled.
void FileStore::keep_spare(const std::string& path, Leftovers leftovers) {
  if (erasing_in(leftovers)) return wipe_spare({path, std::move(leftovers)});
  spares_.push_back({path, std::move(leftovers)});
}

/// A file that has left the store.
void FileStore::wipe_and_remove(const std::string& path) {
  if (std::none_of(wiping_.begin(), wiping_.end(), [&](const Spare& s) { return s.path == path; })) {
    wiping_.push_back({path, Leftovers::unknown()});
  }
  background([path, &disk = env_.disk] { return wipe_file(disk, path); },
             [this, path](const Status& result) {
               if (failure_) return;
               if (result) {
                 std::erase_if(wiping_, [&](const Spare& s) { return s.path == path; });
                 finish_erasures();
                 return maintain_soon();
               }
               if (result.error().code != Errc::kNoSpace) return fail_store(result.error());
               wipes_waiting_.push_back(path);  // copy-on-write disks need space for this too
               wait_for_space();
             });
}

/// What found no space.
void FileStore::wipe_again() {
  for (const std::string& path : std::exchange(wipes_waiting_, {})) wipe_and_remove(path);
  if (!std::exchange(wipe_again_, false)) return;
  const std::deque<Erasing> all = erasing_;
  for (const Erasing& e : all) wipe_leftovers(e.what);
}

}  // namespace sluice
