#include "crypto/signature.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "base/base64.h"
#include "crypto/nkey.h"
#include "test_paths.h"

namespace sluice {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  return bytes;
}

Ed25519Key key_of(std::string_view hex) {
  const std::string bytes = from_hex(hex);
  Ed25519Key key{};
  for (size_t i = 0; i < key.size(); ++i) key[i] = static_cast<uint8_t>(bytes[i]);
  return key;
}

std::string_view view_of(const auto& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// RFC 8032, 7.1, tests 1 and 3.
TEST(Ed25519, VectorsOfTheRfc) {
  const struct {
    const char *seed, *key, *message, *signature;
  } vectors[] = {{"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                  "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
                  "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bac"
                  "c61e39701cf9b4"
                  "6bd25bf5f0595bbe24655141438e7a100b"},
                 {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
                  "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
                  "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290"
                  "ae67f760984dc6"
                  "594a7c15e9716ed28dc027beceea1ec40a"}};
  for (const auto& v : vectors) {
    const std::string message = from_hex(v.message), signature = from_hex(v.signature);
    EXPECT_EQ(view_of(ed25519_public_key(key_of(v.seed))), from_hex(v.key));
    EXPECT_EQ(view_of(sign_ed25519(key_of(v.seed), message)), signature);
    EXPECT_TRUE(verify_ed25519(from_hex(v.key), message, signature));
    EXPECT_FALSE(verify_ed25519(from_hex(v.key), message + "x", signature));
    EXPECT_FALSE(verify_ed25519(from_hex(v.key), message, signature.substr(1)));
    EXPECT_FALSE(verify_ed25519("short", message, signature));
  }
}

// The seed and public key that the NATS documentation prints.
TEST(Nkey, UserSeedOfTheDocumentation) {
  const auto seed = decode_user_seed("SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY");
  ASSERT_TRUE(seed);
  EXPECT_EQ(encode_nkey(NkeyKind::kUser, ed25519_public_key(*seed)),
            "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4");
  EXPECT_FALSE(decode_user_seed("SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU4VY"));
  EXPECT_FALSE(decode_user_seed("SAACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"));
  EXPECT_FALSE(decode_user_seed("UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"));
  EXPECT_FALSE(decode_user_seed(""));
}

TEST(Rsa, RefusesWhatIsNoCertificate) {
  EXPECT_EQ(verify_rsa_sha256("", "m", "s").error().code, Errc::kInvalidArgument);
  EXPECT_EQ(verify_rsa_sha256("insecure", "m", "s").error().code, Errc::kInvalidArgument);
  EXPECT_EQ(verify_rsa_sha256(std::string(100000, 'x'), "m", "s").error().code,
            Errc::kInvalidArgument);
}

// More certificates than keys are kept: each verifies before and after its key was forgotten.
TEST(Rsa, AKeyIsTheCertificatesOwnHoweverManyThereAre) {
  const std::string certificate = read_file(std::string(SLUICE_FIXTURES) + "/tls/server-rsa.pem");
  const std::string other = read_file(std::string(SLUICE_FIXTURES) + "/tls/server.pem");
  // "m" by tests/fixtures/tls/server-rsa-key.pem
  const auto signature = base64_decode(
      "pen6PhAy9jNrcZb957FWHdelxvIbYfXuTL5tjVsdUAMkupPKIy9+b/M6CybIwySTIH7oK0Ap2VK4f8slI6pYIjMp2rQ1"
      "Tj3kW3vxS50MkhRLZv9+3y86Kxnf5IO/lvKOx/MWsj1zMSXT7knu+Rb83TSjrTE7YOrZRAU+AT6qBVh5nYxT/+M6c6BD"
      "Ez5hMbyKn1LIVte0E2ojiAG+PlLWf85oS/stIsJULGSZTBPzHQOEG5AEvugZScXFdT9KwnRx+P0D8qheiXTHyqJyyfQn"
      "2dyLHy0lGjz6qrMa/NhxOCnrhIUSEUNxI9Vs29SkCV8ZuutnEgrzqtaVORyJWCdrMg==");
  ASSERT_TRUE(signature);
  for (int i = 0; i < 4200; ++i) ASSERT_TRUE(verify_rsa_sha256("# " + std::to_string(i) + "\n" + certificate, "m", *signature)) << i;
  for (const int i : {0, 1, 4199}) {
    const std::string again = "# " + std::to_string(i) + "\n" + certificate;
    EXPECT_TRUE(verify_rsa_sha256(again, "m", *signature)) << i;
    EXPECT_EQ(verify_rsa_sha256(again, "n", *signature).error().code, Errc::kDenied) << i;
  }
  EXPECT_EQ(verify_rsa_sha256(other, "m", *signature).error().code, Errc::kInvalidArgument);
}

}  // namespace
}  // namespace sluice
