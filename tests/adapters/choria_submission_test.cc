// The submission adapter on recorded messages and on tokens of our own.
#include "adapters/choria_submission/adapter.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "adapters/choria_identity/token.h"
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
using Mode = FakeStreamClient::Mode;

Json recorded() {
  std::ifstream file(SLUICE_FIXTURES "/choria/submission/index.json");
  return Json::parse(file);
}

std::string base64url(std::string_view bytes) {
  std::string text = base64_encode(bytes);
  for (char& c : text) c = c == '+' ? '-' : c == '/' ? '_' : c;
  while (text.ends_with('=')) text.pop_back();
  return text;
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

/// An organisation and one node of it.
struct Organisation {
  Ed25519Key seed{1};
  Ed25519Key node_seed{2};
  std::string public_key() const { return text_of(ed25519_public_key(seed)); }
  std::string token(std::string_view identity, int64_t expires, std::string issuer) const {
    const std::string part = base64url(R"({"alg":"EdDSA","typ":"JWT"})") + "." +
                             base64url(Json{{"identity", identity},
                                            {"public_key", hex(text_of(ed25519_public_key(node_seed)))},
                                            {"iss", issuer},
                                            {"exp", expires}}
                                           .dump());
    return part + "." + base64url(text_of(sign_ed25519(seed, part)));
  }
  std::string signature(std::string_view payload) const { return hex(text_of(sign_ed25519(node_seed, payload))); }
};

class SubmissionTest : public testing::Test {
 protected:
  void start(SubmissionCheck check = SubmissionCheck::kOff) {
    ChoriaSubmissionOptions options;
    options.check = check;
    if (check != SubmissionCheck::kOff) options.trusted_issuers = {hex(org_.public_key())};
    auto made = make_choria_submission(sim_.env(), *link_, target_, options);
    ASSERT_TRUE(made) << made.error().detail;
    adapter_ = std::move(*made);
    adapter_->start([](Status s) { EXPECT_TRUE(s); });
    sim_.run_until_idle();
    answers_ = link_->subscribe("answer", "", [this](const LinkMessage& m) { told_.emplace_back(m.payload); });
  }
  void submit(std::string_view headers, std::string_view payload, std::string_view subject = "mcollective.submission.in.a.b") {
    bus_.publish({subject, "answer", headers, payload});
    sim_.run_until_idle();
  }
  std::string signed_headers(std::string_view payload, const std::string& token, std::string_view identity = "n1") {
    std::string block;
    append_header(block, "Choria-Identity", identity);
    append_header(block, "Choria-Signature", org_.signature(payload));
    append_header(block, "Choria-Token", token);
    append_header(block, "Nats-Msg-Id", "id" + std::to_string(++ids_));
    return block;
  }

  sim::SimEnv sim_{3};
  FakeBus bus_;
  FakeStreamClient target_{sim_.env(), bus_};
  std::unique_ptr<NatsLink> link_ = make_bus_link(sim_.env(), bus_);
  std::unique_ptr<Adapter> adapter_;
  std::unique_ptr<LinkSubscription> answers_;
  std::vector<std::string> told_;
  Organisation org_;
  int ids_ = 0;
};

TEST_F(SubmissionTest, StoresEveryRecordedMessageWithItsHeadersOnce) {
  start();
  size_t distinct = 0;
  std::set<std::string> ids;
  const Json index = recorded();
  for (const Json& one : index["published"]) {
    const auto headers = one["headers"].get<std::string>();
    const auto payload = one["data"].is_string() ? one["data"].get<std::string>()
                                                 : *base64_decode(one["data_b64"].get<std::string>());
    const std::string id(*find_header(headers, "Nats-Msg-Id"));
    const size_t before = target_.stored.size();
    submit(headers, payload, one["subject"].get<std::string>());
    if (!ids.insert(id).second) {
      EXPECT_EQ(target_.stored.size(), before) << "stored twice: " << id;
      continue;
    }
    ++distinct;
    ASSERT_EQ(target_.stored.size(), distinct) << one.dump();
    const auto& stored = target_.stored.back();
    EXPECT_EQ(stored.payload, payload);
    EXPECT_EQ(stored.subject, "choria.submission" + one["subject"].get<std::string>().substr(25));
    each_header(headers, [&](std::string_view name, std::string_view value) {
      EXPECT_EQ(find_header(stored.headers, name), value) << name;
    });
  }
  EXPECT_GE(distinct, 5u);
  EXPECT_EQ(adapter_->figures().rejected.size(), 0u);
}

TEST_F(SubmissionTest, AnswersAsAStreamWouldWhenDurable) {
  start();
  target_.mode = Mode::kHold;
  submit("NATS/1.0\r\nNats-Msg-Id: 1\r\n\r\n", "p");
  EXPECT_TRUE(told_.empty());
  target_.mode = Mode::kAck;
  target_.answer_later();
  sim_.run_until_idle();
  submit("NATS/1.0\r\nNats-Msg-Id: 1\r\n\r\n", "p");
  EXPECT_EQ(told_, (std::vector<std::string>{R"({"stream":"S","seq":1})", R"({"stream":"S","seq":2,"duplicate": true})"}));
}

TEST_F(SubmissionTest, ARefusalIsAnsweredAndKept) {
  start();
  target_.mode = Mode::kTooLarge;
  submit("NATS/1.0\r\nNats-Msg-Id: 1\r\n\r\n", "p");
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_EQ(Json::parse(told_[0])["error"]["err_code"], 10054);
  EXPECT_EQ(target_.dead.size(), 1u);
}

TEST_F(SubmissionTest, ARejectionIsAnsweredWhenItsLetterIsKeptAndKeptOnce) {
  start(SubmissionCheck::kRequire);
  target_.mode = Mode::kHold;
  submit("NATS/1.0\r\nNats-Msg-Id: 1\r\n\r\n", "p");
  EXPECT_TRUE(told_.empty());
  target_.mode = Mode::kAck;
  target_.answer_later();
  sim_.run_until_idle();
  ASSERT_EQ(told_.size(), 1u);
  const Json error = Json::parse(told_[0])["error"];
  EXPECT_EQ(error["code"], 400);
  EXPECT_EQ(error["description"], "unsigned: there is no signature; kept in SLUICE_DLQ");
  submit("NATS/1.0\r\nNats-Msg-Id: 1\r\n\r\n", "p");  // the node tries again
  EXPECT_EQ(told_.size(), 2u);
  EXPECT_EQ(target_.dead.size(), 1u);
  EXPECT_EQ(adapter_->figures().rejected.at("unsigned"), 2u);
  submit("NATS/1.0\r\nNats-Msg-Id: 2\r\n\r\n", "p");
  submit("", "p");
  submit("", "p");
  EXPECT_EQ(target_.dead.size(), 4u) << "without an id each is a letter";
}

TEST_F(SubmissionTest, CommandsToAStreamAndForgedVerdictsAreTakenOff) {
  start();
  submit("NATS/1.0\r\nNats-Msg-Id: 1\r\nNats-Rollup: all\r\nNats-Expected-Last-Sequence: 7\r\nSluice-Verified: yes\r\nA: b\r\n\r\n", "p");
  ASSERT_EQ(target_.stored.size(), 1u);
  EXPECT_EQ(target_.stored[0].headers, "NATS/1.0\r\nA: b\r\nNats-Msg-Id: 1\r\n\r\n");
}

TEST_F(SubmissionTest, RequireTakesOnlyWhatIsProven) {
  start(SubmissionCheck::kRequire);
  const int64_t now = sim_.clock().wall() / 1'000'000'000;
  const std::string good = org_.token("n1", now + 60, "Choria Tokens Package");
  submit(signed_headers("p", good), "p");
  EXPECT_EQ(target_.stored.size(), 1u);
  EXPECT_EQ(find_header(target_.stored[0].headers, "Sluice-Verified"), "yes");
  submit(signed_headers("p", good), "changed");
  submit(signed_headers("p", good, "n2"), "p");
  submit(signed_headers("p", org_.token("n1", now - 1, "x")), "p");
  submit(signed_headers("p", org_.token("n1", now + 60, "C-1.ab")), "p");
  std::string forged = good;
  forged[forged.find('.') + 3] ^= 1;
  submit(signed_headers("p", forged), "p");
  Organisation other;
  other.seed = {9};
  submit(signed_headers("p", other.token("n1", now + 60, "x")), "p");
  submit("NATS/1.0\r\nNats-Msg-Id: u\r\n\r\n", "p");
  EXPECT_EQ(target_.stored.size(), 1u);
  EXPECT_EQ(target_.dead.size(), 7u);
  EXPECT_EQ(adapter_->figures().rejected.at("bad_signature"), 6u);
  EXPECT_EQ(adapter_->figures().rejected.at("unsigned"), 1u);
}

TEST_F(SubmissionTest, MarkSaysWhatItFound) {
  start(SubmissionCheck::kMark);
  const int64_t now = sim_.clock().wall() / 1'000'000'000;
  submit(signed_headers("p", org_.token("n1", now + 60, "x")), "p");
  submit(signed_headers("p", org_.token("n1", now + 60, "x")), "changed");
  submit("NATS/1.0\r\nNats-Msg-Id: u\r\n\r\n", "p");
  ASSERT_EQ(target_.stored.size(), 3u);
  EXPECT_EQ(find_header(target_.stored[0].headers, "Sluice-Verified"), "yes");
  EXPECT_EQ(find_header(target_.stored[1].headers, "Sluice-Verified"), "no: the signature does not match");
  EXPECT_EQ(find_header(target_.stored[2].headers, "Sluice-Verified"), "unsigned");
}

TEST(ChoriaToken, TheRecordedSignatureIsOverThePayload) {
  const Json index = recorded();
  for (const Json& one : index["published"]) {
    const auto headers = one["headers"].get<std::string>();
    const auto signature = find_header(headers, "Choria-Signature");
    if (!signature) continue;
    const auto token = parse_token(*find_header(headers, "Choria-Token"));
    ASSERT_TRUE(token);
    EXPECT_EQ(token->identity, "node2.example.net");
    EXPECT_EQ(token->expires_seconds, 1826703785);
    EXPECT_TRUE(verify_ed25519(token->public_key, one["data"].get<std::string>(), *decode_hex(*signature)));
    return;
  }
  FAIL() << "no signed message in the recording";
}

TEST(ChoriaToken, GarbageIsNoToken) {
  for (const std::string text : {"", ".", "..", "a.b", "a.b.c", "a.e30.c", "a.e30.c.d", "a.bnVsbA.c"})
    EXPECT_FALSE(parse_token(text)) << text;
  EXPECT_FALSE(parse_token(std::string(20'000, 'a')));
}

}  // namespace
}  // namespace sluice
