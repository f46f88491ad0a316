// Who signed, and by whose word: tokens of an organisation and of a chain issuer it empowered, certificates of an authority.
#include "adapters/choria_registration/voucher.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "adapters/choria_identity/token.h"
#include "adapters/choria_registration/adapter.h"
#include "adapters/choria_registration/unpack.h"
#include "base/base64.h"
#include "base/headers.h"
#include "crypto/signature.h"
#include "fake_stream_client.h"
#include "sim/sim_env.h"
#include "test_paths.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::json;

const std::string kFolder = std::string(SLUICE_FIXTURES) + "/choria/";
constexpr const char* kIssuerId = "29nnx5ZzdnnRNVTh4aY0SJgG0Vl";
/// A recorded token's id and time of issue, which belong together.
constexpr const char* kId = "3MMkNleGsGvWRKaZWZR6N8Lb5Yb";
constexpr int64_t kIssued = 1795167785;
constexpr int64_t kNow = kIssued + 60;

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}
std::string hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    constexpr const char* kDigits = "0123456789abcdef";
    out += kDigits[static_cast<unsigned char>(c) >> 4];
    out += kDigits[c & 15];
  }
  return out;
}
template <class Bytes>
std::string text_of(const Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

constexpr Ed25519Key kOrganisation{1}, kIssuer{2}, kNode{3}, kStranger{4};
std::string public_hex(const Ed25519Key& seed) { return hex(text_of(ed25519_public_key(seed))); }

std::string sign_token(const Json& claims, const Ed25519Key& by) {
  const std::string part = base64url_encode(R"({"alg":"EdDSA","typ":"JWT"})") + "." + base64url_encode(claims.dump());
  return part + "." + base64url_encode(text_of(sign_ed25519(by, part)));
}

/// As a chain issuer makes one: `break_it` may spoil the claims before they are signed.
std::string chain_token(const std::function<void(Json&)>& break_it = nullptr, const Ed25519Key& by = kIssuer) {
  const std::string first = hex(text_of(sign_ed25519(kOrganisation, kIssuerId + std::string(".") + public_hex(kIssuer))));
  const std::string second = hex(text_of(sign_ed25519(kIssuer, kId + std::string(".") + first)));
  Json claims{{"identity", "n1.example.net"}, {"public_key", public_hex(kNode)}, {"purpose", "choria_server"}, {"jti", kId}, {"iat", kIssued}, {"nbf", kIssued},
              {"exp", kIssued + 3600}, {"issexp", kIssued + 7200}, {"iss", "C-" + std::string(kIssuerId) + "." + public_hex(kIssuer)}, {"tcs", first + "." + second}};
  if (break_it) break_it(claims);
  return sign_token(claims, by);
}

Status check(const std::string& jwt, int64_t now = kNow, const Ed25519Key& trusted = kOrganisation) {
  const auto token = parse_token(jwt);
  if (!token) return std::unexpected(token.error());
  return check_token(jwt, *token, {text_of(ed25519_public_key(trusted))}, now * 1'000'000'000);
}

TEST(ChoriaToken, AChainFromTheOrganisationIsFollowed) {
  EXPECT_TRUE(check(chain_token())) << check(chain_token()).error().detail;
  // The organisation's key is the root, whoever stands between.
  EXPECT_EQ(check(chain_token(), kNow, kStranger).error().detail, "the token's issuer is not empowered by a trusted organisation");
  EXPECT_FALSE(check(chain_token(), kNow, kIssuer));
}

TEST(ChoriaToken, EachLinkOfAChainIsHeldAgainstTheOthers) {
  const std::vector<std::pair<std::function<void(Json&)>, std::string>> cases = {
      {[](Json& c) { c.erase("issexp"); }, "does not say when its issuer expires"},
      {[](Json& c) { c["issexp"] = kNow; }, "issuer has expired"},
      {[](Json& c) { c.erase("iat"); }, "no times of issue"},
      {[](Json& c) { c.erase("exp"); }, "no times of issue"},
      {[](Json& c) { c["exp"] = kNow; }, "the token has expired"},
      {[](Json& c) { c["nbf"] = kNow + 1; }, "not valid yet"},
      {[](Json& c) { c["iat"] = kIssued + 1; }, "not made of its time"},
      {[](Json& c) { c["jti"] = "zzzzzzzzzzzzzzzzzzzzzzzzzzz"; }, "not made of its time"},
      {[](Json& c) { c["jti"] = "short"; }, "not made of its time"},
      {[](Json& c) { c["tcs"] = "00"; }, "chain of signatures is damaged"},
      {[](Json& c) { c["tcs"] = "xx.yy"; }, "chain of signatures is damaged"},
      {[](Json& c) { c["tcs"] = std::string(128, '0') + "." + std::string(128, '0'); }, "not empowered"},
      {[](Json& c) { c["tcs"] = c["tcs"].get<std::string>().substr(0, 129) + std::string(128, '0'); }, "did not make its id"},
      {[](Json& c) { c["iss"] = "C-" + std::string(kIssuerId); }, "no usable issuer"},
      {[](Json& c) { c["iss"] = "C-." + public_hex(kIssuer); }, "no usable issuer"},
      {[](Json& c) { c["iss"] = "C-other." + public_hex(kIssuer); }, "not empowered"},
      {[](Json& c) { c["iss"] = "C-" + std::string(kIssuerId) + "." + public_hex(kStranger); }, "not empowered"},
  };
  for (const auto& [break_it, why] : cases) {
    const Status got = check(chain_token(break_it));
    ASSERT_FALSE(got) << why;
    EXPECT_NE(got.error().detail.find(why), std::string::npos) << got.error().detail << ", expected: " << why;
  }
  EXPECT_NE(check(chain_token(nullptr, kStranger)).error().detail.find("not by the issuer it names"), std::string::npos);
}

// ---- the adapter

class VouchedRegistration : public testing::Test {
 protected:
  void start(SignatureRule rule) {
    ChoriaRegistrationOptions options;
    options.signatures = rule;
    options.trusted_issuers = {public_hex(kOrganisation)};
    options.ca_file = "ca.pem";
    const std::string ca = read_file(kFolder + "own-ca/ca.pem");
    auto file = sim_.env().disk.open("ca.pem", OpenMode::kCreate);
    ASSERT_TRUE(file && (*file)->write_at(0, std::as_bytes(std::span(ca))));
    sim_.clock().set_wall(kNow * 1'000'000'000);
    auto made = make_choria_registration(sim_.env(), *link_, target_, options);
    ASSERT_TRUE(made) << made.error().detail;
    adapter_ = std::move(*made);
    adapter_->start([](const Status& s) { EXPECT_TRUE(s); });
    sim_.run_until_idle();
  }
  /// @return what became of it: the header's value, or "rejected: <reason>".
  std::string send(const std::string& payload) {
    const size_t stored = target_.stored.size(), dead = target_.dead.size();
    bus_.publish({"mcollective.broadcast.agent.registration", "", "", payload});
    sim_.run_until_idle();
    EXPECT_EQ(target_.stored.size() + target_.dead.size(), stored + dead + 1);
    if (target_.dead.size() != dead) return "rejected: " + std::string(find_header(target_.dead.back().headers, "Sluice-Reason").value_or(""));
    return std::string(find_header(target_.stored.back().headers, "Sluice-Verified").value_or("no header"));
  }
  std::string v2(const std::string& token, const std::string& sender, const Ed25519Key& by = kNode, const std::string& signer = "") {
    const std::string request = Json{{"protocol", "io.choria.protocol.v2.request"}, {"message", base64_encode("m")}, {"id", std::to_string(++requests_)}, {"sender", sender},
                                     {"caller", sender}, {"collective", "c"}, {"agent", "registration"}, {"ttl", 60}, {"time", kNow * 1'000'000'000}}
                                    .dump();
    Json secure{{"protocol", "io.choria.protocol.v2.secure_request"}, {"request", base64_encode(request)},
                {"signature", base64_encode(text_of(sign_ed25519(by, request)))}, {"caller", token}};
    if (!signer.empty()) secure["signer"] = signer;
    return Json{{"protocol", "io.choria.protocol.v2.transport"}, {"data", base64_encode(secure.dump())}, {"headers", Json::object()}}.dump();
  }
  sim::SimEnv sim_{5};
  FakeBus bus_;
  std::unique_ptr<NatsLink> link_ = make_bus_link(sim_.env(), bus_);
  FakeStreamClient target_{sim_.env(), bus_};
  std::unique_ptr<Adapter> adapter_;
  int requests_ = 0;
};

const Json kDirect{{"identity", "n1.example.net"}, {"purpose", "choria_server"}, {"public_key", public_hex(kNode)}, {"iss", "I-" + public_hex(kOrganisation)}, {"exp", kNow + 9}};

TEST_F(VouchedRegistration, TheOutcomeStandsInAHeader) {
  start(SignatureRule::kMark);
  EXPECT_EQ(send(v2(chain_token(), "n1.example.net")), "yes");
  EXPECT_EQ(send(v2(sign_token(kDirect, kOrganisation), "n1.example.net")), "yes");
  EXPECT_EQ(send(v2(chain_token(), "n2.example.net")), "no: the signature is another's than the sender's");
  EXPECT_EQ(send(v2(sign_token(kDirect, kStranger), "n1.example.net")), "no: the token is not by a trusted issuer");
  EXPECT_EQ(send(v2(chain_token(), "n1.example.net", kNode, chain_token())), "no: only clients sign, and are signed for");
  // A signature that does not match its key is refused in any case.
  EXPECT_EQ(send(v2(chain_token(), "n1.example.net", kStranger)), "rejected: bad_signature");
  EXPECT_EQ(send(read_file(kFolder + "own-ca/registration.json")), "yes");
  EXPECT_EQ(send(read_file(kFolder + "own-ca/registration-of-another.json")), "no: the signature is another's than the sender's");
  EXPECT_EQ(send(read_file(kFolder + "own-ca/registration-expired.json")), "no: the certificate is not trusted: certificate has expired");
  EXPECT_TRUE(send(read_file(kFolder + "registration-v1-file-plain.json")).starts_with("no: the certificate is not trusted: unable to get local issuer"));
  EXPECT_EQ(send(read_file(kFolder + "registration-v2-file-plain.json")), "no: the token is not by a trusted issuer");
  EXPECT_EQ(send(read_file(kFolder + "registration-v1-nocert-file.json")), "unsigned");
}

Json client(const std::string& name, const Ed25519Key& key, std::vector<std::string> permissions) {
  Json claims{{"callerid", name}, {"purpose", "choria_client_id"}, {"public_key", public_hex(key)}, {"iss", "I-" + public_hex(kOrganisation)}, {"exp", kNow + 9}};
  for (const std::string& one : permissions) claims["permissions"][one] = true;
  return claims;
}

/// Who may sign for others, and whom it may sign for; Choria's own rules.
TEST_F(VouchedRegistration, ADelegatorSignsForACaller) {
  start(SignatureRule::kMark);
  const auto delegated = [&](const Json& caller, const Json& signer, const Ed25519Key& callers = kOrganisation, const Ed25519Key& signers = kOrganisation) {
    return send(v2(sign_token(caller, callers), "up=bob", kIssuer, sign_token(signer, signers)));
  };
  const Json bob = client("up=bob", kNode, {"signed_fleet_management"}), aaa = client("aaa", kIssuer, {"authentication_delegator"});
  EXPECT_EQ(delegated(bob, aaa), "yes: signed by aaa");
  EXPECT_EQ(delegated(client("up=bob", kNode, {"fleet_management"}), aaa), "yes: signed by aaa");
  EXPECT_EQ(delegated(client("up=bob", kNode, {}), aaa), "no: the caller's token has no fleet management");
  EXPECT_EQ(delegated(bob, client("aaa", kIssuer, {"fleet_management"})), "no: the signer may not sign for others");
  EXPECT_EQ(delegated(client("up=eve", kNode, {"fleet_management"}), aaa), "no: the caller's token is another's than the request's caller");
  EXPECT_EQ(delegated(bob, aaa, kStranger), "no: the caller has no token of the signer's organisation: the token is not by a trusted issuer");
  EXPECT_EQ(delegated(bob, aaa, kOrganisation, kStranger), "no: the signer: the token is not by a trusted issuer");
  EXPECT_EQ(delegated(kDirect, aaa), "no: only clients sign, and are signed for");
  Json expired = bob;
  expired["exp"] = kNow;
  EXPECT_EQ(delegated(expired, aaa), "no: the caller has no token of the signer's organisation: the token has expired");
  // The signature is the signer's, never the caller's.
  EXPECT_EQ(send(v2(sign_token(bob, kOrganisation), "up=bob", kNode, sign_token(aaa, kOrganisation))), "rejected: bad_signature");
}

TEST_F(VouchedRegistration, AClientNeedsTheRightToSignForItself) {
  start(SignatureRule::kMark);
  const auto own = [&](const Json& claims) { return send(v2(sign_token(claims, kOrganisation), "up=bob")); };
  EXPECT_EQ(own(client("up=bob", kNode, {"fleet_management"})), "yes");
  EXPECT_EQ(own(client("up=bob", kNode, {})), "no: the client's token has no fleet management");
  EXPECT_EQ(own(client("up=bob", kNode, {"fleet_management", "signed_fleet_management"})), "no: the client may only send what another signs for it");
  Json other = client("up=bob", kNode, {"fleet_management"});
  other["purpose"] = "choria_provisioning";
  EXPECT_EQ(own(other), "no: the token is neither a server's nor a client's");
}

TEST_F(VouchedRegistration, WhatIsNotProvenIsRefusedOnRequest) {
  start(SignatureRule::kRequire);
  EXPECT_EQ(send(v2(chain_token(), "n1.example.net")), "yes");
  EXPECT_EQ(send(v2(chain_token(), "n2.example.net")), "rejected: not_proven");
  EXPECT_EQ(send(read_file(kFolder + "own-ca/registration.json")), "yes");
  EXPECT_EQ(send(read_file(kFolder + "registration-v1-file-plain.json")), "rejected: not_proven");
  EXPECT_EQ(send(read_file(kFolder + "registration-v1-nocert-file.json")), "rejected: unsigned");
  EXPECT_EQ(adapter_->figures().rejected.at("not_proven"), 2U);
}

TEST_F(VouchedRegistration, ACredentialThatExpiresCountsNoLonger) {
  start(SignatureRule::kMark);
  EXPECT_EQ(send(v2(chain_token(), "n1.example.net")), "yes");
  sim_.advance(2h);
  EXPECT_EQ(send(v2(chain_token(), "n1.example.net")), "no: the token has expired");
}

TEST_F(VouchedRegistration, NobodyAsksByDefault) {
  start(SignatureRule::kMatch);
  EXPECT_EQ(send(read_file(kFolder + "registration-v1-file-plain.json")), "no header");
}

TEST_F(VouchedRegistration, SettingsThatProveNothingAreRefused) {
  ChoriaRegistrationOptions options;
  options.signatures = SignatureRule::kRequire;
  EXPECT_FALSE(make_choria_registration(sim_.env(), *link_, target_, options));
  options.ca_file = "missing.pem";
  EXPECT_FALSE(make_choria_registration(sim_.env(), *link_, target_, options));
  options.ca_file.clear();
  options.trusted_issuers = {public_hex(kOrganisation)};
  EXPECT_TRUE(make_choria_registration(sim_.env(), *link_, target_, options));
  options.requests = false;
  EXPECT_FALSE(make_choria_registration(sim_.env(), *link_, target_, options));
}

// ---- gzip'd content

std::string data_of(const std::string& file, size_t unpack_bytes) {
  const auto got = unwrap_envelope(read_file(kFolder + file), {.unpack_bytes = unpack_bytes});
  EXPECT_TRUE(got) << file;
  return got ? Json::parse(got->record)["data"].get<std::string>() : "";
}

TEST(Unpack, GzippedContentIsStoredAsIfItHadComePlain) {
  for (const std::string kind : {"v1-file", "v2-file"}) {
    const Json packed = Json::parse(data_of("registration-" + kind + "-gzip.json", 0));
    const std::string text = data_of("registration-" + kind + "-gzip.json", 768 * 1024);
    const Json unpacked = Json::parse(text), plain = Json::parse(data_of("registration-" + kind + "-plain.json", 768 * 1024));
    EXPECT_TRUE(packed.contains("zcontent") && !unpacked.contains("zcontent"));
    EXPECT_EQ(unpacked["content"], plain["content"]) << kind;
    EXPECT_EQ(unpacked["file"], packed["file"]);
    EXPECT_EQ(unpacked.size(), packed.size());
  }
  const Json inventory = Json::parse(data_of("registration-v1-inventory-gzip.json", 768 * 1024));
  EXPECT_TRUE(inventory["content"].is_object() && inventory["content"].contains("agents")) << inventory.dump();
}

TEST(Unpack, WhatIsTooLargeOrDamagedStays) {
  EXPECT_TRUE(Json::parse(data_of("registration-v1-file-gzip.json", 10)).contains("zcontent"));
  EXPECT_FALSE(unpack_registration(R"({"protocol":"choria:registration:filecontent:1","zcontent":"bm8gZ3ppcA=="})", 1000));
  EXPECT_FALSE(unpack_registration(R"({"protocol":"choria:registration:filecontent:1","zcontent":"!"})", 1000));
  EXPECT_FALSE(unpack_registration(R"({"protocol":"another","zcontent":"bm8gZ3ppcA=="})", 1000));
  EXPECT_FALSE(unpack_registration(R"({"zcontent":)", 1000));
}

}  // namespace
}  // namespace sluice
