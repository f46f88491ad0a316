// The JWT of an operator as a configuration gives it.
#pragma once

#include <string>

#include "base/error.h"

namespace sluice {

/// `text` is the JWT itself, or the name of a file that holds it (bare, or between lines of dashes).
/// kNotFound: there is neither.
Result<std::string> read_operator_token(const std::string& text);

}  // namespace sluice
