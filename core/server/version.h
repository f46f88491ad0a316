// The two versions a client sees.
#pragma once

#include <string_view>

namespace sluice {

/// INFO's `version`: the nats-server release whose feature set this server has. Clients switch
/// features on by it, so it rises only when everything up to that release is there. INFO carries no
/// `api_lvl`: none of the levelled JetStream API is claimed.
inline constexpr std::string_view kCompatVersion = "2.10.0";
/// INFO's `sluice_version`: our own.
inline constexpr std::string_view kSluiceVersion = "0.1.0";

}  // namespace sluice
