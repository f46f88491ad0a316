#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/parse_number.h"

namespace sluice {

/// The last token of an inbox subject as a number: how replies find who asked.
inline std::optional<uint64_t> inbox_token(std::string_view inbox) {
  return parse_decimal<uint64_t>(inbox.substr(inbox.rfind('.') + 1));
}

}  // namespace sluice
