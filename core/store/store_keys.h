// The keys of an encrypted store, from what an operator has.
#pragma once

#include <memory>
#include <string_view>

#include "crypto/sealer.h"

namespace sluice {

/// @param secret    any bytes; its strength is the store's
/// @param previous  the secret before it, while files under it are left; "" = none
std::shared_ptr<const SealingKeys> make_store_keys(SealCipher cipher, std::string_view secret, std::string_view previous);

}  // namespace sluice
