#include <gtest/gtest.h>

#include "crypto/digest.h"
#include "crypto/nkey.h"
#include "crypto/secret.h"

namespace sluice {
namespace {

TEST(Digest, Sha256OfAbc) {
  const Sha256 digest = sha256("abc");  // FIPS 180-2, example B.1
  EXPECT_EQ(digest[0], 0xba);
  EXPECT_EQ(digest[1], 0x78);
  EXPECT_EQ(digest[31], 0xad);
}

TEST(Digest, ShortHashIsTheOneOfNatsServer) { EXPECT_EQ(short_hash("$G"), "szMpdrwD"); }

TEST(Secret, EqualOnlyWhenAllBytesAre) {
  EXPECT_TRUE(secrets_equal("s3cret", "s3cret"));
  EXPECT_TRUE(secrets_equal("", ""));
  EXPECT_FALSE(secrets_equal("s3cret", "s3creT"));
  EXPECT_FALSE(secrets_equal("s3cret", "s3cret "));
  EXPECT_FALSE(secrets_equal("", "s3cret"));
}

TEST(Nkey, PublicKeysHaveTheirLetterAndLength) {
  std::array<uint8_t, 32> key{};
  for (size_t i = 0; i < key.size(); ++i) key[i] = static_cast<uint8_t>(i * 7);
  const std::string server = encode_nkey(NkeyKind::kServer, key);
  EXPECT_EQ(server.size(), 56U);
  EXPECT_EQ(server[0], 'N');
  EXPECT_EQ(encode_nkey(NkeyKind::kUser, key)[0], 'U');
  EXPECT_EQ(encode_nkey(NkeyKind::kAccount, key)[0], 'A');
}

TEST(Nkey, KnownText) {
  // Computed apart with Python's base64.b32encode and binascii.crc_hqx.
  const std::array<uint8_t, 32> zero{};
  EXPECT_EQ(encode_nkey(NkeyKind::kServer, zero),
            "NAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB5PU");
}

// RFC 1321, A.5
TEST(Md5, Vectors) {
  EXPECT_EQ(md5_hex(""), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(md5_hex("message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
}

}  // namespace
}  // namespace sluice
