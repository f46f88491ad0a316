#include "stream/local_restore.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/headers.h"
#include "stream/ingest.h"
#include "stream/sequence_limit.h"

namespace sluice {
namespace {

class LocalRestore final : public StreamRestore {
 public:
  LocalRestore(RestoreOwner& owner, std::shared_ptr<const bool> alive, Store* store, StreamConfig config,
               WallNanos created, StreamStore* file, std::unique_ptr<StreamStore> memory)
      : owner_(owner),
        alive_(std::move(alive)),
        store_(store),
        config_(std::move(config)),
        created_(created),
        file_(file),
        memory_(std::move(memory)) {}
  ~LocalRestore() override {
    if (!finished_ && *alive_) owner_.abandon_restored(config_);
  }

  Status append(const StoredMessage& m) override {
    StreamStore& into = memory_ ? *memory_ : *file_;
    const StreamSeq last = into.state().last_seq;
    if (m.seq > kLastStreamSeq) return fail(Errc::kCorrupt, "a sequence beyond what a stream can hold");
    if (m.seq <= last) return fail(Errc::kCorrupt, "sequences of messages do not rise");
    const uint64_t size =
        reported_record_size(config_.storage, m.subject.size(), m.headers.size(), m.payload.size());
    if (size > kMaxRecord_bytes) return fail(Errc::kCorrupt, "a message larger than allowed");
    if (auto room = owner_.room_for_restore(config_.storage, size); !room) return room;
    if (m.seq > last.next()) into.skip_to(StreamSeq(m.seq.value() - 1), m.time);
    const auto id = find_header(m.headers, "Nats-Msg-Id");
    const StreamSeq got = into.append({.subject = m.subject,
                                       .headers = m.headers,
                                       .payload = m.payload,
                                       .time = m.time,
                                       .msg_id = id.value_or("")});
    return got.is_zero() ? Status{fail(Errc::kIo, "the store has failed")} : Status{};
  }
  void when_durable(std::move_only_function<void()> done) override {
    if (memory_ || store_ == nullptr) return done();
    store_->when_durable(file_->last_commit(), std::move(done));
  }
  Result<Stream*> finish(StreamSeq last, WallNanos last_time) override {
    SLUICE_CHECK(!finished_);
    if (last > kLastStreamSeq) return fail(Errc::kCorrupt, "a last sequence beyond what a stream can hold");
    StreamStore& into = memory_ ? *memory_ : *file_;
    const StreamState state = into.state();
    if (last > state.last_seq) into.skip_to(last, std::max(last_time, state.last_time));
    finished_ = true;
    return owner_.adopt_restored(config_, created_, file_, std::move(memory_));
  }

 private:
  RestoreOwner& owner_;
  const std::shared_ptr<const bool> alive_;
  Store* store_;
  const StreamConfig config_;
  const WallNanos created_;
  StreamStore* file_;
  std::unique_ptr<StreamStore> memory_;
  bool finished_ = false;
};

}  // namespace

std::unique_ptr<StreamRestore> make_local_restore(RestoreOwner& owner, std::shared_ptr<const bool> alive,
                                                  Store* store, StreamConfig config, WallNanos created,
                                                  StreamStore* file, std::unique_ptr<StreamStore> memory) {
  return std::make_unique<LocalRestore>(owner, std::move(alive), store, std::move(config), created, file,
                                        std::move(memory));
}

std::string restoring_meta_json(const StreamConfig& config, WallNanos created) {
  return fmt::format(R"({{"config":{},"created":"{}","restoring":true}})", stream_config_json(config, nullptr),
                     format_rfc3339(created));
}

}  // namespace sluice
