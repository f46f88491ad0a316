#include "crypto/sealer.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "sim/sealing_keys.h"

namespace sluice {
namespace {

using Bytes = std::vector<std::byte>;

Bytes bytes(std::string_view text) {
  const auto* p = reinterpret_cast<const std::byte*>(text.data());
  return {p, p + text.size()};
}

class Sealing : public testing::TestWithParam<SealCipher> {
 protected:
  Sealer sealer_{sim::sealing_keys("a secret", "", GetParam())};
  Bytes seal_ = Bytes(Sealer::kSeal_bytes);
};
INSTANTIATE_TEST_SUITE_P(EachCipher, Sealing, testing::Values(SealCipher::kAes256Gcm, SealCipher::kChaCha20Poly1305),
                         [](const auto& cipher) { return cipher.param == SealCipher::kAes256Gcm ? "Aes" : "ChaCha"; });

TEST_P(Sealing, OpensWhatItSealed) {
  for (const char* text : {"", "a", "order 17 of customer 4", "exactly sixteen."}) {
    Bytes it = bytes(text);
    sealer_.seal(it, bytes("beside"), seal_.data());
    if (it.size() > 4) {
      EXPECT_NE(it, bytes(text));
    }
    Sealer another(sim::sealing_keys("a secret"));
    ASSERT_TRUE(another.open(it, bytes("beside"), seal_.data())) << text;
    EXPECT_EQ(it, bytes(text));
  }
}

TEST_P(Sealing, NoticesEveryBit) {
  const Bytes beside = bytes("where it stands");
  Bytes sealed = bytes("what it says");
  sealer_.seal(sealed, beside, seal_.data());
  const auto opens = [&](Bytes it, const Bytes& its_beside, const Bytes& its_seal) {
    const Bytes before = it;
    const bool opened = sealer_.open(it, its_beside, its_seal.data());
    if (!opened) {
      EXPECT_EQ(it, before) << "touched although it does not open";
    }
    return opened;
  };
  ASSERT_TRUE(opens(sealed, beside, seal_));
  const auto each_flip = [](const Bytes& of, const auto& check) {
    for (size_t bit = 0; bit < of.size() * 8; ++bit) {
      Bytes flipped = of;
      flipped[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
      check(flipped, bit);
    }
  };
  each_flip(sealed, [&](const Bytes& it, size_t bit) { EXPECT_FALSE(opens(it, beside, seal_)) << "of the bytes " << bit; });
  each_flip(beside, [&](const Bytes& it, size_t bit) { EXPECT_FALSE(opens(sealed, it, seal_)) << "beside " << bit; });
  each_flip(seal_, [&](const Bytes& it, size_t bit) {
    if (bit >= 8 && bit < 32) return;  // three bytes that say nothing
    EXPECT_FALSE(opens(sealed, beside, it)) << "of the seal " << bit;
  });
}

TEST_P(Sealing, OldKeysOpenAndStrangersDoNot) {
  Bytes it = bytes("kept for years");
  sealer_.seal(it, {}, seal_.data());
  Sealer stranger(sim::sealing_keys("another secret"));
  EXPECT_FALSE(stranger.open(it, {}, seal_.data()));
  Sealer successor(sim::sealing_keys("another secret", "a secret"));
  ASSERT_TRUE(successor.open(it, {}, seal_.data()));
  EXPECT_EQ(it, bytes("kept for years"));
}

TEST(Sealer, NoNonceComesTwice) {
  std::set<std::string> nonces;
  const auto keys = sim::sealing_keys("a secret");
  for (int opening = 0; opening < 20; ++opening) {
    Sealer sealer(keys);
    for (int i = 0; i < 100; ++i) {
      Bytes it = bytes("the same each time");
      Bytes seal(Sealer::kSeal_bytes);
      sealer.seal(it, {}, seal.data());
      nonces.emplace(reinterpret_cast<const char*>(seal.data()) + 4, 12);
    }
  }
  EXPECT_EQ(nonces.size(), 2000u);
}

TEST(Sealer, KeysComeFromSecretAndPurpose) {
  const auto key = derive_sealing_key("secret", "purpose");
  EXPECT_EQ(key.id, derive_sealing_key("secret", "purpose").id);
  EXPECT_EQ(key.bytes, derive_sealing_key("secret", "purpose").bytes);
  EXPECT_NE(key.bytes, derive_sealing_key("secret2", "purpose").bytes);
  EXPECT_NE(key.bytes, derive_sealing_key("secret", "another").bytes);
  EXPECT_NE(key.id, derive_sealing_key("secret2", "purpose").id);
}

}  // namespace
}  // namespace sluice
