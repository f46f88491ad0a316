#include "base/error.h"

namespace sluice {

const char* to_string(Errc code) {
  switch (code) {
    case Errc::kInvalidArgument: return "invalid argument";
    case Errc::kNotFound: return "not found";
    case Errc::kExists: return "exists";
    case Errc::kFull: return "full";
    case Errc::kNoSpace: return "no space";
    case Errc::kIo: return "i/o error";
    case Errc::kCorrupt: return "corrupt";
    case Errc::kUnsupported: return "unsupported";
    case Errc::kDenied: return "denied";
    case Errc::kTimeout: return "timeout";
    case Errc::kClosed: return "closed";
    case Errc::kNoResponders: return "no responders";
    case Errc::kRefused: return "refused";
  }
  return "unknown";
}

}  // namespace sluice
