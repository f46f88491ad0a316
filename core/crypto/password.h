// Passwords kept as bcrypt hashes.
#pragma once

#include <string>
#include <string_view>

namespace sluice {

/// The costliest hash that is taken: each step doubles the work (11 is a seventh of a second).
inline constexpr int kMaxBcryptCost = 20;

/// "$2a$11$…" with a, b, x or y: a hash, which must not pass for the secret itself.
bool is_bcrypt(std::string_view text);
/// The hash has 60 characters and a cost from 4 to kMaxBcryptCost.
bool is_usable_bcrypt(std::string_view hash);
/// Slow on purpose: never on the loop. Compares in constant time. False when the hash is not usable.
/// Only the first 72 bytes of `secret` count, as always with bcrypt.
bool bcrypt_matches(const std::string& hash, const std::string& secret);

}  // namespace sluice
