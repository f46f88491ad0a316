#include "store/file_store.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "store/message_run.h"
#include "store/packed.h"

namespace sluice {

using format::Record;
using format::RecordType;

namespace {
constexpr Logger kLog{"store"};
constexpr size_t kMaxOpenSegments = 128;
constexpr size_t kUnpackedRuns = 32;
constexpr uint64_t kMinJournalFile_bytes = 16 * kKiB;
}  // namespace

Result<std::unique_ptr<Store>> Store::open(Env& env, const StoreOptions& options) {
  auto store = std::make_unique<FileStore>(env, options);
  if (auto s = store->open(); !s) return std::unexpected(s.error());
  return std::unique_ptr<Store>(std::move(store));
}

FileStore::FileStore(Env& env, StoreOptions options)
    : env_(env), options_(std::move(options)), cache_(std::max<uint64_t>(options_.cache_bytes / 4, 256 * kKiB)),
      cold_cache_(options_.cache_bytes / 4 / (MessageIndex::kChunk * sizeof(MessagePlace))),
      worker_(env.disk_workers.make("store-background")) {
  options_.journal_file_bytes = format::align_block(std::max(options_.journal_file_bytes, kMinJournalFile_bytes));
}

FileStore::~FileStore() {
  // Jobs look at files and windows they share; nothing of this object.
  worker_.reset();
  journal_.reset();
}

Status FileStore::open() {
  Disk& disk = env_.disk;
  for (const char* sub : {"/journal", "/segments"}) {
    if (auto s = disk.make_dirs(options_.dir + sub); !s) return s;
  }
  if (auto s = sync_folders(); !s) return s;
  auto lock = disk.lock_dir(options_.dir);
  if (!lock) return std::unexpected(lock.error());
  lock_ = std::move(*lock);

  if (options_.keys != nullptr) sealer_ = std::make_unique<Sealer>(options_.keys);
  Recovery recovery(disk, options_.dir, files_, report_, sealer_.get());
  if (auto s = recovery.run(); !s) return s;
  store_id_ = recovery.store_id;
  while (store_id_ == 0) store_id_ = env_.random.u64();
  for (std::string& path : recovery.spares) spares_.push_back({std::move(path), Leftovers::unknown()});
  next_file_ = recovery.next_file;
  next_stream_ = recovery.next_stream;
  next_consumer_ = recovery.next_consumer;
  journal_ = std::make_unique<Journal>(env_, options_, store_id_, files_, *this);
  sync_timer_ = env_.timers.make([this] {
    journal_->request_sync();
    sync_timer_->start(options_.sync_interval);
  });
  if (options_.sync == SyncMode::kInterval) need_interval_sync();
  journal_->start(recovery.next_batch, recovery.commit);
  if (auto s = adopt(recovery); !s) return s;
  if (auto s = adopt_ids(recovery); !s) return s;

  for (Spare& spare : std::exchange(spares_, {})) {
    auto file = disk.open(spare.path, OpenMode::kRead);
    auto size = file ? (*file)->size() : Result<uint64_t>(0);
    if (size && *size >= options_.journal_file_bytes) {
      spares_.push_back(std::move(spare));
    } else if (auto s = disk.remove(spare.path); !s) {  // cut short by a crash, or refused by the disk: no erase would look into it
      return s;
    }
  }
  if (spares_.empty()) {
    const std::string path = fmt::format("{}/journal/spare-{:08}.jnl", options_.dir, take_file_number());
    Status made = prewrite_file(disk, options_.dir + "/journal", path, options_.journal_file_bytes, Prewrite::kAtOnce);
    if (!made && made.error().code != Errc::kNoSpace) return made;
    if (made) spares_.push_back({path, {}});
    if (made) prewritten_bytes_ += options_.journal_file_bytes;
    if (!made) no_space_ = disk_full();
  }
  space_timer_ = env_.timers.make([this] { check_space(); });
  spare_timer_ = env_.timers.make([this] { spares_at_rest(); });
  memory_timer_ = env_.timers.make([this] { memory_at_rest(); });
  scrub_timer_ = env_.timers.make([this] { scrub_step(); });
  if (options_.scrub_bytes_per_second != 0) scrub_timer_->start(std::chrono::seconds(1));
  resume_erasures(recovery.erasures);
  if (!no_space_.empty()) space_timer_->start(std::chrono::milliseconds(200));
  if (options_.sync != SyncMode::kAlways) {
    SLUICE_LOG(kLog, kWarn, "store acknowledges before data is on disk dir={} sync={}", options_.dir,
               options_.sync == SyncMode::kNone ? "none" : "interval");
  }
  SLUICE_LOG(kLog, kInfo, "store open dir={} streams={} consumers={} batches={} lost={} cut_bytes={}", options_.dir,
             by_id_.size(), consumers_.size(), report_.journal_batches, report_.lost_records, report_.cut_bytes);
  maintain_soon();
  return {};
}

/// Ids are hints: a file of them that can't be read only lets a message in twice.
Status FileStore::adopt_ids(const Recovery& recovery) {
  for (const auto& [number, path] : recovery.id_files) {
    auto opened = open_ids(env_.disk, path, number, store_id_, sealer_.get());
    if (opened) {
      id_files_.push_back(std::move(*opened));
      continue;
    }
    if (opened.error().code == Errc::kUnsupported) return std::unexpected(opened.error());
    SLUICE_LOG(kLog, kWarn, "message ids of {} are not remembered error={}", path, opened.error().detail);
  }
  return {};
}

void FileStore::each_kept_id(uint32_t stream, WallNanos since, const std::function<void(const Record&)>& visit) {
  for (const IdFile& file : id_files_) {
    if (file.newest < since) continue;
    const Status read = read_ids(env_.disk, file, stream, store_id_, sealer_.get(), [&](const Record& r) {
      if (r.time >= since) visit(r);
    });
    if (!read) SLUICE_LOG(kLog, kWarn, "message ids of {} are not remembered error={}", file.path, read.error().detail);
  }
}

/// The names of the folders must outlive a power cut too: the store's own and its parent's entries for
/// certain, those above (which may not be ours to open) as far as possible.
Status FileStore::sync_folders() {
  if (auto s = env_.disk.sync_dir(options_.dir); !s) return s;
  bool parent = true;
  for (std::string folder = options_.dir; folder != "/" && folder != "."; parent = false) {
    const size_t slash = folder.find_last_of('/');
    folder = slash == std::string::npos ? "." : slash == 0 ? "/" : folder.substr(0, slash);
    if (auto s = env_.disk.sync_dir(folder); !s && parent && folder != ".") return s;
  }
  return {};
}

Status FileStore::adopt(Recovery& recovery) {
  for (auto& [id, state] : recovery.streams) {
    if (state.name.empty() || state.deleted) continue;
    auto stream = std::make_unique<FileStream>(*this, id, state.name, state.meta);
    stream->restore_begin(std::move(state));
    by_name_[stream->name()] = stream.get();
    by_id_[id] = std::move(stream);
  }
  if (auto s = adopt_segments(recovery); !s) return s;
  for (auto& [id, stream] : by_id_) stream->restore_end(recovery);
  for (const auto& [number, file] : files_.all()) {
    if (file->is_journal) continue;
    for (const SegmentPart& part : file->parts) {
      file->live_messages += part.live;
      file->live_bytes += part.live_bytes;
    }
  }
  for (auto& [key, state] : recovery.consumers) {
    const auto stream = by_id_.find(state.stream);
    if (stream == by_id_.end()) continue;
    Consumer& c = consumers_[key];
    c.stream = state.stream;
    c.name = state.name;
    c.meta = state.meta;
    c.meta_file = state.meta_file;
    c.recovered = RecoveredConsumer{ConsumerKey(key), stream->second->name(), state.name, state.meta,
                                    std::move(state.snapshot), std::move(state.deltas)};
    consumer_keys_[{c.stream, c.name}] = key;
  }
  return {};
}

Status FileStore::adopt_segments(Recovery& recovery) {
  for (const auto& [number, file] : files_.all()) {
    if (file->is_journal || file->parts.empty()) continue;
    auto summary = recovery.take_summary(*file);
    if (!summary) return std::unexpected(summary.error());
    format::read_summary_parts(*summary, [&](const format::PartSummary& counted) {
      SegmentPart* part = file->part_of(counted.stream);
      const auto stream = by_id_.find(counted.stream);
      if (stream == by_id_.end()) {
        part->live = 0;
        part->live_bytes = 0;
      } else {
        stream->second->restore_part(*file, *part, counted);
      }
    });
  }
  return {};
}

// -- streams and consumers

std::vector<RecoveredStream> FileStore::streams() const {
  std::vector<RecoveredStream> all;
  for (const auto& [name, stream] : by_name_) all.push_back({name, stream->meta()});
  return all;
}

std::vector<RecoveredConsumer> FileStore::consumers(std::string_view stream) const {
  std::vector<RecoveredConsumer> all;
  const auto found = by_name_.find(stream);
  if (found == by_name_.end()) return all;
  for (const auto& [key, consumer] : consumers_) {
    if (consumer.stream == found->second->id() && consumer.recovered) all.push_back(*consumer.recovered);
  }
  return all;
}

Result<StreamStore*> FileStore::create_stream(std::string_view name, std::string_view meta, StreamSeq first_seq) {
  if (failure_) return std::unexpected(*failure_);
  if (by_name_.contains(name)) return fail(Errc::kExists, "stream exists on disk");
  if (next_stream_ >= UINT32_MAX) return fail(Errc::kFull, "no stream id is left in this store directory");
  const auto id = static_cast<uint32_t>(next_stream_++);
  auto stream = std::make_unique<FileStream>(*this, id, std::string(name), std::string(meta));
  stream->start_at(first_seq);
  stream->state_meta();
  FileStream* made = stream.get();
  by_name_[made->name()] = made;
  by_id_[id] = std::move(stream);
  return made;
}

StreamStore* FileStore::find_stream(std::string_view name) {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

void FileStore::update_stream_meta(std::string_view name, std::string_view meta) {
  const auto found = by_name_.find(name);
  if (found != by_name_.end() && !failure_) found->second->set_meta(meta);
}

void FileStore::delete_stream(std::string_view name) {
  const auto found = by_name_.find(name);
  if (found == by_name_.end() || failure_) return;
  FileStream* stream = found->second;
  const uint32_t id = stream->id();
  stream->release_all();
  Record r;
  r.type = RecordType::kStreamDelete;
  r.stream = id;
  journal_->append(r).file->deleted_streams.insert(id);
  std::erase_if(consumers_, [&](const auto& entry) { return entry.second.stream == id; });
  std::erase_if(consumer_keys_, [&](const auto& entry) { return entry.first.first == id; });
  by_name_.erase(found);
  by_id_.erase(id);
  maintain_soon();
}

Journal::Written FileStore::write_consumer(RecordType type, uint64_t key, std::string_view payload) {
  Record r;
  r.type = type;
  r.seq = key;
  r.payload = payload;
  const Journal::Written written = journal_->append(r);
  written.file->consumers.insert(key);
  return written;
}

void FileStore::write_consumer_meta(uint64_t key, Consumer& consumer) {
  Record r;
  r.type = RecordType::kConsumerMeta;
  r.stream = consumer.stream;
  r.seq = key;
  r.subject = consumer.name;
  r.payload = consumer.meta;
  for (int copy = 0; copy < 2; ++copy) {
    StoreFile* file = journal_->append(r).file;
    file->consumers.insert(key);
    consumer.meta_file = file->number;
  }
}

ConsumerKey FileStore::put_consumer(std::string_view stream, std::string_view name, std::string_view meta) {
  const auto found = by_name_.find(stream);
  if (found == by_name_.end() || failure_) return ConsumerKey(0);
  const auto [it, fresh] = consumer_keys_.try_emplace({found->second->id(), std::string(name)}, next_consumer_);
  if (fresh) ++next_consumer_;
  Consumer& consumer = consumers_[it->second];
  consumer.stream = found->second->id();
  consumer.name = name;
  consumer.meta = meta;
  if (consumer.recovered) consumer.recovered->meta = meta;
  write_consumer_meta(it->second, consumer);
  return ConsumerKey(it->second);
}

void FileStore::delete_consumer(ConsumerKey key) {
  const auto found = consumers_.find(key.value());
  if (found == consumers_.end() || failure_) return;
  consumer_keys_.erase({found->second.stream, found->second.name});
  consumers_.erase(found);
  write_consumer(RecordType::kConsumerDelete, key.value(), {});
}

void FileStore::append_consumer_delta(ConsumerKey key, std::string_view delta) {
  const auto found = consumers_.find(key.value());
  if (found == consumers_.end() || failure_) return;
  found->second.recovered.reset();
  write_consumer(RecordType::kConsumerDelta, key.value(), delta);
}

void FileStore::set_consumer_snapshot_source(std::function<std::string(ConsumerKey)> source) {
  snapshot_source_ = std::move(source);
  maintain_soon();
}

// -- commit

void FileStore::fill_ids(format::BatchHeader& header) const {
  header.next_stream = next_stream_;
  header.next_consumer = next_consumer_;
  header.next_file = next_file_;
}

void FileStore::when_durable(CommitNo commit, std::move_only_function<void()> done) {
  if (durable() >= commit) {
    done();
    return;
  }
  auto at = waiters_.end();
  while (at != waiters_.begin() && std::prev(at)->commit > commit.value()) --at;
  waiters_.insert(at, Waiter{commit.value(), std::move(done)});
}

void FileStore::when_synced(uint64_t commit, std::move_only_function<void()> done) {
  if (journal_->synced_commit() >= commit) {
    done();
    return;
  }
  auto at = sync_waiters_.end();
  while (at != sync_waiters_.begin() && std::prev(at)->commit > commit) --at;
  sync_waiters_.insert(at, Waiter{commit, std::move(done)});
  journal_->request_sync();
}

void FileStore::on_durable(std::move_only_function<void(CommitNo)> listener) {
  listeners_.push_back(std::move(listener));
}

void FileStore::journal_committed() {
  if (failure_) return close_step();  // on disk, but nothing is acknowledged any more
  for (size_t i = 0; i < listeners_.size(); ++i) listeners_[i](durable());
  run_waiters();
  close_step();
}

void FileStore::run_waiters() {
  const auto run = [](std::deque<Waiter>& queue, const auto& reached) {
    while (!queue.empty() && queue.front().commit <= reached()) {
      auto done = std::move(queue.front().done);
      queue.pop_front();
      done();
    }
  };
  run(waiters_, [&] { return journal_->durable_commit(); });
  run(sync_waiters_, [&] { return journal_->synced_commit(); });
}

void FileStore::fail_store(const Error& why) {
  if (failure_) return;
  durable_at_failure_ = durable();
  failure_ = Error{Errc::kIo, 0, why.detail};
  SLUICE_LOG(kLog, kError, "store is read-only until restart dir={} error={}", options_.dir, why.detail);
  tell({StoreEvent::Kind::kReadOnly, "", StreamSeq(0), why.detail});
  close_step();
}

void FileStore::journal_failed(const Error& why) { fail_store(why); }

void FileStore::need_interval_sync() {
  if (std::exchange(interval_sync_, true)) return;
  sync_timer_->start(options_.sync_interval);
}

void FileStore::journal_blocked(bool blocked) {
  if (blocked) wait_for_space();
}

void FileStore::journal_rotated() {
  maintain_soon();
  bound_journal();
}

std::string FileStore::take_spare(uint64_t number) {
  spare_taken_ = spare_needed_ = true;
  maintain_soon();
  if (spares_.empty()) return {};
  Spare spare = std::move(spares_.front());
  spares_.erase(spares_.begin());
  if (StoreFile* file = files_.find(number)) file->leftovers = std::move(spare.leftovers);
  return std::move(spare.path);
}

Status FileStore::writable() const {
  if (failure_) return std::unexpected(*failure_);
  if (closing_) return fail(Errc::kClosed, "store is closing");
  if (!no_space_.empty()) return fail(Errc::kNoSpace, no_space_);
  return {};
}

void FileStore::close(std::move_only_function<void(Status)> done) {
  closing_ = true;
  close_done_ = std::move(done);
  space_timer_->stop();
  spare_timer_->stop();
  memory_timer_->stop();
  sync_timer_->stop();
  scrub_timer_->stop();
  journal_->request_sync();
  close_step();
}

/// Everything written, then one empty batch that proves the last real one, then done.
void FileStore::close_step() {
  if (!closing_ || !close_done_) return;
  if (!failure_) {
    if (!journal_->idle() || journal_->synced_commit() != journal_->commit() || background_jobs_ != 0) return;
    if (!close_sealed_ && journal_->has_file()) {
      close_sealed_ = true;
      journal_->append(Record{});
      journal_->request_sync();
      return;
    }
  }
  env_.executor.post([done = std::move(close_done_), why = failure_]() mutable {
    done(why ? Status(std::unexpected(*why)) : Status());
  });
  close_done_ = nullptr;
}

// -- reading

Status FileStore::open_for_reading(StoreFile& file) {
  if (file.file != nullptr) return {};
  auto opened = env_.disk.open(file.path, OpenMode::kRead);
  if (!opened) return std::unexpected(opened.error());
  file.file = std::move(*opened);
  open_segments_.push_back(file.number);
  if (open_segments_.size() > kMaxOpenSegments) {
    if (StoreFile* oldest = files_.find(open_segments_.front())) oldest->file.reset();
    open_segments_.pop_front();
  }
  return {};
}

Result<FileStore::ReadRecord> FileStore::read_record(uint64_t number, uint64_t offset) {
  StoreFile* file = files_.find(number);
  if (file == nullptr) return fail(Errc::kCorrupt, "its file is gone");
  if (const auto* window = file->window_at(offset)) {
    const size_t at = offset - (*window)->file_offset;
    const std::span<const std::byte> bytes((*window)->bytes.get() + at, (*window)->used - at);
    auto record = format::parse_record(bytes);
    SLUICE_CHECK(record.has_value());
    latest_ = {number, offset, bytes, file->seed, true, *window};
    return opened(*record, *window, bytes, file->seed);
  }
  if (auto s = open_for_reading(*file); !s) {
    ++read_errors_;
    return std::unexpected(s.error());
  }
  uint64_t claimed = format::kRecordHeader;
  for (const int attempt : {0, 1, 2, 3}) {
    // As cached, read anew, and after its pages were mended: those of its header, then those of all of it.
    if (attempt >= 2 && !mend_record(*file, offset, claimed)) break;
    const bool fresh = attempt != 0;
    auto head = cache_.read(number, *file->file, offset, format::kRecordHeader, fresh);
    if (!head) {
      ++read_errors_;
      return std::unexpected(head.error());
    }
    const size_t size = format::peek_record_size(head->bytes);
    if (size == 0 || offset + size > file->size) continue;
    claimed = size;
    if (size > head->bytes.size()) head = cache_.read(number, *file->file, offset, size, false);
    if (!head) {
      ++read_errors_;
      return std::unexpected(head.error());
    }
    if (auto record = format::decode_record(head->bytes, file->seed)) {
      const size_t in_file = std::min<uint64_t>(head->bytes.size(), file->size - offset);
      latest_ = {number, offset, head->bytes.first(in_file), file->seed, false, head->pin};
      return opened(*record, std::move(head->pin), head->bytes, file->seed);
    }
  }
  return fail(Errc::kCorrupt, fmt::format("checksum of the record at {} in {} differs", offset, file->path));
}

std::optional<Record> FileStore::read_held(uint64_t number, uint64_t offset) const {
  if (number != held_.file || offset < held_.begin || offset - held_.begin >= held_.bytes.size()) return std::nullopt;
  const auto bytes = held_.bytes.subspan(offset - held_.begin);
  return held_.in_memory ? format::parse_record(bytes) : format::decode_record(bytes, held_.seed);
}

void FileStore::hold(std::shared_ptr<const void> pin) {
  if (pin == nullptr) return;
  held_ = latest_.pin == pin ? std::move(latest_) : Stretch{};
  held_.pin = std::move(pin);
  latest_ = {};
}

/// A sealed record is opened in bytes of its own: those that it was read from are shared.
Result<FileStore::ReadRecord> FileStore::opened(const Record& record, std::shared_ptr<const void> pin,
                                                std::span<const std::byte> bytes, uint64_t seed) {
  if (!record.sealed) return ReadRecord{record, std::move(pin)};
  const auto whole = bytes.first(format::record_size(record));
  auto plain = std::make_shared<std::vector<std::byte>>(whole.begin(), whole.end());
  if (!format::open_record(plain->data(), seed, sealer_.get())) return fail(Errc::kCorrupt, "no key opens the record");
  const auto again = format::parse_record(*plain);
  SLUICE_CHECK(again.has_value());
  return ReadRecord{*again, std::move(plain)};
}

Result<FileStore::ReadRecord> FileStore::read_message(uint64_t number, uint64_t offset, uint64_t seq) {
  auto known = std::find_if(unpacked_.begin(), unpacked_.end(),
                            [&](const Unpacked& u) { return u.file == number && u.offset == offset; });
  if (known == unpacked_.end()) {
    auto read = read_record(number, offset);
    std::optional<std::vector<std::byte>> run;
    if (!read && read.error().code == Errc::kCorrupt) run = salvage_run(number, offset);
    if (!run && (!read || !format::is_run(read->record.type))) return read;
    if (!run) run = format::unpack(read->record);
    if (!run) return fail(Errc::kCorrupt, "a run of messages can't be unpacked");
    unpacked_.push_front({number, offset, std::make_shared<const std::vector<std::byte>>(std::move(*run))});
    if (unpacked_.size() > kUnpackedRuns) unpacked_.pop_back();
    known = unpacked_.begin();
  }
  const auto found = format::find_in_run(*known->run, seq, known->hint);
  if (!found) return fail(Errc::kCorrupt, "not in its run of messages");
  return ReadRecord{*found, known->run.get() == held_.pin.get() ? nullptr : known->run};
}

/// What is intact of a run that can't be mended.
std::optional<std::vector<std::byte>> FileStore::salvage_run(uint64_t number, uint64_t offset) {
  StoreFile* file = files_.find(number);
  if (file == nullptr || file->is_journal || !open_for_reading(*file)) return std::nullopt;
  const size_t rest_of_page = std::min<uint64_t>(format::kBlock - offset % format::kBlock, file->size - offset);
  const auto read = cache_.read(number, *file->file, offset, rest_of_page, false);
  if (!read) return std::nullopt;
  auto records = format::salvage_run(std::span<const std::byte>(read->bytes).first(rest_of_page), file->seed);
  return records.empty() ? std::nullopt : std::optional(std::move(records));
}

/// An index page, checked; kCorrupt when it is damaged.
Result<FileStore::IndexPage> FileStore::index_page(StoreFile& file, uint32_t page) {
  if (auto s = open_for_reading(file); !s) {
    ++read_errors_;
    return std::unexpected(s.error());
  }
  const uint64_t offset = (uint64_t{file.shape->trailer->first_index_page} + page) * format::kBlock;
  for (const bool fresh : {false, true}) {
    auto read = cache_.read(file.number, *file.file, offset, format::kBlock, fresh);
    if (!read) {
      ++read_errors_;
      return std::unexpected(read.error());
    }
    if (format::page_used(read->bytes, page, file.shape->trailer->entries_per_page(), file.seed)) {
      if (!file.shape->trailer->sealed()) return IndexPage{read->pin, read->bytes.data()};
      auto plain = std::make_shared<std::vector<std::byte>>(read->bytes.begin(), read->bytes.begin() + format::kBlock);
      if (sealer_ == nullptr || !format::decrypt_entries(plain->data(), page, file.seed, *sealer_)) break;
      return IndexPage{plain, plain->data()};
    }
    if (fresh) break;
    mend_page(file, offset / format::kBlock);
  }
  return fail(Errc::kCorrupt, fmt::format("index page {} of {} is damaged", page, file.path));
}

/// The index of a segment made again from its records.
Status FileStore::scan_again(StoreFile& file) {
  auto disk_file = env_.disk.open(file.path, OpenMode::kRead);
  auto entries = disk_file ? scan_segment(**disk_file, file.size, file.seed, sealer_.get())
                           : Result<std::vector<SegmentEntry>>(std::unexpected(disk_file.error()));
  if (!entries) {
    ++read_errors_;
    return std::unexpected(entries.error());
  }
  SLUICE_LOG(kLog, kWarn, "index of {} is damaged, made again from {} messages", file.path, entries->size());
  file.shape = std::make_shared<SegmentShape>(SegmentShape{std::nullopt, std::move(*entries)});
  return {};
}

bool FileStore::each_entry(uint64_t number, uint32_t stream, uint64_t first, uint64_t last,
                           const std::function<void(const format::IndexEntry&)>& visit) {
  StoreFile* file = files_.find(number);
  const SegmentPart* part = file == nullptr ? nullptr : file->part_of(stream);
  if (part == nullptr || last < part->first || first > part->last) return true;
  if (file->shape->trailer) {
    const Status read = each_paged_entry(*file, *part, first, last, visit);
    if (read || read.error().code != Errc::kCorrupt) return read.has_value();
    if (!scan_again(*file)) return false;
  }
  const auto& all = file->shape->resident;
  auto it = std::lower_bound(all.begin(), all.end(), std::pair(stream, first), [](const SegmentEntry& e, const auto& key) {
    return std::pair(e.stream, e.at.seq) < key;
  });
  for (; it != all.end() && it->stream == stream && it->at.seq <= last; ++it) visit(it->at);
  return true;
}

/// Visits nothing when it fails.
Status FileStore::each_paged_entry(StoreFile& file, const SegmentPart& part, uint64_t first, uint64_t last,
                                   const std::function<void(const format::IndexEntry&)>& visit) {
  IndexPage page;
  const uint32_t most = file.shape->trailer->entries_per_page();
  uint32_t page_number = UINT32_MAX;
  const auto entry_at = [&](uint32_t entry) -> Result<format::IndexEntry> {
    if (entry / most != page_number) {
      page_number = entry / most;
      auto read = index_page(file, page_number);
      if (!read) return std::unexpected(read.error());
      page = std::move(*read);
    }
    return format::get_entry(page.bytes, entry % most);
  };
  uint32_t low = part.first_entry;
  uint32_t high = part.first_entry + part.entries;
  const uint32_t end = high;
  first = std::max(first, part.first);
  if (part.last - part.first + 1 == part.entries) {
    low += static_cast<uint32_t>(first - part.first);
  } else {
    while (low < high) {
      const uint32_t middle = low + (high - low) / 2;
      auto entry = entry_at(middle);
      if (!entry) return std::unexpected(entry.error());
      if (entry->seq < first) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
  }
  std::vector<format::IndexEntry> found;
  for (; low < end; ++low) {
    auto entry = entry_at(low);
    if (!entry) return std::unexpected(entry.error());
    if (entry->seq > last) break;
    found.push_back(*entry);
  }
  for (const format::IndexEntry& entry : found) visit(entry);
  return {};
}

void FileStore::place_dropped(uint32_t stream, const MessagePlace& place) {
  StoreFile* file = files_.find(place.file);
  if (file == nullptr) return;
  SLUICE_CHECK(file->live_messages > 0);
  --file->live_messages;
  file->live_bytes -= place.accounted_bytes;
  if (SegmentPart* part = file->is_journal ? nullptr : file->part_of(stream); part != nullptr && part->live > 0) {
    --part->live;
    part->live_bytes -= std::min<uint64_t>(part->live_bytes, place.accounted_bytes);
  }
  note_dropped(stream, place.file, 1, place.accounted_bytes);
  if (file->live_messages == 0 && file != journal_->current_or_null()) maintain_soon();
}

void FileStore::part_dropped(uint64_t number, uint32_t stream) {
  StoreFile* file = files_.find(number);
  SegmentPart* part = file == nullptr ? nullptr : file->part_of(stream);
  if (part == nullptr) return;
  note_dropped(stream, number, part->live, part->live_bytes);
  file->live_messages -= std::min<uint64_t>(file->live_messages, part->live);
  file->live_bytes -= std::min(file->live_bytes, part->live_bytes);
  part->live = 0;
  part->live_bytes = 0;
  if (file->live_messages == 0) maintain_soon();
}

/// What is being copied counts less in the copy.
void FileStore::note_dropped(uint32_t stream, uint64_t file, uint32_t messages, uint64_t bytes) {
  if (retire_ == nullptr || retire_->adopted || !retire_->copy->copies(file)) return;
  Retire::Dropped& dropped = retire_->dropped[stream];
  dropped.messages += messages;
  dropped.bytes += bytes;
}

void FileStore::message_lost(const std::string& stream, uint64_t seq, const Error& why) {
  ++lost_messages_;
  SLUICE_LOG(kLog, kError, "message lost stream={} seq={} error={}", stream, seq, why.detail);
  tell({StoreEvent::Kind::kLost, stream, StreamSeq(seq), why.detail});
}

void FileStore::collect(MetricSink& sink) const {
  const auto& j = journal_->figures();
  uint64_t journal_bytes = 0;
  uint64_t segment_bytes = 0;
  double segments = 0;
  for (const auto& [number, file] : files_.all()) {
    (file->is_journal ? journal_bytes : segment_bytes) += file->size;
    if (!file->is_journal) ++segments;
  }
  const auto number = [](uint64_t n) { return static_cast<double>(n); };
  sink.counter("sluice_store_batches_total", "Journal batches written.", {}, number(j.batches));
  sink.counter("sluice_store_syncs_total", "fdatasync calls of the journal.", {}, number(j.syncs));
  sink.counter("sluice_store_journal_written_bytes_total", "Bytes written to the journal.", {}, number(j.written_bytes));
  sink.counter("sluice_store_journal_files_made_inline_total", "Journal files that had to be made on the commit path.",
               {}, number(j.inline_files));
  sink.counter("sluice_store_blocked_total", "Commits held back by a full disk.", {}, number(j.blocked));
  sink.counter("sluice_store_lost_messages_total", "Messages found damaged while reading.", {}, number(lost_messages_));
  sink.gauge("sluice_store_recovery_lost_records", "Records found damaged at opening.", {}, number(report_.lost_records));
  sink.gauge("sluice_store_recovery_cut_bytes", "Bytes of torn batches cut at opening.", {}, number(report_.cut_bytes));
  sink.gauge("sluice_store_recovery_cut_sequences", "Sequences given out in batches that were cut or lost at opening.", {},
             number(report_.cut_sequences));
  sink.counter("sluice_store_read_errors_total", "Reads that the disk refused.", {}, number(read_errors_));
  sink.counter("sluice_store_retired_files_total", "Journal files and segments retired.", {}, number(retired_files_));
  sink.counter("sluice_store_copied_bytes_total", "Bytes of live messages copied by retiring.", {}, number(copied_bytes_));
  sink.counter("sluice_store_segment_written_bytes_total", "Bytes of segments written by retiring: messages, index, parity.", {},
               number(segment_written_bytes_));
  sink.counter("sluice_store_prewritten_bytes_total", "Zeros of journal files that were written in advance.", {}, number(prewritten_bytes_));
  sink.counter("sluice_store_kept_ids_bytes_total", "Bytes written of message ids whose message is removed.", {}, number(ids_bytes_));
  sink.counter("sluice_store_cache_hits_total", "Reads served by the block cache.", {}, number(cache_.hits()));
  sink.counter("sluice_store_cache_misses_total", "Reads that went to the disk.", {}, number(cache_.misses()));
  sink.gauge("sluice_store_cache_bytes", "Tail and block cache.", {}, number(j.tail_bytes + cache_.size_bytes()));
  sink.gauge("sluice_store_journal_bytes", "Size of the journal files in use.", {}, number(journal_bytes));
  sink.gauge("sluice_store_segment_bytes", "Size of the segments.", {}, number(segment_bytes));
  sink.gauge("sluice_store_segments", "Number of segments.", {}, segments);
  sink.counter("sluice_store_index_loads_total", "Reads of 256 places from index pages.", {}, number(cold_cache_.loads()));
  sink.counter("sluice_store_scrubbed_bytes_total", "Bytes of segments verified in the background.", {}, number(scrubbed_bytes_));
  sink.counter("sluice_store_scrub_passes_total", "Times that all segments were verified.", {}, number(scrub_passes_));
  sink.counter("sluice_store_pages_repaired_total", "Damaged pages rebuilt from parity.", {}, number(repaired_pages_));
  sink.counter("sluice_store_pages_damaged_total", "Damaged pages that could not be rebuilt.", {}, number(damaged_pages_));
  sink.counter("sluice_store_erasures_total", "Messages made unreadable.", {}, number(erasures_));
  sink.counter("sluice_store_held_total", "Commits that waited because retiring is behind.", {}, number(j.held));
  sink.gauge("sluice_store_streams", "Streams on file.", {}, number(by_id_.size()));
  // Asked now: the store itself looks only when it makes a journal file.
  if (const auto free_bytes = env_.disk.free_bytes(options_.dir))
    sink.gauge("sluice_store_free_bytes", "Free space of the store's file system.", {}, number(*free_bytes));
  sink.gauge("sluice_store_reserve_bytes", "Below so much free space new messages are refused.", {}, number(options_.reserve_bytes));
  sink.gauge("sluice_store_writable", "1 when new messages are accepted.", {}, writable() ? 1 : 0);
}

}  // namespace sluice
