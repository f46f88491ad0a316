#include "store/store_keys.h"

namespace sluice {

std::shared_ptr<const SealingKeys> make_store_keys(SealCipher cipher, std::string_view secret, std::string_view previous) {
  constexpr std::string_view kPurpose = "sluice store";
  SealingKeys keys;
  keys.cipher = cipher;
  keys.keys.push_back(derive_sealing_key(secret, kPurpose));
  if (!previous.empty()) keys.keys.push_back(derive_sealing_key(previous, kPurpose));
  return std::make_shared<const SealingKeys>(keys);
}

}  // namespace sluice
