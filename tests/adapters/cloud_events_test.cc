// CloudEvents 1.0.2: attributes, HTTP binding, JSON formats, NATS binding.
#include <gtest/gtest.h>

#include "adapters/cloud_events/http_binding.h"
#include "adapters/cloud_events/json_format.h"
#include "adapters/cloud_events/nats_binding.h"
#include "base/headers.h"

namespace sluice {
namespace {

const HeaderList kGood = {{"ce-specversion", "1.0"}, {"ce-id", "1"}, {"ce-source", "/s"}, {"ce-type", "t.a"}};

/// "id=1 …|data", or the reason of the fault.
std::string show(const EventResult<CloudEvent>& event) {
  if (!event) return std::string(event.error().reason);
  std::string out;
  for (const auto& [name, value] : event->attributes) out += (out.empty() ? "" : " ") + name + "=" + value;
  return out + "|" + event->data;
}

std::string binary(std::string name, std::string value, std::string body = "x") {
  HeaderList headers = kGood;
  headers.emplace_back(std::move(name), std::move(value));
  return show(read_binary_event(headers, std::move(body)));
}

std::string json(const std::string& members) {
  return show(read_json_event(R"({"specversion":"1.0","id":"1","source":"/s","type":"t")" + members + "}"));
}

TEST(CloudEventsHttp, BinaryMode) {
  EXPECT_EQ(show(read_binary_event(kGood, "x")), "specversion=1.0 id=1 source=/s type=t.a|x");
  EXPECT_EQ(binary("content-type", "text/plain; charset=utf-8"),
            "specversion=1.0 id=1 source=/s type=t.a datacontenttype=text/plain; charset=utf-8|x");
  EXPECT_EQ(binary("ce-comexampleextension1", "v"),
            "specversion=1.0 id=1 source=/s type=t.a comexampleextension1=v|x");
  EXPECT_EQ(binary("x-other", "%zz"), "specversion=1.0 id=1 source=/s type=t.a|x");
}

TEST(CloudEventsHttp, WhatIsRequiredAndHowItLooks) {
  for (size_t left_out = 0; left_out < kGood.size(); ++left_out) {
    HeaderList headers = kGood;
    headers.erase(headers.begin() + static_cast<ptrdiff_t>(left_out));
    EXPECT_EQ(show(read_binary_event(headers, "")), "missing_attribute") << kGood[left_out].first;
  }
  HeaderList old = kGood;
  old[0].second = "0.3";
  EXPECT_EQ(show(read_binary_event(old, "")), "bad_version");
  EXPECT_EQ(binary("ce-time", "yesterday"), "bad_attribute");
  EXPECT_EQ(binary("ce-time", "2018-04-05T17:31:00+02:00"),
            "specversion=1.0 id=1 source=/s type=t.a time=2018-04-05T17:31:00+02:00|x");
  EXPECT_EQ(binary("ce-dataschema", "not/absolute"), "bad_attribute");
  EXPECT_EQ(binary("ce-subject", ""), "bad_attribute");
  EXPECT_EQ(binary("ce-my-ext", "v"), "bad_attribute");
  EXPECT_EQ(binary("ce-data", "v"), "bad_attribute");
  EXPECT_EQ(binary("ce-datacontenttype", "a/b"), "bad_attribute");
  EXPECT_EQ(binary("content-type", "json"), "bad_attribute");
  EXPECT_EQ(binary("ce-id", "2"), "bad_attribute") << "stands twice";
}

TEST(CloudEventsHttp, PercentEncoding) {
  const auto subject = [](const std::string& value) {
    auto event = binary("ce-subject", value, "");
    const size_t at = event.find("subject=");
    return at == std::string::npos ? event : event.substr(at + 8, event.size() - at - 9);
  };
  // The binding's own example.
  EXPECT_EQ(subject("Euro%20%E2%82%AC%20%F0%9F%98%80"), "Euro € 😀");
  EXPECT_EQ(encode_header_value("Euro € 😀"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
  EXPECT_EQ(encode_header_value("a\"b%c~"), "a%22b%25c~");
  EXPECT_EQ(subject("%e2%82%ac%41"), "€A") << "lower case, and encoded without need";
  EXPECT_EQ(subject("%2541"), "%41") << "one round only";
  EXPECT_EQ(subject("\"a \\\"b\\\" c\""), "a \"b\" c") << "as older senders write it";
  EXPECT_EQ(subject("\"%20\""), " ");
  EXPECT_EQ(subject("€"), "€") << "not encoded, and UTF-8";
  EXPECT_EQ(subject("%C0%A0"), "bad_utf8") << "an overlong form";
  EXPECT_EQ(subject("%ED%A0%80"), "bad_utf8") << "a surrogate";
  EXPECT_EQ(subject("%FF"), "bad_utf8");
  EXPECT_EQ(subject("\xff"), "bad_utf8");
  EXPECT_EQ(subject("%4"), "bad_encoding");
  EXPECT_EQ(subject("100%"), "bad_encoding");
  EXPECT_EQ(subject("%zz"), "bad_encoding");
  EXPECT_EQ(subject("\"open"), "bad_encoding");
  EXPECT_EQ(subject("\"open\\"), "bad_encoding");
  EXPECT_EQ(subject("a%0Ab"), "bad_attribute") << "control characters";
  EXPECT_EQ(subject("a%C2%85b"), "bad_attribute") << "C1 controls";
  EXPECT_EQ(subject("a%EF%BF%BEb"), "bad_attribute") << "non-characters";
}

TEST(CloudEventsHttp, ModeByMediaType) {
  EXPECT_EQ(content_mode(""), ContentMode::kBinary);
  EXPECT_EQ(content_mode("application/json"), ContentMode::kBinary);
  EXPECT_EQ(content_mode("application/cloudevents+json"), ContentMode::kStructured);
  EXPECT_EQ(content_mode("Application/CloudEvents+JSON ; charset=UTF-8"), ContentMode::kStructured);
  EXPECT_EQ(content_mode("application/cloudevents-batch+json; charset=utf-8"), ContentMode::kBatch);
  EXPECT_EQ(content_mode("application/cloudevents+avro"), ContentMode::kUnsupported);
  EXPECT_EQ(content_mode("application/cloudevents-batch+avro"), ContentMode::kUnsupported);
}

TEST(CloudEventsJson, AttributesAndTheirTypes) {
  EXPECT_EQ(json(R"(,"ext":"v","n":-5,"yes":true,"none":null)"),
            "specversion=1.0 id=1 source=/s type=t ext=v n=-5 yes=true|");
  EXPECT_EQ(json(R"(,"subject":"a\u20acb")"), "specversion=1.0 id=1 source=/s type=t subject=a€b|");
  EXPECT_EQ(json(R"(,"n":2147483648)"), "bad_attribute");
  EXPECT_EQ(json(R"(,"n":1.5)"), "bad_attribute");
  EXPECT_EQ(json(R"(,"o":{})"), "bad_attribute");
  EXPECT_EQ(json(R"(,"a":[])"), "bad_attribute");
  EXPECT_EQ(json(R"(,"Upper":"v")"), "bad_attribute");
  EXPECT_EQ(json(R"(,"id":"2")"), "bad_attribute");
  EXPECT_EQ(json(R"(,"subject":"")"), "bad_attribute");
  EXPECT_EQ(json(R"(,"subject":"a\nb")"), "bad_attribute");
  EXPECT_EQ(show(read_json_event(R"({"specversion":"1.0","id":"1","type":"t"})")), "missing_attribute");
  EXPECT_EQ(show(read_json_event("[]")), "bad_json");
  EXPECT_EQ(show(read_json_event("")), "bad_json");
  EXPECT_EQ(show(read_json_event("{\"id\":\"\xff\"}")), "bad_json");
  EXPECT_EQ(show(read_json_event(R"({"id":"1"} x)")), "bad_json");
}

TEST(CloudEventsJson, DataIsTheBytesMeant) {
  const auto data = [](const std::string& members) {
    const std::string all = json(members);
    const size_t at = all.find('|');
    return at == std::string::npos ? all : all.substr(at + 1);
  };
  EXPECT_EQ(data(R"(,"data": {"a" : [1, 2.50, 123456789012345678901234567890] } )"),
            R"({"a" : [1, 2.50, 123456789012345678901234567890] })")
      << "as it stood";
  EXPECT_EQ(json(R"(,"data":"x")"), R"(specversion=1.0 id=1 source=/s type=t datacontenttype=application/json|"x")");
  EXPECT_EQ(data(R"(,"datacontenttype":"text/plain","data":"a\u20ac\n")"), "a€\n");
  EXPECT_EQ(data(R"(,"data":"late\n","datacontenttype":"text/plain")"), "late\n") << "whatever their order";
  EXPECT_EQ(data(R"(,"datacontenttype":"application/x+json","data":"q")"), "\"q\"");
  EXPECT_EQ(data(R"(,"datacontenttype":"text/xml","data":{"a":1})"), R"({"a":1})");
  EXPECT_EQ(data(R"(,"data":null)"), "null");
  EXPECT_EQ(data(R"(,"data":12)"), "12");
  EXPECT_EQ(data(R"(,"datacontenttype":"image/png","data_base64":"AAH/")"), std::string("\x00\x01\xff", 3));
  EXPECT_EQ(data(R"(,"data_base64":"?")"), "bad_data");
  EXPECT_EQ(data(R"(,"data_base64":5)"), "bad_data");
  EXPECT_EQ(data(R"(,"data":1,"data_base64":"AA==")"), "bad_data");
  EXPECT_EQ(data(R"(,"data":1,"data":2)"), "bad_data");
}

TEST(CloudEventsJson, Batches) {
  const std::string one = R"({"specversion":"1.0","id":"1","source":"/s","type":"t","data":1})";
  const auto two = read_json_batch("[" + one + ", " + one + "]", 2);
  ASSERT_TRUE(two);
  EXPECT_EQ(two->size(), 2u);
  EXPECT_EQ((*two)[1].data, "1");
  EXPECT_TRUE(read_json_batch("[]", 2)->empty());
  EXPECT_EQ(read_json_batch("[" + one + "," + one + "]", 1).error().reason, "too_many");
  EXPECT_EQ(read_json_batch(one, 2).error().reason, "bad_json");
  const auto fault = read_json_batch("[" + one + R"(,{"id":"x"}])", 2);
  EXPECT_EQ(fault.error().reason, "missing_attribute");
  EXPECT_TRUE(fault.error().detail.starts_with("event 1: "));
}

TEST(CloudEventsJson, ANulEndsNoText) {
  using namespace std::string_view_literals;
  EXPECT_FALSE(read_json_event("{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\",\"type\":\"t\"}\0x"sv).has_value());
  // Found by cloud_events_fuzz: what stood behind the NUL went into the JSON as it was.
  CloudEvent event = *read_json_event(R"({"specversion":"1.0","id":"1","source":"/s","type":"t"})");
  event.data = std::string("4\0\0,\"q\""sv);
  const auto again = read_json_event(write_json_event(event));
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->data, event.data);
}

TEST(CloudEventsJson, BlanksAroundAValueAreNoPartOfIt) {
  CloudEvent event = *read_json_event(R"({"specversion":"1.0","id":"1","source":"/s","type":"t"})");
  event.data = "\n\r 55\t";
  const std::string text = write_json_event(event);
  const auto again = read_json_event(text);
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->data, "55");
  EXPECT_EQ(write_json_event(*again), R"({"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"application/json","data":55})");
}

TEST(CloudEventsJson, DeepNestingIsNoTrouble) {
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  EXPECT_FALSE(read_json_event(deep));
  (void)json(",\"data\":" + deep);  // read or refused, and nothing worse
}

TEST(CloudEventsJson, WhatIsWrittenIsReadBack) {
  for (const std::string members :
       {R"(,"datacontenttype":"text/plain","data":"a\u20ac\"")", R"(,"data":{"a":[1,2]})",
        R"(,"datacontenttype":"image/png","data_base64":"AAH/")", R"(,"ext":"v","data":"s")", R"(,"subject":"q\"")"}) {
    const auto event = read_json_event(R"({"specversion":"1.0","id":"1","source":"/s","type":"t")" + members + "}");
    ASSERT_TRUE(event) << members;
    EXPECT_EQ(show(read_json_event(write_json_event(*event))), show(event)) << write_json_event(*event);
  }
}

