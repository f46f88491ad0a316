// What a store directory must hold: the changes made to it, applied in memory.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time_format.h"
#include "store/store.h"

namespace sluice::simulate {

/// A message whose bytes all follow from its nonce, so that the model stays small.
struct MessageModel {
  uint64_t nonce = 0;
  WallNanos time = 0;
  uint64_t digest = 0;  ///< of time, subject, headers and payload
  bool operator==(const MessageModel& other) const { return digest == other.digest; }
};

std::string subject_of(uint64_t nonce);
std::string headers_of(uint64_t nonce);
std::string payload_of(uint64_t nonce);
/// Bytes that no other message holds; empty when it has too few.
std::string mark_of(uint64_t nonce);
std::string msg_id_of(uint64_t nonce);  ///< may be empty
MessageModel make_message(uint64_t nonce, WallNanos time);
uint64_t digest_of(WallNanos time, std::string_view subject, std::string_view headers,
                   std::string_view payload);

struct StreamModel {
  std::string meta;
  uint64_t last_seq = 0;
  std::map<uint64_t, MessageModel> messages;
};

struct ConsumerModel {
  std::string stream;
  std::string name;
  std::string meta;
  uint64_t deltas = 0;  ///< delta number n has the text "n"; a snapshot is the newest number
};

struct Change {
  enum class Kind : uint8_t {
    kCreateStream, kUpdateMeta, kDeleteStream, kAppend, kSkip, kRemove, kPurge,
    kPutConsumer, kDeleteConsumer, kDelta
  } kind;
  std::string stream;
  std::string name;  ///< consumer's
  std::string meta;
  uint64_t seq = 0;  ///< first_seq, sequence given, removed, first_kept
  uint64_t key = 0;
  MessageModel message;
  uint64_t commit = 0;
};

const char* to_string(Change::Kind kind);

class StoreModel {
 public:
  void apply(const Change& change);
  std::map<std::string, StreamModel> streams;
  std::map<uint64_t, ConsumerModel> consumers;
  uint64_t commit = 0;
};

/// What a store says it holds, read through its public calls. `problem` is set when these calls
/// contradict each other.
struct StoreContents {
  std::map<std::string, StreamModel> streams;
  std::map<uint64_t, ConsumerModel> consumers;
  std::optional<std::string> problem;
};
StoreContents read_all(Store& store);

/// The highest last sequence that each stream name ever had.
using HighestSeqs = std::map<std::string, uint64_t>;

/// The first difference in words; nullopt when equal. A last sequence may stand above the model's, up
/// to `highest`: numbers that were lost before anybody saw them need not be given out again.
std::optional<std::string> difference(const StoreModel& model, const HighestSeqs& highest,
                                      const StoreContents& found);

}  // namespace sluice::simulate
