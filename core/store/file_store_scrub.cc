// Verifying and mending of a FileStore's segments: in the background at a bounded rate, and where a reader meets damage.
#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "store/file_store.h"
#include "store/segment_repair.h"

namespace sluice {

namespace {
constexpr Logger kLog{"store"};
constexpr auto kScrubTick = std::chrono::seconds(1);
}  // namespace

void FileStore::tell(StoreEvent event) {
  if (event_listener_) event_listener_(event);
}

/// Worker thread.
Status FileStore::scrub_pages(Disk& disk, ScrubStep& step) {
  auto file = disk.open(step.path, OpenMode::kReadWrite);
  if (!file) return std::unexpected(file.error());
  SegmentPages pages(**file, step.trailer);
  const uint32_t checked = step.trailer.pages + step.trailer.parity_pages;
  if (step.first == 0) {
    auto mended = pages.mend_tables();
    if (!mended) return std::unexpected(mended.error());
    step.tables_mended = *mended;
  }
  for (uint32_t page = step.first; page < std::min(step.end, checked); ++page) {
    auto state = pages.check(page);
    if (!state) return std::unexpected(state.error());
    if (*state == PageState::kRepaired) step.repaired.push_back(page);
    if (*state == PageState::kDamaged) step.damaged.push_back(page);
  }
  return {};
}

/// A second's worth of pages of one segment.
void FileStore::scrub_step() {
  if (failure_ || closing_) return;
  const auto& files = files_.all();
  auto it = files.lower_bound(scrub_file_);
  while (it != files.end() && (it->second->is_journal || it->second->shape == nullptr || !it->second->shape->trailer ||
                               it->second->erases_pending != 0)) {
    ++it;
  }
  if (it == files.end()) {
    if (scrub_file_ != 0) ++scrub_passes_;
    scrub_file_ = 0;
    scrub_page_ = 0;
    scrub_timer_->start(std::max<std::chrono::seconds>(options_.scrub_every, kScrubTick));
    return;
  }
  if (it->first != scrub_file_) scrub_page_ = 0;
  scrub_file_ = it->first;
  auto step = std::make_shared<ScrubStep>();
  step->path = it->second->path;
  step->trailer = *it->second->shape->trailer;
  step->first = scrub_page_;
  step->end = scrub_page_ + static_cast<uint32_t>(std::clamp<uint64_t>(options_.scrub_bytes_per_second / format::kBlock, 1, 1 << 20));
  background([step, &disk = env_.disk] { return scrub_pages(disk, *step); },
             [this, step, number = it->first](Status result) { scrubbed(number, *step, result); });
}

void FileStore::scrubbed(uint64_t number, const ScrubStep& step, const Status& result) {
  if (failure_ || closing_) return;
  const uint32_t checked = step.trailer.pages + step.trailer.parity_pages;
  scrub_page_ = step.end;
  if (!result || step.end >= checked) {
    scrub_file_ = number + 1;
    scrub_page_ = 0;
  }
  scrub_timer_->start(kScrubTick);
  StoreFile* file = files_.find(number);
  if (file == nullptr) return;  // retired meanwhile
  if (!result) {
    ++read_errors_;
    SLUICE_LOG(kLog, kError, "segment {} could not be verified error={}", step.path, result.error().detail);
    return;
  }
  scrubbed_bytes_ += uint64_t{std::min(step.end, checked) - step.first} * format::kBlock;
  repaired_pages_ += step.repaired.size() + step.tables_mended;
  if (!step.repaired.empty() || step.tables_mended != 0) cache_.forget(number);
  for (const uint32_t page : step.repaired) {
    SLUICE_LOG(kLog, kWarn, "page {} of {} was damaged and is rebuilt", page, step.path);
    tell({StoreEvent::Kind::kRepaired, "", StreamSeq(0), fmt::format("page {} of {}", page, step.path)});
  }
  if (step.tables_mended != 0) SLUICE_LOG(kLog, kWarn, "{} pages of the check tables of {} were damaged and are rebuilt", step.tables_mended, step.path);
  for (const uint32_t page : step.damaged) page_lost(*file, page);
}

/// A reader met damage in a segment. True when the page was rebuilt. Blocks: some twenty pages are read.
bool FileStore::mend_page(StoreFile& file, uint64_t page) {
  if (file.is_journal || file.shape == nullptr || !file.shape->trailer || page >= file.shape->trailer->pages) return false;
  auto writable_file = env_.disk.open(file.path, OpenMode::kReadWrite);
  if (!writable_file) return false;
  const auto state = SegmentPages(**writable_file, *file.shape->trailer).check(static_cast<uint32_t>(page));
  if (!state || *state != PageState::kRepaired) return false;
  ++repaired_pages_;
  cache_.forget(file.number);
  SLUICE_LOG(kLog, kWarn, "page {} of {} was damaged and is rebuilt", page, file.path);
  tell({StoreEvent::Kind::kRepaired, "", StreamSeq(0), fmt::format("page {} of {}", page, file.path)});
  return true;
}

bool FileStore::mend_record(StoreFile& file, uint64_t offset, uint64_t size) {
  bool mended = false;
  for (uint64_t page = offset / format::kBlock; page <= (offset + size - 1) / format::kBlock; ++page) mended |= mend_page(file, page);
  return mended;
}

/// Gives up, by exact sequence, the messages that a page which can't be rebuilt takes with it.
void FileStore::page_lost(StoreFile& file, uint32_t page) {
  ++damaged_pages_;
  file.damaged = true;
  SLUICE_LOG(kLog, kError, "page {} of {} is damaged and can't be rebuilt", page, file.path);
  const uint64_t begin = uint64_t{page} * format::kBlock;
  const uint64_t end = begin + format::kBlock;
  struct Place {
    uint32_t stream;
    uint64_t seq;
    uint64_t offset;
  };
  std::vector<Place> touched;  // whose record begins in the page, and those of the record before
  std::vector<Place> before;
  const std::vector<SegmentPart> parts = file.parts;
  for (const SegmentPart& part : parts) {
    each_entry(file.number, part.stream, part.first, part.last, [&](const format::IndexEntry& e) {
      if (e.offset < begin) {
        if (!before.empty() && before.back().offset != e.offset) before.clear();
        before.push_back({part.stream, e.seq, e.offset});
      }
      if (e.offset >= begin && e.offset < end) touched.push_back({part.stream, e.seq, e.offset});
    });
  }
  touched.insert(touched.end(), before.begin(), before.end());
  cache_.forget(file.number);
  unpacked_.clear();
  for (const Place& place : touched) {
    if (const auto stream = by_id_.find(place.stream); stream != by_id_.end()) (void)stream->second->load(StreamSeq(place.seq));
  }
  maintain_soon();
}

}  // namespace sluice
