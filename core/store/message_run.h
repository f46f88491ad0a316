// Small messages of one stream in one record of a segment: what they have in common is written once.
//
// Pure. A run stands in one page, so that a message is read with one page. Its record keeps sequence and time of its first
// message; its payload is described in docs/storage_format.md. Each message has a checksum of its own too: when damage can't
// be mended, its neighbours are still found.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/record_format.h"

namespace sluice::format {

/// Larger records stand alone.
inline constexpr size_t kMostInRun_bytes = 1024;

/// Gathers a run. Any one thread.
class RunBuilder {
 public:
  /// `room`: what its record may take.
  RunBuilder(size_t room, uint64_t seed, Sealer* sealer) : room_(room), seed_(seed), sealer_(sealer) {}
  uint64_t count() const { return count_; }
  uint32_t stream() const { return run_.stream; }
  /// Sequences of one stream, rising. False when there is no room for it.
  bool add(const Record& message);
  /// The record, encoded.
  std::vector<std::byte> finish();

 private:
  size_t record_with(size_t payload) const;
  size_t find_subject(std::string_view subject, size_t slot) const;

  size_t room_;
  uint64_t seed_;
  Sealer* sealer_;
  Record run_;
  uint64_t last_seq_ = 0;
  uint64_t count_ = 0;
  size_t unpacked_ = 0;
  std::string payload_;
  static constexpr size_t kSlots = 64;
  std::array<size_t, kSlots> slots_{};  ///< where the last subject with such a hash stands, + 1; 0 = none
};

/// The messages of an opened run as whole records, back to back; nullopt when its bytes are not those of a run.
std::optional<std::vector<std::byte>> unpack_run(const Record& run);
/// The messages that are intact of a run whose checksum does not fit, from its header to the end of its page. Of the header only
/// stream, sequence and time are believed, as each message's checksum covers them.
std::vector<std::byte> salvage_run(std::span<const std::byte> bytes, uint64_t seed);
/// The payload with the content of message `seq` overwritten by zeros, as long as before; nullopt as of unpack_run.
std::optional<std::string> blank_in_run(const Record& run, uint64_t seq, uint64_t seed);

}  // namespace sluice::format
