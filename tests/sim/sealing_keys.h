// Keys for a store that is encrypted in a test.
#pragma once

#include <memory>
#include <string_view>

#include "crypto/sealer.h"

namespace sluice::sim {

/// @param previous  secret of the key before; "" = there was none
inline std::shared_ptr<const SealingKeys> sealing_keys(std::string_view secret, std::string_view previous = "",
                                                       SealCipher cipher = SealCipher::kAes256Gcm) {
  SealingKeys keys;
  keys.cipher = cipher;
  keys.keys.push_back(derive_sealing_key(secret, "sluice store"));
  if (!previous.empty()) keys.keys.push_back(derive_sealing_key(previous, "sluice store"));
  return std::make_shared<const SealingKeys>(keys);
}

}  // namespace sluice::sim
