// The configuration: strictness, defaults, texts, order of fields.
#include "stream/stream_config.h"

#include <gtest/gtest.h>

#include "stream/stream_meta.h"

namespace sluice {
namespace {

std::string why_not(std::string_view json) {
  const auto config = parse_stream_config(json);
  return config ? "accepted"
                : std::to_string(config.error().api_code) + " " + config.error().detail;
}

TEST(StreamConfig, FillsInDefaults) {
  const auto c = parse_stream_config(R"({"name":"S"})");
  ASSERT_TRUE(c);
  EXPECT_EQ(stream_config_json(*c, nullptr),
            R"({"name":"S","subjects":["S"],"retention":"limits","max_consumers":-1,"max_msgs":-1,)"
            R"("max_bytes":-1,"max_age":0,"max_msgs_per_subject":-1,"max_msg_size":-1,)"
            R"("discard":"old","storage":"file","num_replicas":1,"duplicate_window":120000000000,)"
            R"("compression":"none","allow_direct":false,"mirror_direct":false,"sealed":false,)"
            R"("deny_delete":false,"deny_purge":false,"allow_rollup_hdrs":false,)"
            R"("consumer_limits":{},"allow_msg_ttl":false,"metadata":{"_nats.req.level":"0"}})");
}

TEST(StreamConfig, RoundTripsThroughItsMeta) {
  const auto c = parse_stream_config(
      R"({"name":"S","description":"d","subjects":["a.>","b"],"retention":"interest","max_consumers":3,
          "max_msgs":4,"max_bytes":5,"max_age":6000000000,"max_msgs_per_subject":7,"max_msg_size":8,
          "discard":"new","storage":"memory","no_ack":true,"duplicate_window":1000000000,"first_seq":9,
          "allow_direct":true,"discard_new_per_subject":true,"deny_delete":true,
          "allow_rollup_hdrs":true,"allow_msg_ttl":true,"compression":"s2",
          "placement":{"cluster":"C","tags":["a","b"]},"consumer_limits":{"inactive_threshold":5,"max_ack_pending":6},
          "metadata":{"k":"v","_nats.ver":"9"}})");
  ASSERT_TRUE(c) << c.error().detail;
  EXPECT_EQ(c->metadata.size(), 1U);
  EXPECT_TRUE(c->allow_msg_ttl);
  const auto meta = parse_stream_meta(stream_meta_json(*c, 1'700'000'000'123'456'789));
  ASSERT_TRUE(meta) << meta.error().detail;
  EXPECT_EQ(meta->config, *c);
  EXPECT_EQ(meta->created, 1'700'000'000'123'456'789);
}

TEST(StreamConfig, ShowsServerMetadata) {
  const auto c = parse_stream_config(R"({"name":"S"})");
  const ServerMetadata server{"2.10.0", 0};
  EXPECT_NE(stream_config_json(*c, &server)
                .find(R"("metadata":{"_nats.level":"0","_nats.req.level":"0","_nats.ver":"2.10.0"})"),
            std::string::npos);
  const auto with_ttl = parse_stream_config(R"({"name":"S","allow_msg_ttl":true})");
  EXPECT_NE(stream_config_json(*with_ttl, nullptr)
                .find(R"("allow_msg_ttl":true,"metadata":{"_nats.req.level":"1"})"),
            std::string::npos);
}

TEST(StreamConfig, IsStrict) {
  EXPECT_EQ(why_not(R"({"name":"S","foo":1})"), "10025 json: unknown field \"foo\"");
  EXPECT_EQ(why_not(R"({"name":"S","consumer_limits":{"x":1}})"),
            "10025 json: unknown field \"x\"");
  EXPECT_EQ(why_not(R"({"name":1})").substr(0, 5), "10025");
  EXPECT_EQ(why_not(R"({"name":"S")").substr(0, 5), "10025");
  EXPECT_EQ(why_not("").substr(0, 5), "10025");
  EXPECT_EQ(why_not(R"({"name":"S","retention":"zzz"})"),
            "10025 can not unmarshal \"\\\"zzz\\\"\"");
  EXPECT_EQ(why_not(R"({"name":"S","compression":"zip"})"), "10025 unknown compression algorithm");
}

TEST(StreamConfig, AcceptsWhatAsksForNothing) {
  EXPECT_EQ(why_not(
                R"({"name":"S","description":null,"consumer_limits":{},"compression":"none",
                    "allow_msg_ttl":false,"placement":null,"mirror":null,"sources":[],"republish":null,
                    "subject_transform":null,"subject_delete_marker_ttl":0,"allow_atomic":false,
                    "allow_batched":false,"allow_msg_counter":false,"allow_msg_schedules":false,
                    "persist_mode":"default","num_replicas":1,"metadata":null,"pedantic":false})"),
            "accepted");
}

