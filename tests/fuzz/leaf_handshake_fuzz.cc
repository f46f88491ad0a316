// The INFO and the CONNECT of another server: what was understood is understood the same when written again.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "leaf/leaf_handshake.h"

namespace {

/// The JSON of "WORD {…}\r\n".
std::string_view json_of(std::string_view line) {
  line.remove_prefix(line.find(' ') + 1);
  return line.substr(0, line.rfind('}') + 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string json(reinterpret_cast<const char*>(data), size);
  if (const auto info = sluice::parse_leaf_info(json)) {
    const std::string line = sluice::make_leaf_info(*info);
    const auto again = sluice::parse_leaf_info(json_of(line));
    if (!again || sluice::make_leaf_info(*again) != line) std::abort();
  }
  if (const auto connect = sluice::parse_leaf_connect(json)) {
    const std::string line = sluice::make_leaf_connect(*connect);
    const auto again = sluice::parse_leaf_connect(json_of(line));
    if (!again || sluice::make_leaf_connect(*again) != line) std::abort();
  }
  return 0;
}
