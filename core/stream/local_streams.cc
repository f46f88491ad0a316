// The registry of one account's streams. Failure path: a stream whose meta can't be read is left on
// disk untouched, logged, and its name stays taken.
#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/check.h"
#include "base/log.h"
#include "io/executor.h"
#include "stream/local_restore.h"
#include "stream/local_stream.h"
#include "stream/offline.h"
#include "stream/stream_meta.h"
#include "stream/streams.h"
#include "subject/subject.h"

namespace sluice {
namespace {

constexpr Logger log_{"stream"};

class LocalStreams : public Streams, public StreamOwner, public RestoreOwner, public RoomTaker {
 public:
  LocalStreams(Env& env, Bus& bus, Store* store, const StreamsOptions& options)
      : env_(env), bus_(bus), store_(store), options_(options) {
    if (options_.room != nullptr) options_.room->join(*this);
  }
  ~LocalStreams() override;

  void start();

  Result<Stream*> create(const StreamConfig& config) override;
  Result<Stream*> update(const StreamConfig& config) override;
  Status check_restore(const StreamConfig& config) override;
  Result<std::unique_ptr<StreamRestore>> restore(const StreamConfig& config, StreamSeq first) override;
  Status remove(std::string_view name) override;
  Stream* find(std::string_view name) override {
    auto found = streams_.find(name);
    return found == streams_.end() ? nullptr : found->second.get();
  }
  void each(const std::function<void(Stream&)>& visit) override;
  const OfflineStreams& offline() const override { return offline_; }
  size_t size() const override { return streams_.size(); }
  void on_created(std::move_only_function<void(Stream&)> listener) override {
    created_listeners_.push_back(std::move(listener));
  }
  void on_updated(UpdateListener listener) override {
    updated_listeners_.push_back(std::move(listener));
  }
  void on_deleting(std::move_only_function<void(Stream&)> listener) override {
    deleting_listeners_.push_back(std::move(listener));
  }
  void set_limits(const StreamsOptions& options) override;
  void collect(MetricSink& sink) const override;

  void settle_later(LocalStream& stream) override;
  void resized(LocalStream& stream) override { resized_.push_back(&stream); }
  Status room_for(StorageKind kind, uint64_t bytes) override;
  BatchesOpen& batches_open() override { return batches_open_; }

  Status room_for_restore(StorageKind kind, uint64_t bytes) override { return room_for(kind, bytes); }
  Result<Stream*> adopt_restored(const StreamConfig& config, WallNanos created, StreamStore* file,
                                 std::unique_ptr<StreamStore> memory) override;
  void abandon_restored(const StreamConfig& config) override;

 private:
  Status check_overlap(const StreamConfig& config) const;
  Status check_reservation(const StreamConfig& config, std::optional<int64_t> had) const;
  Status check_size(const StreamConfig& config) const;
  Status check_new(const StreamConfig& config) const;
  Result<StreamStore*> new_file(const StreamConfig& config, std::string_view meta, StreamSeq first);
  Result<LocalStream*> add(StreamMeta meta, StreamStore* file, std::unique_ptr<StreamStore> memory = nullptr);
  int64_t limit_of(StorageKind kind) const {
    return kind == StorageKind::kFile ? options_.max_file_bytes : options_.max_memory_bytes;
  }
  void recover(const RecoveredStream& found);
  void put_offline(const RecoveredStream& found, std::string why);
  int64_t& used(StorageKind kind) {
    return kind == StorageKind::kFile ? used_file_bytes_ : used_memory_bytes_;
  }
  void recount() override;
  ServerRoom::Kind* room(StorageKind kind) const {
    if (options_.room == nullptr) return nullptr;
    return kind == StorageKind::kFile ? &options_.room->file : &options_.room->memory;
  }
  void take_room(StorageKind kind, int64_t reserved, int64_t used_bytes);
  void on_durable(CommitNo durable);
  void settle_all(const std::vector<LocalStream*>& ready, CommitNo durable);
  void settle_memory();

