// One direction of a byte stream as Zstandard has it (RFC 8878): a frame without end, flushed at each write, so that what was
// sent before is what the next bytes are compressed by.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "compression/dictionaries.h"

namespace sluice {

/// First byte of every frame. No line of the NATS protocol begins with it.
inline constexpr char kZstdFirstByte = '\x28';
/// How far back bytes are looked for; a reader takes no more memory than this and a block, whatever the peer claims.
inline constexpr int kZstdWindowLog = 18;

class ZstdWriter {
 public:
  ZstdWriter();
  ~ZstdWriter();
  /// Appends to `out` what a reader needs to see all of `bytes`.
  void write(std::string_view bytes, std::string& out);
  /// As write(), for who has no time: in a frame of its own, as they are.
  void store(std::string_view bytes, std::string& out);
  /// Ends the frame; one that has not begun is an empty one.
  void end_frame(std::string& out);
  /// Between frames: the next one begins with `dictionary`.
  void use(DictionaryPtr dictionary);

 private:
  struct Context;
  std::unique_ptr<Context> context_;
  bool storing_ = false;  ///< the frame is one of store()
};

class ZstdReader {
 public:
  ZstdReader();
  ~ZstdReader();
  /// Takes bytes off the front of `in` and makes bytes of them: the number made, no more than fit `into`. Everything is
  /// made when that is less than fit and `in` is empty. kCorrupt: no frame, or one with a larger window.
  Result<size_t> read(std::string_view& in, std::span<char> into);
  /// One frame, that behind so many others from here, was written with `dictionary`.
  void expect(DictionaryPtr dictionary, size_t behind_frames);

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace sluice