TEST(StreamConfig, RefusesWhatThisVersionDoesNotDo) {
  EXPECT_EQ(why_not(R"({"name":"S","num_replicas":3})"), "10074 ");
  EXPECT_EQ(why_not(R"({"name":"S","num_replicas":6})"), "10052 maximum replicas is 5");
  EXPECT_EQ(why_not(R"({"name":"S","num_replicas":-1})"), "10133 ");
}

TEST(StreamConfig, ChecksInTheReferencesWords) {
  const std::string name_text =
      R"(10052 stream name is required and can not contain '.', '*', '>', '\', '/')";
  EXPECT_EQ(why_not("{}"), name_text);
  EXPECT_EQ(why_not(R"({"name":"a.b"})"), name_text);
  EXPECT_EQ(why_not(R"({"name":")" + std::string(256, 'n') + "\"}"),
            "10052 stream name is too long, maximum allowed is 255");
  EXPECT_EQ(why_not(R"({"name":"S","description":")" + std::string(4097, 'n') + "\"}"),
            "10052 stream description is too long, maximum allowed is 4096");
  EXPECT_EQ(why_not(R"({"name":"S","max_age":-1})"), "10052 max age can not be negative");
  EXPECT_EQ(why_not(R"({"name":"S","max_age":1})"), "10052 max age needs to be >= 100ms");
  EXPECT_EQ(why_not(R"({"name":"S","duplicate_window":-1})"),
            "10052 duplicates window can not be negative");
  EXPECT_EQ(why_not(R"({"name":"S","duplicate_window":1})"),
            "10052 duplicates window needs to be >= 100ms");
  EXPECT_EQ(why_not(R"({"name":"S","max_age":1000000000,"duplicate_window":2000000000})"),
            "10052 duplicates window can not be larger then max age");
  EXPECT_EQ(why_not(R"({"name":"S","deny_purge":true,"allow_rollup_hdrs":true})"),
            "10052 roll-ups require the purge permission");
  EXPECT_EQ(why_not(R"({"name":"S","discard_new_per_subject":true})"),
            "10052 discard new per subject requires discard new policy to be set");
  EXPECT_EQ(why_not(R"({"name":"S","discard_new_per_subject":true,"discard":"new"})"),
            "10052 discard new per subject requires max msgs per subject > 0");
  const auto limited = parse_stream_config(R"({"name":"S","duplicate_window":60000000000})",
                                           std::chrono::seconds(30));
  EXPECT_EQ(limited.error().detail,
            "duplicates window can not be larger then server limit of 30s");
}

TEST(StreamConfig, ShowsCompressionAndPlacement) {
  const auto c = parse_stream_config(
      R"({"name":"S","compression":"s2","placement":{"cluster":"C","tags":["a"]}})");
  ASSERT_TRUE(c);
  EXPECT_NE(stream_config_json(*c, nullptr)
                .find(R"("placement":{"cluster":"C","tags":["a"]},"compression":"s2",)"),
            std::string::npos);
  const auto empty = parse_stream_config(R"({"name":"S","placement":{}})");
  EXPECT_EQ(stream_config_json(*empty, nullptr).find("placement"), std::string::npos);
  EXPECT_EQ(why_not(R"({"name":"S","placement":{"preferred":"x"}})"),
            "10052 preferred server not permitted in placement");
  EXPECT_EQ(why_not(R"({"name":"S","compression":""})"), "10025 unknown compression algorithm");
}

TEST(StreamConfig, ChecksSubjects) {
  EXPECT_EQ(why_not(R"({"name":"S","subjects":["a..b"]})"), "10052 invalid subject");
  EXPECT_EQ(why_not(R"({"name":"S","subjects":["a b"]})"), "10052 invalid subject");
  EXPECT_EQ(why_not(R"({"name":"S","subjects":[">"]})"),
            "10052 capturing all subjects requires no-ack to be true");
  EXPECT_EQ(why_not(R"({"name":"S","subjects":[">"],"no_ack":true})"), "accepted");
  EXPECT_EQ(why_not(R"({"name":"S","subjects":["$JS.>"]})"),
            "10052 subjects that overlap with jetstream api require no-ack to be true");
  EXPECT_EQ(why_not(R"({"name":"S","subjects":["$JS.EVENT.>"]})"), "accepted");
  EXPECT_EQ(why_not(R"({"name":"S","subjects":["$SYS.>"]})"),
            "10052 subjects that overlap with system api require no-ack to be true");
  EXPECT_EQ(why_not(R"({"name":"S","subjects":["a.*","a.b"]})"),
            "10052 subject \"a.*\" overlaps with \"a.b\"");
}

TEST(StreamConfig, PedanticRefusesChanges) {
  EXPECT_EQ(why_not(R"({"name":"S","max_msgs":-5,"pedantic":true})"),
            "10157 max_msgs must be set to -1");
  EXPECT_EQ(why_not(R"({"name":"S","max_msgs":-5})"), "accepted");
  EXPECT_EQ(why_not(R"({"name":"S","max_age":1000000000,"pedantic":true})"),
            "10157 duplicate window cannot be bigger than max age");
}

}  // namespace
}  // namespace sluice
