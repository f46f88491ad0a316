#include "sim/sim_disk.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace sluice::sim {

namespace {

constexpr size_t kMaxVersions = 4;

std::string normal(const std::string& path) {
  std::string out;
  for (const char c : path) {
    if (c == '/' && !out.empty() && out.back() == '/') continue;
    out.push_back(c);
  }
  while (out.size() > 1 && out.back() == '/') out.pop_back();
  if (out == ".") return "";
  if (out.starts_with("./")) out.erase(0, 2);
  return out;
}

bool below(const std::string& path, const std::string& dir) {
  if (dir.empty()) return true;
  if (dir == "/") return path.size() > 1 && path.front() == '/';
  return path.size() > dir.size() + 1 && path.starts_with(dir) && path[dir.size()] == '/';
}

std::unexpected<Error> no_power() { return fail(Errc::kIo, "simulated crash"); }

}  // namespace

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return "";
  return slash == 0 ? "/" : path.substr(0, slash);
}

/// A file's bytes, and the older versions of the sectors that were changed since its last sync.
struct SimDisk::Inode {
  struct History {
    std::vector<Sector> versions;  ///< oldest first; the first is the durable one
    bool lost = false;             ///< under a failed sync: clean for the kernel, not on disk
  };
  FileImage now;
  uint64_t durable_size = 0;
  std::map<uint64_t, History> dirty;  // by sector
  uint32_t id = 0;                    ///< in a history

  void write(uint64_t offset, std::span<const std::byte> bytes) {
    now.size = std::max(now.size, offset + bytes.size());
    while (!bytes.empty()) {
      const uint64_t index = offset / kSector;
      const size_t within = offset % kSector;
      const size_t count = std::min<size_t>(bytes.size(), kSector - within);
      const Sector old = now.sector(index);
      Sector fresh = old;
      std::memcpy(fresh.data() + within, bytes.data(), count);
      change(index, old, fresh);
      bytes = bytes.subspan(count);
      offset += count;
    }
  }

  void change(uint64_t index, const Sector& old, const Sector& fresh) {
    const auto found = dirty.find(index);
    if (found != dirty.end()) found->second.lost = false;  // dirty again, so synced again
    if (fresh == old) return;
    History& history = dirty[index];
    if (history.versions.size() == kMaxVersions) history.versions.erase(history.versions.begin() + 1);
    history.versions.push_back(old);
    now.set_sector(index, fresh);
  }

  void truncate(uint64_t new_size) {
    const uint64_t old_size = std::exchange(now.size, new_size);
    if (new_size >= old_size) return;
    for (uint64_t index = new_size / kSector; index * kSector < old_size; ++index) {
      const Sector old = now.sector(index);
      Sector fresh{};
      if (index * kSector < new_size) std::copy_n(old.begin(), new_size % kSector, fresh.begin());
      if (fresh != old) change(index, old, fresh);
    }
  }

  void synced() {
    std::erase_if(dirty, [](const auto& entry) { return !entry.second.lost; });
    durable_size = now.size;
  }
  void sync_failed() {
    for (auto& [index, history] : dirty) history.lost = true;
  }

  void lose_power(SimRandom& random);
};

