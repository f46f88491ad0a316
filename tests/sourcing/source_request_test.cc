// The bytes that go to an origin, and what its answers mean. The bodies are those that nats-server 2.15.2
// sends.
#include "sourcing/source_request.h"

#include <gtest/gtest.h>

#include "stream/source_positions.h"

namespace sluice {
namespace {

const CopyTarget kMirror{.kind = CopyKind::kMirror, .stream = "MX", .account = "$G", .domain = "",
                         .consumer_name = "JS_MIRROR_abcdefgh"};
const CopyTarget kSource{.kind = CopyKind::kSource, .stream = "SX", .account = "$G", .domain = "hub",
                         .consumer_name = "JS_SRC_abcdefgh"};

StreamSource origin(std::string name) {
  StreamSource out;
  out.name = std::move(name);
  return out;
}

TEST(SourceRequest, MirrorAsksForAllFromTheStart) {
  const OriginRequest r = create_request(kMirror, origin("ORI"), "$JS.API", "$JS.M.12345678", {}, "",
                                         OriginLevel::kIdentity);
  EXPECT_EQ(r.subject, "$JS.API.CONSUMER.CREATE.ORI");
  EXPECT_EQ(r.headers, "NATS/1.0\r\nNats-Required-Api-Level: 4\r\n\r\n");
  EXPECT_EQ(r.body,
            R"({"stream_name":"ORI","config":{"name":"JS_MIRROR_abcdefgh","deliver_policy":"all",)"
            R"("ack_policy":"none","ack_wait":79200000000000,"max_deliver":1,"replay_policy":"instant",)"
            R"("flow_control":true,"deliver_subject":"$JS.M.12345678","idle_heartbeat":1000000000,)"
            R"("inactive_threshold":10000000000,"num_replicas":0,"direct":true,"sourcing":true,)"
            R"("metadata":{"_nats.mirror.acc":"$G","_nats.mirror.stream":"MX"}},"action":""})");
}

TEST(SourceRequest, SourceNamesItsFilterAndTheIdentity) {
  StreamSource source = origin("ORI");
  source.filter_subject = "a.>";
  const OriginRequest r = create_request(kSource, source, "$JS.hub.API", "d.S.1", {.seq = 7, .time = {}},
                                         "identity", OriginLevel::kIdentity);
  EXPECT_EQ(r.subject, "$JS.hub.API.CONSUMER.CREATE.ORI.JS_SRC_abcdefgh.a.>");
  EXPECT_EQ(r.headers,
            "NATS/1.0\r\nNats-Required-Api-Level: 5\r\nNats-Stream-Identity: identity\r\n\r\n");
  EXPECT_NE(r.body.find(R"("deliver_policy":"by_start_sequence","opt_start_seq":7,)"), std::string::npos);
  EXPECT_NE(r.body.find(R"("filter_subject":"a.>")"), std::string::npos);
  EXPECT_NE(r.body.find(R"("_nats.src.domain":"hub")"), std::string::npos);
}

TEST(SourceRequest, StepsDownForOlderOrigins) {
  const auto headers = [](OriginLevel level) {
    return create_request(kSource, origin("O"), "$JS.API", "d", {}, "", level).headers;
  };
  EXPECT_EQ(headers(OriginLevel::kSourcing), "NATS/1.0\r\nNats-Required-Api-Level: 4\r\n\r\n");
  EXPECT_EQ(headers(OriginLevel::kPlain), "");
  EXPECT_EQ(create_request(kSource, origin("O"), "$JS.API", "d", {}, "", OriginLevel::kPlain).body.find("sourcing"),
            std::string::npos);
}

TEST(SourceRequest, SeveralTransformsAreSeveralFilters) {
  StreamSource source = origin("O");
  source.subject_transforms = {{"b.*", ""}, {"d.*", "x.$1"}};
  const OriginRequest r = create_request(kSource, source, "$JS.API", "d", {}, "", OriginLevel::kIdentity);
  EXPECT_EQ(r.subject, "$JS.API.CONSUMER.CREATE.O");
  EXPECT_NE(r.body.find(R"("filter_subjects":["b.*","d.*"])"), std::string::npos);
  EXPECT_EQ(source_header(source, 1, "b.q", "3Bkyt8jk"), "O 1 b.*\fd.* >\fx.$1 b.q 3Bkyt8jk");
  EXPECT_EQ(source_key(source), "O b.*\fd.* >\fx.$1");
}

TEST(SourceRequest, HeaderCarriesTheHashOfTheApi) {
  StreamSource source = origin("O");
  source.external = ExternalStream{.api = "$JS.hub.API", .deliver = ""};
  EXPECT_EQ(source_label(source).size(), std::string("O:12345678").size());
  const std::string header = source_header(source, 9, "s", "");
  const auto read = parse_source_header(header);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->key, source_key(source));
  EXPECT_EQ(read->seq, 9u);
}

TEST(SourceRequest, AnswersAreRead) {
  const auto ok = parse_origin_answer(
      "NATS/1.0\r\nNats-Stream-Identity: abc\r\n\r\n",
      R"({"type":"t","stream_name":"O","name":"c-1","config":{"deliver_subject":"d","ack_policy":"none"},"num_pending":5})");
  ASSERT_TRUE(ok);
  EXPECT_EQ(ok->consumer, "c-1");
  EXPECT_EQ(ok->identity, "abc");
  EXPECT_EQ(ok->num_pending, 5u);
  const auto refused =
      parse_origin_answer("", R"({"error":{"code":404,"err_code":10059,"description":"stream not found"}})");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().api_code, 10059);
  EXPECT_EQ(refused.error().detail, "stream not found");
  EXPECT_EQ(parse_origin_answer("NATS/1.0 503\r\n\r\n", "").error().code, Errc::kNoResponders);
  EXPECT_EQ(parse_origin_answer("", "[1]").error().code, Errc::kCorrupt);
  EXPECT_EQ(parse_origin_answer("", "{}").error().code, Errc::kCorrupt);
  EXPECT_EQ(parse_origin_answer("", "").error().code, Errc::kCorrupt);
}

}  // namespace
}  // namespace sluice
