// Why an operation failed: an enum first, words for people second.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <utility>

namespace sluice {

enum class Errc : uint8_t {
  kInvalidArgument,  ///< the caller (a person, a peer) asked for something that can't be
  kNotFound,
  kExists,
  kFull,         ///< a stated bound was reached; try later
  kNoSpace,      ///< the disk is full
  kIo,           ///< the disk or socket failed
  kCorrupt,      ///< bytes do not match their checksum or shape
  kUnsupported,  ///< understood, but not done by this version
  kDenied,
  kTimeout,
  kClosed,
  kNoResponders,
  kRefused,  ///< a peer answered with an error of its own
};

/// `detail` is for people and is never compared.
struct Error {
  Errc code;
  uint16_t api_code = 0;  ///< JetStream err_code (ADR-7); 0 = never shown to a client
  std::string detail;
};

template <class T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

/// `return fail(Errc::kCorrupt, "segment shorter than its header");`
inline std::unexpected<Error> fail(Errc code, std::string detail) {
  return std::unexpected(Error{code, 0, std::move(detail)});
}
inline std::unexpected<Error> fail_api(Errc code, uint16_t api_code, std::string detail) {
  return std::unexpected(Error{code, api_code, std::move(detail)});
}

const char* to_string(Errc code);

}  // namespace sluice