void SimDisk::Inode::lose_power(SimRandom& random) {
  if (dirty.empty() && now.size == durable_size) return;
  enum class Mode : uint8_t { kNothing, kEverything, kPages, kSectors, kPrefix, kSuffix };
  const auto mode = static_cast<Mode>(random.below(6));
  const unsigned percent = static_cast<unsigned>(random.between(5, 95));
  const uint64_t split = dirty.empty() ? 0 : random.below(dirty.size() + 1);
  uint64_t place = 0;
  uint64_t last_page = UINT64_MAX;
  bool keep_page = false;
  for (auto& [index, history] : dirty) {
    if (index * kSector / kPage != last_page) {
      last_page = index * kSector / kPage;
      keep_page = random.chance(percent);
    }
    bool keep = false;
    switch (mode) {
      case Mode::kNothing: break;
      case Mode::kEverything: keep = true; break;
      case Mode::kPages: keep = keep_page; break;
      case Mode::kSectors: keep = random.chance(percent); break;
      case Mode::kPrefix: keep = place < split; break;
      case Mode::kSuffix: keep = place >= split; break;
    }
    ++place;
    if (history.lost) keep = false;
    if (keep) continue;
    // Mostly the durable version, sometimes one that was written out on the way.
    const size_t version = !history.lost && random.chance(20) ? random.below(history.versions.size()) : 0;
    now.set_sector(index, history.versions[version]);
  }
  if (uint64_t& size = now.size; size != durable_size) {
    const uint64_t low = std::min(size, durable_size);
    const uint64_t high = std::max(size, durable_size);
    switch (mode == Mode::kEverything ? 1 : random.below(3)) {
      case 0: size = durable_size; break;
      case 1: break;
      default: size = std::min(high, (low / kPage + random.below((high - low) / kPage + 1)) * kPage);
    }
    size = std::max(size, low);
    // What lies beyond the end reads as zeros once the file grows again.
    const uint64_t kept = size;
    size = std::max(high, now.pages.size() * kPage);
    truncate(kept);
  }
  dirty.clear();
  durable_size = now.size;
}

/// One change of names, kept or lost as a whole by a power cut.
struct SimDisk::NameOp {
  enum class Kind : uint8_t { kCreate, kMakeDir, kRename, kRemove } kind;
  std::string path;
  std::string to;  ///< kRename
  std::shared_ptr<Inode> inode;
};

class SimDirLock : public DirLock {
 public:
  SimDirLock(SimDisk& disk, std::string dir) : disk_(disk), dir_(std::move(dir)), epoch_(disk.epoch()) {}
  SimDirLock(const SimDirLock&) = delete;
  SimDirLock& operator=(const SimDirLock&) = delete;
  ~SimDirLock() override {
    if (disk_.epoch() == epoch_) disk_.locks_.erase(dir_);
  }

 private:
  SimDisk& disk_;
  std::string dir_;
  uint64_t epoch_;
};

class SimFile : public File {
 public:
  SimFile(SimDisk& disk, std::shared_ptr<SimDisk::Inode> inode, bool writable)
      : disk_(disk), inode_(std::move(inode)), epoch_(disk.epoch()), writable_(writable) {}

  Result<size_t> read_at(uint64_t offset, std::span<std::byte> into) override {
    if (auto ok = begin(DiskOp::kRead, false); !ok) return std::unexpected(ok.error());
    if (offset >= inode_->now.size) return 0U;
    const size_t count = std::min<uint64_t>(into.size(), inode_->now.size - offset);
    inode_->now.read(offset, into.first(count));
    return count;
  }

  Status write_at(uint64_t offset, std::span<const std::byte> bytes) override {
    if (!writable_) return fail(Errc::kIo, "file is open for reading only");
    if (auto ok = begin(DiskOp::kWrite, true); !ok) {
      if (disk_.powered() && epoch_ == disk_.epoch() && disk_.random_.chance(50))
        write(offset, bytes.first(disk_.random_.below(bytes.size() + 1)));
      return ok;
    }
    const uint64_t growth = std::max(inode_->now.size, offset + bytes.size()) - inode_->now.size;
    if (growth > 0 && disk_.used_bytes() + growth > disk_.capacity_) {
      const uint64_t room = disk_.capacity_ - std::min(disk_.capacity_, disk_.used_bytes());
      if (offset <= inode_->now.size)
        write(offset, bytes.first(std::min<uint64_t>(bytes.size(), inode_->now.size + room - offset)));
      return disk_.finish(fail(Errc::kNoSpace, "no space left on the simulated disk"));
    }
    if (disk_.strikes() && disk_.crash_kind_ == Crash::kKill)
      bytes = bytes.first(disk_.random_.below(bytes.size() + 1));
    write(offset, bytes);
    return disk_.finish({});
  }

  Status sync() override {
    if (auto ok = begin(DiskOp::kSync, true); !ok) {
      if (disk_.powered() && epoch_ == disk_.epoch()) inode_->sync_failed();
      return ok;
    }
    if (disk_.lying_sync_) return disk_.finish({});
    if (!disk_.strikes() || disk_.random_.chance(50)) {
      inode_->synced();
      disk_.remember({DiskEvent::Kind::kSync, inode_->id, 0, "", "", ""});
    }
    return disk_.finish({});
  }