TEST(CloudEventsNats, WhatIsWrittenIsReadBack) {
  HeaderList headers = kGood;
  headers.emplace_back("ce-subject", "%20%E2%82%AC%25");
  headers.emplace_back("content-type", "text/plain; charset=\"utf-8\"");
  const auto event = read_binary_event(headers, "body");
  ASSERT_TRUE(event);
  const std::string block = write_nats_headers(*event);
  EXPECT_EQ(find_header(block, "ce-subject"), "%20%E2%82%AC%25");
  EXPECT_TRUE(is_nats_event(block));
  EXPECT_EQ(show(read_nats_event(block, "body")), show(event));
  EXPECT_FALSE(is_nats_event("NATS/1.0\r\nce-id: 1\r\n\r\n"));
  EXPECT_EQ(show(read_nats_event("NATS/1.0\r\nCE-Id: 1\r\nCe-Source: s\r\nCE-TYPE: t\r\nce-SpecVersion: "
                                 "1.0\r\nContent-Type: a/b\r\nNats-Msg-Id: 5\r\n\r\n",
                                 "")),
            "id=1 source=s type=t specversion=1.0 datacontenttype=a/b|");
}

TEST(CloudEvents, IdentityIsSourceAndId) {
  const auto id_of = [](const char* source, const char* id, const char* type = "t") {
    return event_msg_id({.attributes = {{"source", source}, {"id", id}, {"type", type}}});
  };
  EXPECT_EQ(id_of("/a", "1"), id_of("/a", "1", "other"));
  EXPECT_NE(id_of("/a", "1"), id_of("/a", "2"));
  EXPECT_NE(id_of("/a", "12"), id_of("/a1", "2"));
  EXPECT_EQ(id_of("/a", "1").size(), 32u);
}

TEST(CloudEvents, TypesAsSubjects) {
  EXPECT_EQ(type_tokens("com.example.made"), "com.example.made");
  EXPECT_EQ(type_tokens("a b.*.>"), "a_b._._");
  EXPECT_EQ(type_tokens(".a..b."), "_.a._.b._");
  EXPECT_EQ(type_tokens("€"), "€");
}

}  // namespace
}  // namespace sluice
