// How a trace event is packed: what its message accepts (ADR-41, as Accept-Encoding says it).
#pragma once

#include <string>
#include <string_view>

#include "server/traced_message.h"

namespace sluice {

/// @param headers  gets a Content-Encoding; "identity" when the message asked for something else
std::string encode_trace(std::string_view json, TraceEncoding encoding, std::string& headers);

}  // namespace sluice
