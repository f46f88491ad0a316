// Any bytes as the JSON of a CONNECT: reading stays inside them, and what is not an object of the
// right types is refused.
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

#include "base/check.h"
#include "wire/info_connect.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto copy = std::make_unique<char[]>(size);
  if (size != 0) std::memcpy(copy.get(), data, size);
  const std::string_view json(copy.get(), size);
  const auto options = sluice::parse_connect(json);
  if (!options) {
    SLUICE_CHECK(!options.error().detail.empty());
    return 0;
  }
  SLUICE_CHECK(json.find('{') != std::string_view::npos ||
               json.find("null") != std::string_view::npos);
  SLUICE_CHECK(options->user.size() + options->pass.size() + options->name.size() <= size);
  return 0;
}