  Result<uint64_t> size() override {
    if (!disk_.powered() || epoch_ != disk_.epoch()) return no_power();
    return inode_->now.size;
  }

  Status truncate(uint64_t size) override {
    if (!writable_) return fail(Errc::kIo, "file is open for reading only");
    if (auto ok = begin(DiskOp::kTruncate, true); !ok) return ok;
    if (size > inode_->now.size && disk_.used_bytes() + size - inode_->now.size > disk_.capacity_)
      return disk_.finish(fail(Errc::kNoSpace, "no space left on the simulated disk"));
    inode_->truncate(size);
    disk_.remember({DiskEvent::Kind::kTruncate, inode_->id, size, "", "", ""});
    return disk_.finish({});
  }

  Status allocate(uint64_t size) override { return size <= inode_->now.size ? Status() : truncate(size); }

 private:
  void write(uint64_t offset, std::span<const std::byte> bytes) {
    inode_->write(offset, bytes);
    if (disk_.history_ == nullptr) return;
    const std::string copy(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    disk_.remember({DiskEvent::Kind::kWrite, inode_->id, offset, copy, "", ""});
  }
  Status begin(DiskOp op, bool changes) {
    if (epoch_ != disk_.epoch()) return no_power();
    return disk_.begin(op, changes);
  }
  SimDisk& disk_;
  std::shared_ptr<SimDisk::Inode> inode_;
  uint64_t epoch_;
  bool writable_;
};

SimDisk::SimDisk(SimRandom random) : random_(random) {}
SimDisk::~SimDisk() = default;

Status SimDisk::begin(DiskOp op, bool changes) {
  if (!powered_) return no_power();
  ++counts_.at(static_cast<size_t>(op));
  if (changes) {
    ++changes_;
    if (crash_in_ > 0 && --crash_in_ == 0) strike_now_ = true;
  }
  if (strike_now_) return {};
  auto& faults = faults_.at(static_cast<size_t>(op));
  for (size_t i = 0; i < faults.size(); ++i) {
    if (--faults[i].left > 0) continue;
    const Errc code = faults[i].code;
    faults.erase(faults.begin() + static_cast<std::ptrdiff_t>(i));
    return fail(code, "injected fault");
  }
  return {};
}

/// Ends a changing operation: the armed crash, when it was the one, else `result`.
Status SimDisk::finish(Status result) {
  if (!std::exchange(strike_now_, false)) return result;
  crash(crash_kind_);
  powered_ = false;
  return no_power();
}

void SimDisk::crash_after_ops(uint64_t n, Crash kind) {
  crash_in_ = n;
  crash_kind_ = kind;
}

void SimDisk::crash(Crash kind) {
  ++epoch_;
  crash_in_ = 0;
  strike_now_ = false;
  for (auto& faults : faults_) faults.clear();
  locks_.clear();
  if (kind == Crash::kKill) return;
  ++power_cuts_;
  std::set<Inode*> seen;
  const auto lose = [&](const std::shared_ptr<Inode>& inode) {
    if (inode && seen.insert(inode.get()).second) inode->lose_power(random_);
  };
  for (const auto& [path, inode] : durable_) lose(inode);
  for (const NameOp& op : pending_) lose(op.inode);
  resolve_names();
}

void SimDisk::apply(const NameOp& op, Names& names) {
  switch (op.kind) {
    case NameOp::Kind::kCreate:
    case NameOp::Kind::kMakeDir: names[op.path] = op.inode; break;
    case NameOp::Kind::kRename: {
      const auto from = names.find(op.path);
      if (from != names.end() && from->second == op.inode) names.erase(from);
      names[op.to] = op.inode;
      break;
    }
    case NameOp::Kind::kRemove: {
      const auto found = names.find(op.path);
      if (found != names.end() && found->second == op.inode) names.erase(found);
      break;
    }
  }
}

void SimDisk::resolve_names() {
  const uint64_t mode = random_.below(4);
  const uint64_t prefix = random_.below(pending_.size() + 1);
  for (size_t i = 0; i < pending_.size(); ++i) {
    const bool keep = mode == 0   ? false
                      : mode == 1 ? true
                      : mode == 2 ? i < prefix
                                  : random_.chance(50);
    if (keep) apply(pending_[i], durable_);
  }
  pending_.clear();
  // A name whose folder is gone is out of reach.
  for (auto it = durable_.begin(); it != durable_.end();) {
    const std::string dir = folder_of(it->first);
    const auto parent = durable_.find(dir);
    const bool reachable = dir.empty() || dir == "/" || (parent != durable_.end() && !parent->second);
    it = reachable ? std::next(it) : durable_.erase(it);
  }
  written_ = durable_;
}

void SimDisk::note(NameOp op) {
  apply(op, written_);
  if (history_ != nullptr) {
    const auto kind = op.kind == NameOp::Kind::kCreate    ? DiskEvent::Kind::kCreate
                      : op.kind == NameOp::Kind::kMakeDir ? DiskEvent::Kind::kMakeDir
                      : op.kind == NameOp::Kind::kRename  ? DiskEvent::Kind::kRename
                                                          : DiskEvent::Kind::kRemove;
    remember({kind, op.inode ? op.inode->id : 0, 0, "", op.path, op.to});
  }
  const std::string dir = folder_of(op.path);
  const bool top_level_dir = op.kind == NameOp::Kind::kMakeDir && (dir.empty() || dir == "/");
  if (top_level_dir) {
    apply(op, durable_);  // stands for a mount point
  } else {
    pending_.push_back(std::move(op));
  }
}

Result<std::unique_ptr<File>> SimDisk::open(const std::string& raw, OpenMode mode) {
  const std::string path = normal(raw);
  const auto found = written_.find(path);
  const bool create = found == written_.end() && mode == OpenMode::kCreate;
  if (auto ok = begin(DiskOp::kOpen, create); !ok) return std::unexpected(ok.error());
  if (found != written_.end()) {
    if (!found->second) return fail(Errc::kIo, path + " is a folder");
    return std::make_unique<SimFile>(*this, found->second, mode != OpenMode::kRead);
  }
  if (!create) return fail(Errc::kNotFound, path);
  if (!is_folder(folder_of(path))) {
    const Status failed = finish(fail(Errc::kNotFound, "no folder for " + path));
    return std::unexpected(failed.error());
  }
  auto inode = make_inode();
  note({NameOp::Kind::kCreate, path, "", inode});
  if (auto ok = finish({}); !ok) return std::unexpected(ok.error());
  return std::make_unique<SimFile>(*this, std::move(inode), true);
}

Status SimDisk::rename(const std::string& raw_from, const std::string& raw_to) {
  if (auto ok = begin(DiskOp::kRename, true); !ok) return ok;
  const std::string from = normal(raw_from);
  const std::string to = normal(raw_to);
  const auto found = written_.find(from);
  if (found == written_.end()) return finish(fail(Errc::kNotFound, from));
  if (!found->second) return finish(fail(Errc::kUnsupported, "folders can't be renamed here"));
  if (!is_folder(folder_of(to))) return finish(fail(Errc::kNotFound, "no folder for " + to));
  if (from != to) note({NameOp::Kind::kRename, from, to, found->second});
  return finish({});
}

Status SimDisk::remove(const std::string& raw) {
  if (auto ok = begin(DiskOp::kRemove, true); !ok) return ok;
  const std::string path = normal(raw);
  const auto found = written_.find(path);
  if (found == written_.end()) return finish(fail(Errc::kNotFound, path));
  if (!found->second) return finish(fail(Errc::kIo, path + " is a folder"));
  note({NameOp::Kind::kRemove, path, "", found->second});
  return finish({});
}

bool SimDisk::exists(const std::string& path) { return powered_ && written_.contains(normal(path)); }

Result<std::vector<std::string>> SimDisk::list(const std::string& raw) {
  if (auto ok = begin(DiskOp::kList, false); !ok) return std::unexpected(ok.error());
  const std::string dir = normal(raw);
  if (!is_folder(dir)) return fail(Errc::kNotFound, dir);
  std::vector<std::string> names;
  for (const auto& [path, inode] : written_) {
    if (below(path, dir) && folder_of(path) == dir) names.push_back(path.substr(path.rfind('/') + 1));
  }
  std::sort(names.begin(), names.end());
  return names;
}

Status SimDisk::make_dirs(const std::string& raw) {
  if (auto ok = begin(DiskOp::kMakeDirs, true); !ok) return ok;
  const std::string dir = normal(raw);
  for (size_t end = 1; end <= dir.size(); ++end) {
    if (end < dir.size() && dir[end] != '/') continue;
    const std::string part = dir.substr(0, end);
    const auto found = written_.find(part);
    if (found != written_.end() && found->second)
      return finish(fail(Errc::kIo, part + " is a file"));
    if (!is_folder(part)) note({NameOp::Kind::kMakeDir, part, "", nullptr});
  }
  return finish({});
}

Status SimDisk::remove_dir(const std::string& raw) {
  if (auto ok = begin(DiskOp::kRemove, true); !ok) return ok;
  const std::string dir = normal(raw);
  const auto found = written_.find(dir);
  if (found == written_.end() || found->second) return finish(fail(Errc::kNotFound, dir));
  for (const auto& [path, inode] : written_) {
    if (below(path, dir)) return finish(fail(Errc::kIo, dir + " is not empty"));
  }
  note({NameOp::Kind::kRemove, dir, "", nullptr});
  return finish({});
}

Status SimDisk::sync_dir(const std::string& raw) {
  if (auto ok = begin(DiskOp::kSyncDir, true); !ok) return ok;
  const std::string dir = normal(raw);
  if (!is_folder(dir)) return finish(fail(Errc::kNotFound, dir));
  if (strike_now_ && random_.chance(50)) return finish({});
  remember({DiskEvent::Kind::kSyncDir, 0, 0, "", dir, ""});
  std::erase_if(pending_, [&](const NameOp& op) {
    const bool here = folder_of(op.path) == dir || (!op.to.empty() && folder_of(op.to) == dir);
    if (here) apply(op, durable_);
    return here;
  });
  return finish({});
}

Result<std::unique_ptr<DirLock>> SimDisk::lock_dir(const std::string& raw) {
  if (!powered_) return no_power();
  const std::string dir = normal(raw);
  if (!is_folder(dir)) return fail(Errc::kNotFound, dir);
  if (!locks_.emplace(dir, epoch_).second) return fail(Errc::kExists, dir + " is locked");
  const std::string path = dir + "/LOCK";
  if (!written_.contains(path)) note({NameOp::Kind::kCreate, path, "", make_inode()});
  return std::make_unique<SimDirLock>(*this, dir);
}

Result<uint64_t> SimDisk::free_bytes(const std::string&) {
  if (!powered_) return no_power();
  return capacity_ - std::min(capacity_, used_bytes());
}

void SimDisk::fail_next(DiskOp op, uint64_t nth, Errc code) {
  SLUICE_CHECK(nth > 0);
  faults_.at(static_cast<size_t>(op)).push_back({nth, code});
}

std::shared_ptr<SimDisk::Inode> SimDisk::make_inode() {
  auto inode = std::make_shared<Inode>();
  inode->id = ++last_inode_;
  return inode;
}

void SimDisk::remember(DiskEvent event) {
  if (history_ != nullptr) history_->events.push_back(std::move(event));
}

void SimDisk::load(const DiskImage& image) {
  crash(Crash::kKill);
  written_.clear();
  pending_.clear();
  for (const auto& [path, file] : image) {
    auto& slot = written_[path];
    if (!file) continue;
    slot = make_inode();
    slot->now = *file;
    slot->durable_size = file->size;
  }
  durable_ = written_;
}

DiskImage SimDisk::image() const {
  DiskImage out;
  for (const auto& [path, inode] : written_) {
    out[path] = inode ? std::make_shared<const FileImage>(inode->now) : nullptr;
  }
  return out;
}

bool SimDisk::is_folder(const std::string& dir) const {
  if (dir.empty() || dir == "/") return true;
  const auto found = written_.find(dir);
  return found != written_.end() && !found->second;
}

uint64_t SimDisk::used_bytes() const {
  uint64_t sum = 0;
  for (const auto& [path, inode] : written_) sum += inode ? inode->now.size : 0;
  return sum;
}

bool SimDisk::flip_bit(const std::string& path, uint64_t offset, unsigned bit) {
  const auto found = written_.find(normal(path));
  if (found == written_.end() || !found->second || offset >= found->second->now.size) return false;
  Inode& inode = *found->second;
  const uint64_t index = offset / kSector;
  const auto flip = [&](Sector& sector) {
    sector.at(offset % kSector) ^= static_cast<std::byte>(1U << (bit % 8));
  };
  Sector flipped = inode.now.sector(index);
  flip(flipped);
  inode.now.set_sector(index, flipped);
  const auto dirty = inode.dirty.find(index);
  if (dirty != inode.dirty.end()) {
    for (Sector& version : dirty->second.versions) flip(version);
  }
  return true;
}

std::optional<uint64_t> SimDisk::file_size(const std::string& path) const {
  const auto found = written_.find(normal(path));
  if (found == written_.end() || !found->second) return std::nullopt;
  return found->second->now.size;
}

std::optional<std::string> SimDisk::contents(const std::string& path) const {
  const auto found = written_.find(normal(path));
  if (found == written_.end() || !found->second) return std::nullopt;
  std::string out(found->second->now.size, '\0');
  found->second->now.read(0, std::as_writable_bytes(std::span(out)));
  return out;
}

std::vector<std::string> SimDisk::all_files(const std::string& dir) const {
  std::vector<std::string> out;
  for (const auto& [path, inode] : written_) {
    if (inode && below(path, normal(dir))) out.push_back(path);
  }
  return out;
}

class SimDiskWorker : public DiskWorker {
 public:
  explicit SimDiskWorker(SimDiskWorkers& world) : world_(world), epoch_(world.disk_.epoch()) {}
  SimDiskWorker(const SimDiskWorker&) = delete;
  SimDiskWorker& operator=(const SimDiskWorker&) = delete;

