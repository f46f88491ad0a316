// One question about what a stream holds, and its answer: digests of ranges of its origin's sequences. How they travel
// between two Sluices: requests on `$SLUICE.API.STREAM.DIGEST.<stream>`, JSON both ways (docs/replication.md).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "crypto/keyed_digest.h"
#include "proof/copy_marks.h"
#include "subject/subject_rewrite.h"

namespace sluice {

/// First and last, both in.
struct SequenceRange {
  StreamSeq first{};
  StreamSeq last{};
  bool operator==(const SequenceRange&) const = default;
  bool contains(StreamSeq seq) const { return first <= seq && seq <= last; }
};

/// The sum of the digests of some messages, each under the key of the run: equal sums, equal messages, in any order.
/// Adding keyed digests is the incremental multiset hash of Clarke, Devadas et al. (Asiacrypt 2003): nobody who does
/// not know the key can make messages whose sums meet, so the key is fresh and secret in each run.
class RangeDigest {
 public:
  void add(const Sha256& digest);
  void add(const RangeDigest& other);
  RangeDigest times(uint64_t n) const;
  bool operator==(const RangeDigest&) const = default;
  std::string hex() const;
  /// kInvalidArgument when it is not what hex() writes.
  static Result<RangeDigest> from_hex(std::string_view hex);

 private:
  std::array<uint64_t, 4> sum_{};
};

/// The messages of a stream whose origin's sequences are in one range.
struct RangePart {
  uint64_t count = 0;
  SequenceRange own{};  ///< the stream's own sequences that hold them all; others may lie between
  RangeDigest digest{};
  void merge(const RangePart& other);
  bool same_messages(const RangePart& other) const { return count == other.count && digest == other.digest; }
};

struct DigestRequest {
  DigestKey key{};
  /// Messages are known by the marks of copies of this stream; empty: by their own sequences.
  std::string origin{};
  std::string replicator{};  ///< with `origin`: whose marks count (MarkRule)
  std::string worker{};
  uint32_t hop = 0;
  bool subjects = true;    ///< are part of a message
  SubjectRewriteRules rewrite{};  ///< what the copy makes of them; with `subjects`
  uint32_t max_hops = 0;   ///< messages that were copied so often are passed over; 0 = none
  std::vector<std::string> filters{};  ///< subjects as stored here; empty = all
  SequenceRange own{StreamSeq(1), StreamSeq(UINT64_MAX)};  ///< looked at
  SequenceRange range{};   ///< origin's sequences that count
  uint64_t span = 1;       ///< origin's sequences of one part
  std::vector<SequenceRange> only{};  ///< of `range`, rising; empty = all
  StreamSeq seen{};        ///< the greatest origin's sequence met below own.first
  uint64_t max_parts = kMaxParts;     ///< the answer ends there and says where to go on

  static constexpr uint64_t kMaxParts = 1024;
  static constexpr size_t kMaxFilters = 256;
  static constexpr size_t kMaxOnly = 4096;
  static constexpr size_t kMaxTransforms = 256;
  static constexpr size_t kMaxRewriteText_bytes = 4096;

  /// Which marks count; good as long as this is.
  MarkRule mark_rule() const { return {origin, replicator, worker, hop}; }
  bool picks_marks() const { return mark_rule().only_replicators(); }
  /// A Sluice that can't do it refuses it: what it would read over stands in the place of something else.
  bool needs_newer_sluice() const { return picks_marks() || !rewrite.empty(); }
};

struct DigestAnswer {
  StreamSeq next{};        ///< of its own sequences: ask again from here; zero = all of `own` was looked at
  uint64_t read = 0;       ///< messages looked at
  StreamSeq oldest{};      ///< the smallest and greatest origin's sequence met, in `range` or not; zero = none
  StreamSeq newest{};
  StreamSeq newest_own{};  ///< where the newest one is
  uint64_t others = 0;     ///< messages without a mark of that origin
  uint64_t passed_over = 0;   ///< by filters and max_hops
  uint64_t disordered = 0;    ///< met after one with a greater origin's sequence
  std::map<uint64_t, RangePart> parts{};  ///< by (sequence − range.first) / span; empty ones are left out
  /// Takes the next page in.
  void merge(DigestAnswer&& page);
};

/// 10003 with words for what can't be.
Status check(const DigestRequest& request);
std::string encode(const DigestRequest& request);
Result<DigestRequest> parse_digest_request(std::string_view json);
std::string encode(const DigestAnswer& answer);
/// An error in it: its err_code and description.
Result<DigestAnswer> parse_digest_answer(std::string_view json);

inline constexpr std::string_view kDigestResponse = "io.sluice.api.v1.stream_digest_response";
/// "$SLUICE.API.STREAM.DIGEST.", with a domain "$SLUICE.<domain>.API.STREAM.DIGEST.".
std::string digest_subject_prefix(std::string_view domain);
/// The same for a prefix of the JetStream API, "$JS.API" or "$JS.<domain>.API"; empty for any other one.
std::string digest_subject_prefix_beside(std::string_view api_prefix);

}  // namespace sluice
