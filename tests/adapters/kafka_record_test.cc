// Records into messages and back: nothing is lost on the way.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "adapters/kafka/position.h"
#include "adapters/kafka/record_form.h"
#include "base/headers.h"

namespace sluice {
namespace {

SubjectTemplate subject(std::string_view text) {
  auto made = SubjectTemplate::parse(text);
  EXPECT_TRUE(made) << text;
  return *made;
}

RecordMessage stored(const KafkaRecord& record, KafkaEvents events = KafkaEvents::kAuto, std::string_view form = "k.{topic}.{key}") {
  auto made = message_of(record, subject(form), events);
  EXPECT_TRUE(made) << (made ? "" : made.error().detail);
  return made ? *made : RecordMessage{};
}

/// Out and in again.
KafkaOutRecord round_trip(const KafkaRecord& record) {
  const RecordMessage message = stored(record);
  auto back = record_of({message.subject, message.headers, message.payload, 77'000'000}, KafkaKeySource::kSubject, KafkaEvents::kAuto);
  EXPECT_TRUE(back) << (back ? "" : back.error().detail);
  return back ? *back : KafkaOutRecord{};
}

TEST(KafkaRecord, CarriesWhereItCameFrom) {
  const RecordMessage message = stored({"orders", 3, 42, 1700000000123, true, "k-1", "body", {}});
  EXPECT_EQ(message.subject, "k.orders.k-1");
  EXPECT_EQ(message.payload, "body");
  EXPECT_EQ(find_header(message.headers, "Kafka-Topic"), "orders");
  EXPECT_EQ(find_header(message.headers, "Kafka-Partition"), "3");
  EXPECT_EQ(find_header(message.headers, "Kafka-Offset"), "42");
  EXPECT_EQ(find_header(message.headers, "Kafka-Timestamp"), "1700000000123");
  EXPECT_EQ(find_header(message.headers, "Kafka-Timestamp-Type"), "LogAppendTime");
  EXPECT_EQ(find_header(message.headers, "Kafka-Key"), "k-1");
}

TEST(KafkaRecord, WhatCantStandInATokenIsEscaped) {
  const auto of = [](std::string_view topic, KafkaBytes key) { return subject("k.{topic}.{partition}.{key}").subject({topic, 7, 0, 0, false, key, "", {}}); };
  EXPECT_EQ(of("a.b", "x.y z"), "k.a.b.7.x%2Ey%20z");
  EXPECT_EQ(of("a..b.", "*>%"), "k.a.%2Eb%2E.7.%2A%3E%25");
  EXPECT_EQ(of("t", std::nullopt), "k.t.7._");
  EXPECT_EQ(of("t", ""), "k.t.7.%");
  EXPECT_EQ(of("t", std::string_view("\xc3\xa9\0", 3)), "k.t.7.%C3%A9%00");
  EXPECT_EQ(subject("k.{topic}.x{key}.y").filter("a.b"), "k.a.b.*.y");
}

TEST(KafkaRecord, BadSubjectTemplatesAreRefused) {
  for (const char* text : {"", "a..{key}", ".a", "a.", "a.{what}", "a.{key", "a}", "a b", "a.*", "a.>", "$SYS.{key}"})
    EXPECT_FALSE(SubjectTemplate::parse(text)) << text;
}

TEST(KafkaRecord, TombstonesNullKeysAndEmptyOnesStayApart) {
  const KafkaOutRecord tombstone = round_trip({"t", 0, 1, 5, false, "k", std::nullopt, {}});
  EXPECT_FALSE(tombstone.value);
  EXPECT_EQ(tombstone.key, "k");
  const KafkaOutRecord empty = round_trip({"t", 0, 1, 5, false, "", "", {}});
  EXPECT_EQ(empty.value, "");
  EXPECT_EQ(empty.key, "");
  const KafkaOutRecord no_key = round_trip({"t", 0, 1, 5, false, std::nullopt, "v", {}});
  EXPECT_FALSE(no_key.key) << "it came from Kafka without one";
  EXPECT_EQ(no_key.timestamp_ms, 5);
}

TEST(KafkaRecord, HeadersComeBackAsTheyWere) {
  const std::string binary("\0\r\n\xff", 4);
  const std::vector<KafkaHeader> headers = {
      {"trace", "1"}, {"many", "a"}, {"many", ""}, {"many", "b"}, {"null", std::nullopt}, {"odd", " blank "}, {"odd", "plain"},
      {"bin", binary}, {"na=me: x", "v"}, {"", "no name"}, {"Nats-Msg-Id", "mine"}, {"Kafka-Key", "not the key"}, {"ce-id", "no event"}};
  const std::vector<std::string> bytes = {"k%\x01"};
  const KafkaOutRecord back = round_trip({"t", 0, 1, 5, false, bytes[0], "v", headers});
  EXPECT_EQ(back.key, bytes[0]);
  // Each name keeps its order; those that stand as they are come in theirs.
  const auto values = [&](std::string_view name) {
    std::vector<std::optional<std::string>> out;
    for (const auto& [key, value] : back.headers)
      if (key == name) out.push_back(value);
    return out;
  };
  std::map<std::string_view, std::vector<std::optional<std::string>>> wanted;
  for (const KafkaHeader& header : headers)
    wanted[header.name].push_back(header.value ? std::optional<std::string>(*header.value) : std::nullopt);
  for (const auto& [name, list] : wanted) EXPECT_EQ(values(name), list) << name;
  EXPECT_EQ(back.headers.size(), headers.size());
  const RecordMessage message = stored({"t", 0, 1, 5, false, bytes[0], "v", headers});
  EXPECT_EQ(find_header(message.headers, "trace"), "1") << "what can stand there does";
  EXPECT_FALSE(find_header(message.headers, "Nats-Msg-Id"));
}

TEST(KafkaRecord, CloudEventsChangeTheirForm) {
  const std::vector<KafkaHeader> headers = {{"ce_specversion", "1.0"}, {"ce_id", "1"}, {"ce_source", "/x"}, {"ce_type", "t"},
                                            {"ce_subject", "\xc3\xa9 %"}, {"content-type", "application/json"}, {"own", "o"}};
  const KafkaRecord record{"t", 0, 1, 5, false, "k", "{}", headers};
  const RecordMessage message = stored(record);
  EXPECT_EQ(find_header(message.headers, "ce-id"), "1");
  EXPECT_EQ(find_header(message.headers, "ce-subject"), "%C3%A9%20%25");
  EXPECT_EQ(find_header(message.headers, "ce-datacontenttype"), "application/json");
  EXPECT_EQ(find_header(message.headers, "own"), "o");
  const KafkaOutRecord back = round_trip(record);
  ASSERT_EQ(back.headers.size(), headers.size());
  for (const KafkaHeader& header : headers)
    EXPECT_TRUE(std::ranges::any_of(back.headers, [&](const auto& one) { return one.first == header.name && one.second == *header.value; })) << header.name;
  auto bad = headers;
  bad[0].value = "0.3";
  const auto refused = message_of({"t", 0, 1, 5, false, "k", "{}", bad}, subject("k"), KafkaEvents::kAuto);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "bad_version");
  EXPECT_FALSE(message_of({"t", 0, 1, 5, false, "k", "{}", {}}, subject("k"), KafkaEvents::kRequire));
  EXPECT_EQ(find_header(stored({"t", 0, 1, 5, false, "k", "{}", headers}, KafkaEvents::kOff).headers, "ce_id"), "1");
}

TEST(KafkaRecord, AMessageOfOursBecomesARecord) {
  const auto record = record_of({"s.a", "NATS/1.0\r\nNats-Msg-Id: x\r\na: 1\r\n\r\n", "v", 9'000'000}, KafkaKeySource::kSubject, KafkaEvents::kAuto);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->key, "s.a");
  EXPECT_EQ(record->timestamp_ms, 9);
  ASSERT_EQ(record->headers.size(), 1u);
  EXPECT_EQ(record->headers[0].first, "a");
  EXPECT_FALSE(record_of({"s.a", "", "v", 0}, KafkaKeySource::kNone, KafkaEvents::kAuto)->key);
  EXPECT_FALSE(record_of({"s.a", "NATS/1.0\r\nKafka-Key: %zz\r\n\r\n", "v", 0}, KafkaKeySource::kNone, KafkaEvents::kAuto));
  EXPECT_FALSE(record_of({"s.a", "NATS/1.0\r\nKafka-Timestamp: soon\r\n\r\n", "v", 0}, KafkaKeySource::kNone, KafkaEvents::kAuto));
}

TEST(KafkaRecord, PositionsAreWrittenAndRead) {
  const KafkaPositions positions{"b1", {{{"t", 0}, {7, UINT64_MAX}}, {{"t", 12}, {0, 0}}, {{"a.b", 1}, {INT64_MAX, 3}}}};
  const auto back = parse_positions(write_positions(positions));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->batch, "b1");
  ASSERT_EQ(back->partitions.size(), 3u);
  EXPECT_EQ(back->partitions.at({"t", 0}).next, 7);
  EXPECT_EQ(back->partitions.at({"t", 0}).mark, UINT64_MAX);
  EXPECT_EQ(back->partitions.at({"a.b", 1}).next, INT64_MAX);
  for (const char* text : {"", "[]", "{}", R"({"batch":1,"topics":{}})", R"({"batch":"b","topics":{"t":{"x":[1,"2"]}}})",
                           R"({"batch":"b","topics":{"t":{"0":[-1,"2"]}}})", R"({"batch":"b","topics":{"t":[]}})"})
    EXPECT_FALSE(parse_positions(text)) << text;
}

}  // namespace
}  // namespace sluice