  ~SimDiskWorker() override {
    world_.events_.cancel(event_);
    // A job may already be running on its thread: it is waited for. Those behind it are not begun.
    if (!queue_.empty() && alive() && world_.random_.chance(50)) run_front();
  }

  void submit(std::move_only_function<Status()> work,
              std::move_only_function<void(Status)> done) override {
    queue_.push_back({std::move(work), std::move(done), std::nullopt});
    if (event_ == 0) schedule();
  }

 private:
  struct Job {
    std::move_only_function<Status()> work;
    std::move_only_function<void(Status)> done;
    std::optional<Status> result;
  };

  bool alive() const { return world_.disk_.powered() && epoch_ == world_.disk_.epoch(); }

  void schedule() {
    const MonoTime at = world_.events_.clock().now() + world_.random_delay();
    event_ = world_.events_.schedule(SimEvents::Kind::kIo, at, [this] { step(); });
  }

  void run_front() {
    queue_.front().result = queue_.front().work();
    ++world_.jobs_run_;
  }

  /// Runs the first job, or, at its second turn, tells its result.
  void step() {
    event_ = 0;
    if (!alive()) return;  // the process of this worker is gone
    if (!queue_.front().result) {
      run_front();
      if (alive()) schedule();
      return;
    }
    Job job = std::move(queue_.front());
    queue_.pop_front();
    if (!queue_.empty()) schedule();
    job.done(*std::move(job.result));  // may destroy this worker
  }

  SimDiskWorkers& world_;
  uint64_t epoch_;
  SimEvents::Id event_ = 0;
  std::deque<Job> queue_;
};

std::unique_ptr<DiskWorker> SimDiskWorkers::make(std::string_view) {
  return std::make_unique<SimDiskWorker>(*this);
}

void SimDiskWorkers::set_latency(std::chrono::nanoseconds low, std::chrono::nanoseconds high) {
  SLUICE_CHECK(low.count() >= 0 && low <= high);
  low_ = low;
  high_ = high;
}

/// Half of a job's time: one part before its work, one before the loop hears of it.
MonoTime SimDiskWorkers::random_delay() {
  const auto low = static_cast<uint64_t>(low_.count()) / 2;
  const auto high = static_cast<uint64_t>(high_.count()) / 2;
  return MonoTime(static_cast<int64_t>(random_.between(low, high)));
}

}  // namespace sluice::sim
