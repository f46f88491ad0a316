// The framing of S2 and Snappy streams: chunks with CRC-32C, in pieces of any size.
// Source: the public description of the Snappy framing format and of S2's extensions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace sluice {

/// Decompresses, one chunk at a time: few bytes may stand for very many.
class S2StreamReader {
 public:
  /// Keeps `bytes` until next() has read them.
  void feed(std::string_view bytes);
  /// Reads one chunk, if a whole one is there.
  /// @param out  gets what it holds (at most 4 MiB; nothing for chunks without data).
  /// @return false when more bytes are needed; kCorrupt (nothing may follow).
  Result<bool> next(std::string& out);
  /// Fed and not yet read.
  size_t waiting_bytes() const { return waiting_.size() - at_; }

 private:
  Status chunk(uint8_t type, std::string_view body, std::string& out);
  static Status data(std::string_view body, bool compressed, std::string& out);

  std::string waiting_;
  size_t at_ = 0;
  bool identified_ = false;
};

/// Compresses into chunks of 64 KiB.
class S2StreamWriter {
 public:
  /// What the first chunk calls it; the others are the same in both.
  enum class Framing : uint8_t { kS2, kSnappy };
  explicit S2StreamWriter(Framing framing = Framing::kS2) : framing_(framing) {}
  void write(std::string_view bytes);
  /// Ends the chunk at hand.
  void flush();
  /// Everything compressed since the last call.
  std::string take() { return std::exchange(ready_, {}); }
  size_t ready_bytes() const { return ready_.size(); }

 private:
  const Framing framing_;
  std::string gathered_;
  std::string ready_;
  bool identified_ = false;
};

}  // namespace sluice
