// SHA-256 under a key of its own: many short digests with one set-up.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "crypto/digest.h"

namespace sluice {

using DigestKey = std::array<uint8_t, 32>;

/// SHA-256 of a first block made of the key, then of the bytes. As a keyed function this holds as long as no input is the
/// beginning of another one (the cascade of Bellare, Canetti and Krawczyk, 1996): say how long the parts are before them.
/// One thread at a time.
class KeyedSha256 {
 public:
  explicit KeyedSha256(const DigestKey& key);
  ~KeyedSha256();
  KeyedSha256(const KeyedSha256&) = delete;
  KeyedSha256& operator=(const KeyedSha256&) = delete;

  void begin();
  void update(std::string_view bytes);
  Sha256 finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sluice
