// Files of a nats-server store directory: message blocks, consumer state, the head of index.db. Pure.
// Source: the observed files of nats-server 2.15 (tests/fixtures/archive/store) and its public documents.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "archive/highway_hash.h"
#include "base/error.h"
#include "base/ids.h"
#include "base/time_format.h"

namespace sluice {

enum class NatsRecordKind : uint8_t {
  kMessage,
  kErased,     ///< overwritten; its sequence is gone
  kTombstone,  ///< says that `seq`, here or in an earlier block, was removed
  kDamaged,    ///< does not match its checksum; the next record is found by its length
};

/// Views into the block.
struct NatsRecord {
  NatsRecordKind kind = NatsRecordKind::kMessage;
  StreamSeq seq;
  WallNanos time = 0;
  std::string_view subject;
  std::string_view headers;
  std::string_view payload;
};

/// Compressed blocks ("cmp…") are unpacked, others returned as they are.
/// @return kCorrupt; kUnsupported for another algorithm. At most 64 MiB unpacked.
Result<std::string> unpack_nats_block(std::string file);

/// Walks one unpacked block.
class NatsBlockReader {
 public:
  /// @param key  SHA-256 of "<stream>-<number of the block>".
  NatsBlockReader(std::string_view block, const HighwayHash::Key& key) : rest_(block), key_(key) {}
  /// @return nullopt at the end; kCorrupt when a length makes no sense (what follows can't be found; an
  ///   encrypted block looks so from its start).
  Result<std::optional<NatsRecord>> next();
  size_t left_bytes() const { return rest_.size(); }

 private:
  std::string_view rest_;
  const HighwayHash::Key key_;
};

/// One message that waits for its ack.
struct NatsPending {
  StreamSeq seq;
  uint64_t consumer_seq = 0;
  WallNanos time = 0;           ///< whole seconds
  uint64_t redeliveries = 0;
};
struct NatsConsumerState {
  uint64_t floor_consumer = 0, floor_stream = 0;
  uint64_t delivered_consumer = 0, delivered_stream = 0;
  std::vector<NatsPending> pending;  ///< rising in stream sequence
};
/// `o.dat`. @return kCorrupt; kUnsupported for another version.
Result<NatsConsumerState> read_nats_consumer_state(std::string_view file);

/// What index.db begins with.
struct NatsStreamIndex {
  uint64_t messages = 0, bytes = 0, first_seq = 0, last_seq = 0;
  WallNanos last_time = kZeroTime;
};
Result<NatsStreamIndex> read_nats_stream_index(std::string_view file);

/// The 16 hex digits of a `meta.sum`.
std::string nats_checksum_hex(const HighwayHash::Key& key, std::string_view bytes);

}  // namespace sluice
