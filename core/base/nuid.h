// Names that do not meet again: 22 characters of base 62, as NATS clients make them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sluice {

inline constexpr std::string_view kBase62 =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// `count` characters of base 62 drawn from `random`, any callable that returns uint64_t.
template <class RandomU64>
std::string random_base62(size_t count, RandomU64&& random) {
  std::string out(count, '0');
  for (char& c : out) c = kBase62[random() % kBase62.size()];
  return out;
}

/// A fresh 22-character id.
template <class RandomU64>
std::string make_nuid(RandomU64&& random) {
  return random_base62(22, random);
}

}  // namespace sluice
