// Requests to $SLUICE.API.STREAM.DIGEST as they stand on the wire.
#include "api/digest_service.h"

#include "proof_world.h"

namespace sluice::test {
namespace {

const std::string kKey(64, '0');

std::string body(const std::string& members) { return "{\"key\":\"" + kKey + "\"," + members + "}"; }

Json ask(ProofWorld& w, std::string_view subject, const std::string& request) {
  return Json::parse(w.world.ask(w.world.client("c"), subject, request).payload, nullptr, false);
}

TEST(DigestService, AnswersInPagesAndOnlyWhatIsAskedFor) {
  ProofWorld w;
  for (int i = 1; i <= 5; ++i) w.source(std::to_string(i));
  w.settle();
  const Json all = ask(w, "$SLUICE.API.STREAM.DIGEST.S", body(R"("first":1,"last":5,"span":5)"));
  ASSERT_EQ(all["parts"].size(), 1U) << all.dump();
  EXPECT_EQ(all["type"], "io.sluice.api.v1.stream_digest_response");
  EXPECT_EQ(all["parts"][0][1], 5);
  EXPECT_EQ(all["next"], 0);
  EXPECT_EQ(all["newest"], 5);
  const Json page = ask(w, "$SLUICE.API.STREAM.DIGEST.S", body(R"("first":2,"last":5,"max_parts":2)"));
  EXPECT_EQ(page["parts"].size(), 2U);
  EXPECT_EQ(page["next"], 4);
}

TEST(DigestService, RefusesWithTheApisWords) {
  ProofWorld w;
  const Json missing = ask(w, "$SLUICE.API.STREAM.DIGEST.NONE", body(R"("first":1,"last":5)"));
  EXPECT_EQ(missing["error"]["err_code"], 10059);
  EXPECT_EQ(missing["error"]["code"], 404);
  const Json bad = ask(w, "$SLUICE.API.STREAM.DIGEST.S", "{}");
  EXPECT_EQ(bad["error"]["err_code"], 10003);
}

TEST(DigestService, TooManyAtOnceAreRefusedAndADeletedStreamEndsItsOwn) {
  ProofWorld w;
  for (int i = 1; i <= 2000; ++i) w.source(std::to_string(i));
  w.settle();
  std::vector<std::string> answers;
  const auto inbox = w.world.node->bus().subscribe("_INBOX.many", "", [&](const Message& m, const Origin&) { answers.emplace_back(m.payload); });
  const std::string question = body(R"("first":1,"last":2000,"span":2000)");
  for (size_t i = 0; i < DigestService::kMaxUnderWay + 1; ++i)
    w.world.node->bus().publish({.subject = "$SLUICE.API.STREAM.DIGEST.S", .reply = "_INBOX.many", .headers = "", .payload = question});
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_NE(answers[0].find("10167"), std::string::npos);
  ASSERT_TRUE(w.world.node->streams().remove("S"));
  w.settle();
  ASSERT_TRUE(w.wait([&] { return answers.size() == DigestService::kMaxUnderWay + 1; }));
  EXPECT_NE(answers.back().find("10059"), std::string::npos) << answers.back();
}

}  // namespace
}  // namespace sluice::test
