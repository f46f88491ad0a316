// Logging in with a credentials file, against a real nats-server in operator mode.
#include <gtest/gtest.h>

#include <fstream>

#include "base/base64.h"
#include "crypto/nkey.h"
#include "crypto/signature.h"
#include "real_server.h"
#include "remote/remote_link.h"
#include "uv/env.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr auto kOperator = static_cast<NkeyKind>(14 << 3);
constexpr std::string_view kUserSeed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";

std::string url_base64(std::string_view bytes) {
  std::string text = base64_encode(bytes);
  while (text.ends_with('=')) text.pop_back();
  for (char& c : text) c = c == '+' ? '-' : c == '/' ? '_' : c;
  return text;
}

struct Party {
  Party(NkeyKind kind, uint8_t fill) {
    seed.fill(fill);
    name = encode_nkey(kind, ed25519_public_key(seed));
  }
  Ed25519Key seed{};
  std::string name;
};

/// A NATS JWT (version 2) about `subject`, signed by `issuer`.
std::string make_jwt(const Party& issuer, const std::string& subject, const std::string& nats) {
  const std::string claims = R"({"jti":"x","iat":1,"iss":")" + issuer.name +
                             R"(","name":"n","sub":")" + subject + R"(","nats":{)" + nats +
                             R"(,"version":2}})";
  const std::string text =
      url_base64(R"({"typ":"JWT","alg":"ed25519-nkey"})") + "." + url_base64(claims);
  const Ed25519Signature signature = sign_ed25519(issuer.seed, text);
  return text + "." +
         url_base64({reinterpret_cast<const char*>(signature.data()), signature.size()});
}

TEST(Credentials, JwtAndSeedLogIn) {
  SLUICE_NEEDS_NATS_SERVER();
  const Party op(kOperator, 1), system(NkeyKind::kAccount, 2), account(NkeyKind::kAccount, 3);
  const std::string user =
      encode_nkey(NkeyKind::kUser, ed25519_public_key(*decode_user_seed(kUserSeed)));
  const std::string limits =
      R"("limits":{"subs":-1,"data":-1,"payload":-1,"imports":-1,"exports":-1,"wildcards":true,)"
      R"("conn":-1,"leaf":-1},"type":"account")";
  char pattern[] = "/tmp/sluice-creds-XXXXXX";
  const std::string dir = mkdtemp(pattern);
  std::ofstream(dir + "/server.conf")
      << "operator: " << make_jwt(op, op.name, R"("type":"operator")") << "\nresolver: MEMORY\n"
      << "system_account: " << system.name << "\nresolver_preload: {\n"
      << system.name << ": " << make_jwt(op, system.name, limits) << "\n"
      << account.name << ": " << make_jwt(op, account.name, limits) << "\n}\n";
  const std::string jwt = make_jwt(
      account, user, R"("pub":{},"sub":{},"subs":-1,"data":-1,"payload":-1,"type":"user")");
  std::ofstream(dir + "/user.creds") << "-----BEGIN NATS USER JWT-----\n"
                                     << jwt << "\n------END NATS USER JWT------\n\n"
                                     << "-----BEGIN USER NKEY SEED-----\n"
                                     << kUserSeed << "\n------END USER NKEY SEED------\n";

  RealServer server({"-c", dir + "/server.conf"});
  UvEnv uv;
  LinkOptions options;
  options.urls = {server.url()};
  options.credentials_file = dir + "/user.creds";
  {
    auto link = make_remote_link(uv.env(), options);
    ASSERT_TRUE(link);
    EXPECT_TRUE(
        uv.loop().run_until([&] { return (*link)->state() == LinkState::kConnected; }, 10s));
    options.credentials_file = dir + "/none.creds";
    auto without = make_remote_link(uv.env(), options);
    ASSERT_TRUE(without);
    uv.loop().run_until([] { return false; }, 200ms);
    EXPECT_EQ((*without)->state(), LinkState::kConnecting);
  }
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace sluice
