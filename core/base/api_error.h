// The error object of the JetStream API, from an err_code and its detail.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"

namespace sluice {

struct ApiErrorText {
  uint16_t http_code = 500;
  std::string description;
};

/// Looks the err_code up and puts `detail` in place of the description's {placeholder}; when
/// there are several, `detail` has a line for each. An unknown
/// code is a programming error.
ApiErrorText api_error_text(uint16_t err_code, const std::string& detail);

/// The description alone for codes without placeholder.
inline std::string api_error_description(uint16_t err_code) { return api_error_text(err_code, "").description; }

}  // namespace sluice