  Env& env_;
  Bus& bus_;
  Store* store_;
  StreamsOptions options_;
  BatchesOpen batches_open_;  ///< outlives the streams
  std::map<std::string, std::unique_ptr<LocalStream>, std::less<>> streams_;
  OfflineStreams offline_;
  std::set<std::string, std::less<>> restoring_;  ///< being rebuilt from a backup
  std::vector<std::move_only_function<void(Stream&)>> created_listeners_;
  std::vector<UpdateListener> updated_listeners_;
  std::vector<std::move_only_function<void(Stream&)>> deleting_listeners_;
  std::vector<LocalStream*> waiting_for_disk_;
  std::vector<LocalStream*> waiting_in_memory_;
  std::vector<LocalStream*> resized_;  ///< changed since the last recount(), each once
  int64_t used_file_bytes_ = 0;        ///< as of the last recount()
  int64_t used_memory_bytes_ = 0;
  bool settle_posted_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

LocalStreams::~LocalStreams() {
  *alive_ = false;
  if (options_.room == nullptr) return;
  options_.room->leave(*this);
  for (const auto& [name, stream] : streams_)
    take_room(stream->config().storage, -std::max<int64_t>(stream->config().max_bytes, 0), 0);
  take_room(StorageKind::kFile, 0, -used_file_bytes_);
  take_room(StorageKind::kMemory, 0, -used_memory_bytes_);
}

/// Of what all accounts have together.
void LocalStreams::take_room(StorageKind kind, int64_t reserved, int64_t used_bytes) {
  ServerRoom::Kind* room = this->room(kind);
  if (room == nullptr) return;
  room->reserved_bytes += reserved;
  room->used_bytes += used_bytes;
}

void LocalStreams::start() {
  if (store_ == nullptr) return;
  store_->on_durable([this, alive = alive_](CommitNo durable) {
    if (*alive) on_durable(durable);
  });
  for (const RecoveredStream& found : store_->streams()) recover(found);
}

void LocalStreams::recover(const RecoveredStream& found) {
  auto meta = parse_stream_meta(found.meta);
  StreamStore* file = store_->find_stream(found.name);
  if (meta && meta->restoring) {
    SLUICE_LOG(log_, kWarn, "half restored stream removed stream={}", found.name);
    store_->delete_stream(found.name);
    return;
  }
  auto beyond = beyond_api_level(found.meta, options_.api_level);
  if (beyond || !meta || file == nullptr || meta->config.name != found.name) {
    put_offline(found, beyond ? *std::move(beyond) : meta ? "its name differs" : meta.error().detail);
    return;
  }
  if (auto added = add(*std::move(meta), file); !added) put_offline(found, added.error().detail);
}

void LocalStreams::put_offline(const RecoveredStream& found, std::string why) {
  SLUICE_LOG(log_, kError, "stream is offline, its data is kept stream={} why={}", found.name, why);
  offline_.emplace(found.name, OfflineStream{std::move(why), subjects_of(found.meta)});
}

Result<LocalStream*> LocalStreams::add(StreamMeta meta, StreamStore* file,
                                       std::unique_ptr<StreamStore> memory) {
  const StreamConfig& config = meta.config;
  const bool in_memory = config.storage == StorageKind::kMemory;
  if (in_memory && !memory) memory = make_memory_store(StreamSeq(config.first_seq));
  auto stream = std::make_unique<LocalStream>(LocalStream::Parts{.env = env_,
                                                                 .bus = bus_,
                                                                 .store = in_memory ? nullptr : store_,
                                                                 .owner = *this,
                                                                 .options = options_,
                                                                 .config = config,
                                                                 .created = meta.created,
                                                                 .positions = std::move(meta.positions),
                                                                 .file = file,
                                                                 .memory = std::move(memory)});
  LocalStream* raw = stream.get();
  streams_.emplace(config.name, std::move(stream));
  take_room(config.storage, std::max<int64_t>(config.max_bytes, 0), 0);
  raw->open();
  return raw;
}

Status LocalStreams::check_overlap(const StreamConfig& config) const {
  const auto overlaps = [&config](const std::vector<std::string>& subjects) {
    for (const std::string& theirs : subjects)
      for (const std::string& ours : config.subjects)
        if (subjects_collide(theirs, ours)) return true;
    return false;
  };
  for (const auto& [name, other] : streams_)
    if (name != config.name && overlaps(other->config().subjects)) return fail_api(Errc::kExists, 10065, "");
  for (const auto& [name, other] : offline_)
    if (overlaps(other.subjects)) return fail_api(Errc::kExists, 10065, "");
  return {};
}

/// Streams with max_bytes reserve them, of what the account has and of what the server has; the others
/// need one byte. Only what is more than before counts.
Status LocalStreams::check_reservation(const StreamConfig& config, std::optional<int64_t> had) const {
  const int64_t more = had ? config.max_bytes - std::max<int64_t>(*had, 0)
                           : std::max<int64_t>(config.max_bytes, 1);
  if (more <= 0) return {};
  const Status full = fail_api(Errc::kFull, config.storage == StorageKind::kFile ? 10047 : 10028, "");
  if (const int64_t limit = limit_of(config.storage); limit >= 0) {
    int64_t reserved = 0;
    for (const auto& [name, other] : streams_) {
      if (other->config().storage == config.storage)
        reserved += std::max<int64_t>(other->config().max_bytes, 0);
    }
    if (more > limit - reserved) return full;
  }
  const ServerRoom::Kind* all = room(config.storage);
  return all != nullptr && all->max_bytes >= 0 && more > all->max_bytes - all->reserved_bytes ? full : Status();
}

/// What the account says of the size of one stream.
void LocalStreams::set_limits(const StreamsOptions& options) {
  options_.max_streams = options.max_streams;
  options_.max_file_bytes = options.max_file_bytes;
  options_.max_memory_bytes = options.max_memory_bytes;
  options_.max_file_stream_bytes = options.max_file_stream_bytes;
  options_.max_memory_stream_bytes = options.max_memory_stream_bytes;
  options_.max_bytes_required = options.max_bytes_required;
  options_.no_tier = options.no_tier;
}

Status LocalStreams::check_size(const StreamConfig& config) const {
  if (options_.max_bytes_required && config.max_bytes <= 0)
    return fail_api(Errc::kInvalidArgument, 10113, "");
  const int64_t most = config.storage == StorageKind::kFile ? options_.max_file_stream_bytes
                                                            : options_.max_memory_stream_bytes;
  if (most > 0 && config.max_bytes > most) return fail_api(Errc::kInvalidArgument, 10122, "");
  return {};
}

/// What stands in the way of one more stream of that name.
Status LocalStreams::check_new(const StreamConfig& config) const {
  if (offline_.contains(config.name) || restoring_.contains(config.name))
    return fail_api(Errc::kExists, 10058, "");
  if (options_.no_tier) return fail_api(Errc::kDenied, 10120, "");
  if (options_.max_streams >= 0 && streams_.size() >= static_cast<size_t>(options_.max_streams))
    return fail_api(Errc::kFull, 10027, "");
  if (auto status = check_size(config); !status) return status;
  if (auto status = check_reservation(config, std::nullopt); !status) return status;
  return check_overlap(config);
}

Result<StreamStore*> LocalStreams::new_file(const StreamConfig& config, std::string_view meta, StreamSeq first) {
  if (store_ == nullptr) return fail_api(Errc::kUnsupported, 10049, "this server has no store directory");
  if (auto status = store_->writable(); !status)
    return fail_api(status.error().code, 10049, status.error().detail);
  auto made = store_->create_stream(config.name, meta, first);
  if (!made) return fail_api(made.error().code, 10049, made.error().detail);
  return *made;
}

// -- backups

Status LocalStreams::check_restore(const StreamConfig& config) {
  if (find(config.name) != nullptr) return fail_api(Errc::kExists, 10130, "");
  auto status = check_new(config);
  if (!status && status.error().api_code == 10058) return fail_api(Errc::kExists, 10130, "");
  return status;
}

Result<std::unique_ptr<StreamRestore>> LocalStreams::restore(const StreamConfig& config, StreamSeq first) {
  if (auto status = check_restore(config); !status) return std::unexpected(status.error());
  const WallNanos created = env_.clock.wall();
  StreamStore* file = nullptr;
  std::unique_ptr<StreamStore> memory;
  if (config.storage == StorageKind::kFile) {
    auto made = new_file(config, restoring_meta_json(config, created), first);
    if (!made) return std::unexpected(made.error());
    file = *made;
  } else {
    memory = make_memory_store(first);
  }
  restoring_.insert(config.name);
  return make_local_restore(*this, alive_, store_, config, created, file, std::move(memory));
}

Result<Stream*> LocalStreams::adopt_restored(const StreamConfig& config, WallNanos created, StreamStore* file,
                                             std::unique_ptr<StreamStore> memory) {
  restoring_.erase(config.name);
  if (file != nullptr) store_->update_stream_meta(config.name, stream_meta_json(config, created));
  auto stream = add({.config = config, .created = created, .positions = {}, .restoring = false}, file,
                    std::move(memory));
  if (!stream) return std::unexpected(stream.error());
  (*stream)->trim_restored();
  SLUICE_LOG(log_, kInfo, "stream restored stream={}", config.name);
  for (auto& listener : created_listeners_) listener(**stream);
  return *stream;
}

void LocalStreams::abandon_restored(const StreamConfig& config) {
  restoring_.erase(config.name);
  if (config.storage == StorageKind::kFile) store_->delete_stream(config.name);
}

Result<Stream*> LocalStreams::create(const StreamConfig& config) {
  if (Stream* existing = find(config.name)) {
    if (existing->config() == config) return existing;
    return fail_api(Errc::kExists, 10058, "");
  }
  if (auto status = check_new(config); !status) return std::unexpected(status.error());
  const WallNanos created = env_.clock.wall();
  StreamStore* file = nullptr;
  if (config.storage == StorageKind::kFile) {
    auto made = new_file(config, stream_meta_json(config, created), StreamSeq(config.first_seq));
    if (!made) return std::unexpected(made.error());
    file = *made;
  }
  auto stream = add({.config = config, .created = created, .positions = {}, .restoring = false}, file);
  if (!stream) return std::unexpected(stream.error());
  SLUICE_LOG(log_, kInfo, "stream created stream={} storage={}", config.name,
             to_string(config.storage));
  for (auto& listener : created_listeners_) listener(**stream);
  return *stream;
}

Result<Stream*> LocalStreams::update(const StreamConfig& config) {
  auto found = streams_.find(config.name);
  if (found == streams_.end()) return fail_api(Errc::kNotFound, 10059, "");
  LocalStream& stream = *found->second;
  StreamConfig updated = config;
  const StreamConfig& was = stream.config();
  if (auto status = check_stream_update(was, updated); !status)
    return std::unexpected(status.error());
  if (auto status = check_size(updated); !status) return std::unexpected(status.error());
  if (auto status = check_reservation(updated, was.max_bytes); !status)
    return std::unexpected(status.error());
  if (auto status = check_overlap(updated); !status) return std::unexpected(status.error());
  if (updated == was) return &stream;
  const StreamConfig before = was;
  if (!stream.in_memory())
    store_->update_stream_meta(updated.name, stream.meta_json(updated));
  take_room(updated.storage, std::max<int64_t>(updated.max_bytes, 0) - std::max<int64_t>(was.max_bytes, 0), 0);
  stream.reconfigure(std::move(updated));
  SLUICE_LOG(log_, kInfo, "stream updated stream={}", config.name);
  for (auto& listener : updated_listeners_) listener(stream, before);
  return &stream;
}

Status LocalStreams::remove(std::string_view name) {
  if (const auto offline = offline_.find(name); offline != offline_.end()) {
    SLUICE_LOG(log_, kInfo, "offline stream deleted stream={}", name);
    store_->delete_stream(name);
    offline_.erase(offline);
    return {};
  }
  auto found = streams_.find(name);
  if (found == streams_.end()) return fail_api(Errc::kNotFound, 10059, "");
  for (auto& listener : deleting_listeners_) listener(*found->second);
  std::shared_ptr<LocalStream> stream = std::move(found->second);
  streams_.erase(found);
  std::erase(waiting_for_disk_, stream.get());
  std::erase(waiting_in_memory_, stream.get());
  stream->close();
  std::erase(resized_, stream.get());
  const auto counted = static_cast<int64_t>(stream->counted_bytes());
  used(stream->config().storage) -= counted;
  take_room(stream->config().storage, -std::max<int64_t>(stream->config().max_bytes, 0), -counted);
  if (!stream->in_memory()) store_->delete_stream(stream->config().name);
  SLUICE_LOG(log_, kInfo, "stream deleted stream={}", stream->config().name);
  // One of its own handlers may be on the stack.
  env_.executor.post([stream = std::move(stream)] {});
  return {};
}

void LocalStreams::each(const std::function<void(Stream&)>& visit) {
  for (const auto& [name, stream] : streams_) visit(*stream);
}

// -- answers that wait

void LocalStreams::settle_later(LocalStream& stream) {
  if (!stream.set_waiting(true)) (stream.in_memory() ? waiting_in_memory_ : waiting_for_disk_).push_back(&stream);
  if (!stream.in_memory() || settle_posted_) return;
  settle_posted_ = true;
  env_.executor.post([this, alive = alive_] {
    if (*alive) settle_memory();
  });
}

void LocalStreams::on_durable(CommitNo durable) {
  settle_all(std::exchange(waiting_for_disk_, {}), durable);
}

/// Streams may be deleted (by handlers of the answers) meanwhile: they only close, and go later.
void LocalStreams::settle_all(const std::vector<LocalStream*>& ready, CommitNo durable) {
  for (size_t i = 0; i < ready.size(); ++i) {
    if (i + 2 < ready.size()) ready[i + 2]->prefetch_publish();
    if (i + 1 < ready.size()) ready[i + 1]->prefetch_settle();
    ready[i]->set_waiting(false);
    if (ready[i]->settle(durable)) settle_later(*ready[i]);
  }
}

void LocalStreams::settle_memory() {
  settle_posted_ = false;
  settle_all(std::exchange(waiting_in_memory_, {}), CommitNo(UINT64_MAX));
}

Status LocalStreams::room_for(StorageKind kind, uint64_t bytes) {
  if (kind == StorageKind::kFile && store_ != nullptr) {
    if (auto status = store_->writable(); !status) [[unlikely]] {
      if (status.error().code == Errc::kNoSpace) return fail_api(Errc::kNoSpace, 10023, "");
      return fail_api(status.error().code, 10077, status.error().detail);
    }
  }
  const int64_t limit = limit_of(kind);
  ServerRoom::Kind* all = room(kind);
  if (limit < 0 && (all == nullptr || all->max_bytes < 0)) return {};
  recount();
  if (limit >= 0 && used(kind) + static_cast<int64_t>(bytes) > limit)
    return fail_api(Errc::kFull, 10002, "");
  if (all != nullptr && !options_.room->has_room(*all, static_cast<int64_t>(bytes)))
    return fail_api(Errc::kFull, 10023, "");
  return {};
}

/// Asks only the streams that changed.
void LocalStreams::recount() {
  for (LocalStream* stream : resized_) {
    const int64_t grown = stream->recount();
    used(stream->config().storage) += grown;
    take_room(stream->config().storage, 0, grown);
  }
  resized_.clear();
}

void LocalStreams::collect(MetricSink& sink) const {
  sink.gauge("sluice_streams", "Streams.", {}, static_cast<double>(streams_.size()));
  sink.gauge("sluice_streams_offline", "Streams on disk that this version can't serve.", {},
             static_cast<double>(offline_.size()));
  for (const auto& [name, stream] : streams_) stream->collect(sink);
}

}  // namespace

std::unique_ptr<Streams> Streams::make(Env& env, Bus& bus, Store* store,
                                       const StreamsOptions& options) {
  auto streams = std::make_unique<LocalStreams>(env, bus, store, options);
  streams->start();
  return streams;
}

}  // namespace sluice
