// What may enter a stream: the checks on one publish, in one visible order (ingest.cc).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/ids.h"
#include "base/time_format.h"
#include "bus/bus.h"
#include "store/stream_store.h"
#include "stream/batch_stage.h"
#include "stream/counter.h"
#include "stream/dedup_window.h"
#include "stream/message_ttl.h"
#include "stream/observer_list.h"
#include "stream/publish_headers.h"
#include "stream/stream_config.h"

namespace sluice {

/// What is done with a publish.
struct Verdict {
  enum class Kind : uint8_t {
    kStore,
    kSkip,       ///< interest retention without interest: the sequence is used up, nothing stored
    kDuplicate,  ///< `seq` is the original's
    kRefuse,     ///< `why` says so
  };
  Kind kind = Kind::kStore;
  Rollup rollup = Rollup::kNone;
  StreamSeq seq;
  Error why{};
  std::optional<MessageTtl> ttl{};  ///< when stored
  /// What is stored in place of what came: counters, raised TTLs, schedules.
  struct Rewritten {
    std::string headers;
    std::optional<std::string> payload{};
    std::string sum{};  ///< of a counter, for the answer
  };
  std::optional<Rewritten> rewritten{};
};

/// Who wrote a message: the server itself may use headers that it refuses from clients.
enum class Writer : uint8_t { kClient, kServer };

/// One publish as the checks see it.
struct Offered {
  const Message& message;
  const PublishHeaders& headers;
  WallNanos now = 0;
  Writer writer = Writer::kClient;
  BatchStage* stage = nullptr;  ///< the atomic batch that it belongs to; an accepted message is noted there
};

/// Size of a record as the API counts it: file 22 + subject + (4 + headers, when any) + payload + 8;
/// memory subject + headers + payload + 16.
uint64_t reported_record_size(StorageKind storage, size_t subject, size_t headers, size_t payload);

/// Reads only; whatever it refers to belongs to the stream and outlives it. Loop thread only.
class Ingest {
 public:
  struct Sources {
    const StreamConfig& config;
    StreamStore& store;
    DedupWindow& dedup;
    const ObserverList& observers;
    const std::string& last_msg_id;
    const StreamSeq& visible_last;
    /// Store and account: may `bytes` more be kept? An error carries 10002, 10023 or 10077.
    std::function<Status(uint64_t bytes)> room_for;
  };
  explicit Ingest(Sources sources) : s_(std::move(sources)) {}

  using Refusal = std::optional<Error>;

  Verdict judge(const Offered& offered);
  /// Copies of other streams' messages (ingest_copied.cc).
  Verdict judge_mirrored(const Offered& offered);
  Verdict judge_sourced(const Offered& offered);
  /// The part of judge() on sizes, which needs nothing that is stored.
  std::optional<Verdict> heed(const Offered& offered, Verdict& verdict);
  Refusal check_sizes(const Offered&) const;

 private:
  Refusal check_sequences_left() const;
  Refusal check_size_of(size_t headers, size_t payload) const;
  Refusal check_increment(const Offered&) const;
  Refusal check_ttl(const Offered&, Verdict&) const;
  Refusal count(const Offered&, Verdict&);
  Refusal count_copied(const Offered&, Verdict&);
  Result<CounterBefore> counter_before(const Offered&);
  Refusal keep_sum(Result<CounterStep> step, Verdict&) const;
  Refusal check_expected_sequences(const Offered&);
  Refusal check_expected_subject_sequence(const Offered&);
  // ingest_schedule.cc
  Refusal check_schedule(const Offered&, Verdict&) const;
  Refusal check_scheduler(const Offered&) const;
  bool is_own_subject(std::string_view subject) const;
  static std::string& headers_to_rewrite(const Message&, Verdict&);

  Refusal check_rollup(Rollup, const Offered&) const;
  Refusal check_discard_new(const Offered&, Rollup);
  uint64_t count_on_subject(const Offered&, const std::optional<SubjectState>& stored) const;
  Refusal check_discard_new_totals(const Offered&, uint64_t freed_count, uint64_t freed_bytes) const;
  void note(const Offered&, const Verdict&) const;
  uint64_t bytes_on_subject(std::string_view subject, const SubjectState& state, uint64_t count);
  uint64_t size_of(const Message& message) const;

  Sources s_;
};

}  // namespace sluice
