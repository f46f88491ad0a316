// The two versions a client sees.
#pragma once

#include <string_view>

namespace sluice {

/// INFO's `version`: the nats-server release whose feature set this server has. Clients switch
/// features on by it.
inline constexpr std::string_view kCompatVersion = "2.15.2";
/// INFO's `api_lvl`: the JetStream API level (ADR-44) of that release.
inline constexpr int kApiLevel = 5;
/// INFO's `sluice_version`: our own.
inline constexpr std::string_view kSluiceVersion = "0.1.0";

}  // namespace sluice
