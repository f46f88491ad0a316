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
};

/// One publish as the checks see it.
struct Offered {
  const Message& message;
  const PublishHeaders& headers;
  WallNanos now = 0;
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
    /// Store and account: may `bytes` more be kept? An error carries 10002, 10023 or 10077.
    std::function<Status(uint64_t bytes)> room_for;
  };
  explicit Ingest(Sources sources) : s_(std::move(sources)) {}

  Verdict judge(const Offered& offered);
  /// Copies of other streams' messages (ingest_copied.cc).
  Verdict judge_mirrored(const Offered& offered);
  Verdict judge_sourced(const Offered& offered);

 private:
  using Refusal = std::optional<Error>;

  Refusal check_sizes(const Offered&) const;
  Refusal check_expected_sequences(const Offered&);
  Refusal check_rollup(Rollup, const PublishHeaders&) const;
  Refusal check_discard_new(const Offered&, Rollup);
  Refusal check_discard_new_totals(uint64_t size, uint64_t freed_count, uint64_t freed_bytes) const;
  uint64_t bytes_on_subject(std::string_view subject, const SubjectState& state, uint64_t count);
  uint64_t size_of(const Message& message) const;

  Sources s_;
};

}  // namespace sluice
