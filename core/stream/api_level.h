// The header with which a client says what it needs of this server (Nats-Required-Api-Level).
#pragma once

#include <string_view>

namespace sluice {

/// True when the block does not ask for more than `level`. A value that is no number asks for more.
bool api_level_suffices(std::string_view headers, int level);

}  // namespace sluice
