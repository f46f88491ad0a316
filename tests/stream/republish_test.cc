// subject_transform and republish: the configuration's words, and what they do to messages.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "stream_world.h"

namespace sluice {
namespace {

std::string why_not(std::string_view members) {
  const auto config =
      parse_stream_config(R"({"name":"P","subjects":["a.>"],)" + std::string(members) + "}");
  if (config) return "accepted";
  return std::to_string(config.error().api_code) + " " + config.error().detail;
}

/// What the two options look like in the echo.
std::string echo(std::string_view members, std::string_view subjects = R"(["a.>"])") {
  const auto config = parse_stream_config(R"({"name":"P","subjects":)" + std::string(subjects) + "," +
                                          std::string(members) + "}");
  if (!config) return std::to_string(config.error().api_code) + " " + config.error().detail;
  const std::string json = stream_config_json(*config, nullptr);
  const size_t from = json.find("\"compression\":\"none\",") + 21;
  return json.substr(from, json.find(",\"allow_direct\"") - from);
}

TEST(SubjectMappings, EchoesAsTheReference) {
  EXPECT_EQ(echo(R"("subject_transform":{"dest":"x.>"},"republish":{"dest":"r.>"})"),
            R"("subject_transform":{"src":"","dest":"x.>"},"republish":{"src":">","dest":"r.>"})");
  EXPECT_EQ(echo(R"("subject_transform":{"src":"a.*"})"), R"("subject_transform":{"src":"a.*","dest":""})");
  EXPECT_EQ(echo(R"("republish":{"src":"a.>","dest":"r.>","headers_only":true})"),
            R"("republish":{"src":"a.>","dest":"r.>","headers_only":true})");
  EXPECT_EQ(echo(R"("republish":{"src":"a.>","dest":"r.>","headers_only":false})"),
            R"("republish":{"src":"a.>","dest":"r.>"})");
}

TEST(SubjectMappings, RefusesInTheReferencesWords) {
  EXPECT_EQ(why_not(R"("subject_transform":{"src":"a","dest":"b","x":1})").substr(0, 5), "10025");
  EXPECT_EQ(why_not(R"("subject_transform":"a")").substr(0, 5), "10025");
  EXPECT_EQ(why_not(R"("subject_transform":[])").substr(0, 5), "10025");
  EXPECT_EQ(why_not(R"("republish":true)").substr(0, 5), "10025");
  EXPECT_EQ(why_not(R"("republish":{"src":"a","dest":"b","x":1})").substr(0, 5), "10025");
  EXPECT_EQ(why_not(R"("subject_transform":{"src":"a..b","dest":"b"})"), "10155 invalid subject a..b");
  EXPECT_EQ(why_not(R"("subject_transform":{"src":"a.*","dest":"b.*"})"), "10156 invalid subject");
  EXPECT_EQ(why_not(R"("subject_transform":{"src":"a.*","dest":"{{wildcard(3)}}"})"),
            "10156 invalid mapping destination: wildcard index out of range in {{wildcard(3)}}: [3]");
  EXPECT_EQ(why_not(R"("subject_transform":{"src":"a.*","dest":"{{left(1,2)}}"})"), "accepted");
  const std::string cycle = "10052 stream configuration for republish destination forms a cycle";
  EXPECT_EQ(why_not(R"("republish":{"src":"a.>","dest":"a.r.>"})"), cycle);
  EXPECT_EQ(why_not(R"("republish":{"dest":">"})"), cycle);
  EXPECT_EQ(why_not(R"("republish":{"src":"a.*","dest":"r.$2"})"),
            "10052 stream configuration for republish with transform from 'a.*' to 'r.$2' not valid");
  EXPECT_EQ(why_not(R"("republish":{"src":"a..b","dest":"r"})"),
            "10052 stream configuration for republish with transform from 'a..b' to 'r' not valid");
  EXPECT_EQ(
      why_not(R"("subject_transform":{"src":"a.*","dest":"b.$3"},"republish":{"dest":"a.x"})").substr(0, 5),
      "10156");
  EXPECT_EQ(why_not(R"("pedantic":true,"republish":{"dest":"r.>"})"),
            "10157 republish source can not be empty");
}

TEST(SubjectMappings, AllToAllMeansTheTransformedSubjects) {
  const std::string all = R"("republish":{"src":">","dest":">"})";
  const std::string transform = R"("subject_transform":{"src":"a.>","dest":"b.>"})";
  EXPECT_EQ(echo(transform + "," + all), transform + R"(,"republish":{"src":"b.>","dest":"b.>"})");
  EXPECT_EQ(echo(transform + "," + all, R"(["a.>","c"])"),
            "10052 stream configuration for republish destination forms a cycle");
  EXPECT_EQ(echo(R"("subject_transform":{"src":"a.*","dest":"b.$1"},)" + all, R"(["a.*"])"),
            "10052 stream configuration for republish with transform from 'b.$1' to 'b.$1' not valid");
  EXPECT_EQ(why_not(R"("pedantic":true,)" + transform + "," + all),
            "10157 implicit republish based on subject transform");
}

class Republish : public StreamWorld {
 protected:
  Republish() {
    listener_ = bus_.subscribe("r.>", "", [this](const Message& m, const Origin&) {
      heard_.push_back(std::string(m.subject) + " " + std::string(m.payload));
      headers_ = m.headers;
      reply_ = m.reply;
    });
  }
  static std::string subjects_of(Stream& stream) {
    std::string out;
    for (const uint64_t seq : seqs(stream))
      out += std::string(stream.store().load(StreamSeq(seq))->subject) + " ";
    return out;
  }
  static constexpr const char* kPlain =
      R"({"name":"P","subjects":["a.>"],"allow_rollup_hdrs":true,
          "republish":{"src":"a.>","dest":"r.>"}})";

  std::unique_ptr<BusSubscription> listener_;
  std::vector<std::string> heard_;
  std::string headers_;
  std::string reply_;
};

TEST_F(Republish, TransformComesBeforeEveryCheck) {
  Stream& s = make(
      R"({"name":"P","subjects":["a.>"],"max_msgs_per_subject":1,"discard":"new","discard_new_per_subject":true,
          "subject_transform":{"src":"a.*","dest":"k.$1"}})");
  EXPECT_EQ(ack("a.x"), R"({"stream":"P","seq":1})");
  EXPECT_EQ(error_of(ack("a.x")), "10077 maximum messages per subject exceeded");
  EXPECT_EQ(error_of(ack("a.x", "x", {{"Nats-Expected-Last-Subject-Sequence", "0"}})),
            "10071 wrong last sequence: 1");
  EXPECT_EQ(ack("a.x.y"), R"({"stream":"P","seq":2})") << "the source does not match";
  EXPECT_EQ(subjects_of(s), "k.x a.x.y ");
}

TEST_F(Republish, TransformIsChangedByUpdateAndKeptByRestart) {
  Stream& s = make(R"({"name":"P","subjects":["a.>"]})");
  ack("a.1");
  auto config = parse_stream_config(
      R"({"name":"P","subjects":["a.>"],"subject_transform":{"src":"a.*","dest":"b.$1"}})");
  ASSERT_TRUE(streams().update(*config));
  ack("a.2");
  settle();
  EXPECT_EQ(subjects_of(s), "a.1 b.2 ");
  restart();
  Stream* again = streams().find("P");
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(again->config(), *config);
  ack("a.3");
  EXPECT_EQ(subjects_of(*again), "a.1 b.2 b.3 ");
}

TEST_F(Republish, ATransformOnDiskThatCanNotBeLeavesTheStreamAlone) {
  store_.plant("X", R"({"config":{"name":"X","subjects":["x"],"subject_transform":{"src":"x","dest":"$1"}},)"
                    R"("created":"2026-01-01T00:00:00Z"})");
  EXPECT_EQ(streams().find("X"), nullptr);
  EXPECT_FALSE(streams().create(*parse_stream_config(R"({"name":"X"})")));
}

TEST_F(Republish, AppendsHeadersInOrder) {
  make(kPlain);
  ack("a.x", "one");
  ack("a.x", "two", {{"K", "v"}, {"Nats-Stream", "theirs"}});
  EXPECT_EQ(heard_, (std::vector<std::string>{"r.x one", "r.x two"}));
  EXPECT_EQ(reply_, "");
  const auto stored = streams().find("P")->store().load(StreamSeq(2));
  EXPECT_EQ(headers_, "NATS/1.0\r\nK: v\r\nNats-Stream: theirs\r\nNats-Stream: P\r\nNats-Subject: a.x\r\n"
                      "Nats-Sequence: 2\r\nNats-Time-Stamp: " + format_rfc3339(stored->time) +
                      "\r\nNats-Last-Sequence: 1\r\n\r\n");
}

TEST_F(Republish, HeadersOnlyTellsTheSize) {
  make(R"({"name":"P","subjects":["a.>"],"republish":{"src":"a.x","dest":"r.y","headers_only":true}})");
  ack("a.other", "12345");
  ack("a.x", "12345");
  EXPECT_EQ(heard_, std::vector<std::string>{"r.y "});
  EXPECT_TRUE(headers_.ends_with("Nats-Last-Sequence: 0\r\nNats-Msg-Size: 5\r\n\r\n")) << headers_;
}

TEST_F(Republish, OnlyWhatIsDurable) {
  make(kPlain);
  publish("a.x", "1");
  EXPECT_TRUE(heard_.empty());
  settle();
  EXPECT_EQ(heard_.size(), 1U);
}

TEST_F(Republish, KeepsWhatLimitsTookAwayMeanwhile) {
  make(R"({"name":"P","subjects":["a.>"],"max_msgs_per_subject":1,"republish":{"src":"a.>","dest":"r.>"}})");
  for (const char* payload : {"1", "2", "3"}) publish("a.x", payload);
  settle();
  EXPECT_EQ(heard_, (std::vector<std::string>{"r.x 1", "r.x 2", "r.x 3"}));
  EXPECT_NE(headers_.find("Nats-Last-Sequence: 2\r\n"), std::string::npos);
}

TEST_F(Republish, NotWhatIsNotStored) {
  make(R"({"name":"P","subjects":["a.>"],"retention":"interest","max_msg_size":9,
           "republish":{"src":"a.>","dest":"r.>"}})");
  EXPECT_EQ(ack("a.x"), R"({"stream":"P","seq":1})");
  EXPECT_EQ(error_of(ack("a.x", "0123456789")).substr(0, 5), "10054");
  EXPECT_TRUE(heard_.empty());
}

TEST_F(Republish, SeesTransformedSubjects) {
  make(R"({"name":"P","subjects":["a.>"],"subject_transform":{"src":"a.>","dest":"q.>"},
           "republish":{"src":"q.*","dest":"r.$1"}})");
  ack("a.x");
  ack("a.x.y");
  EXPECT_EQ(heard_, std::vector<std::string>{"r.x x"});
  EXPECT_NE(headers_.find("Nats-Subject: q.x\r\n"), std::string::npos);
}

TEST_F(Republish, AnotherStreamMayCapture) {
  make(kPlain);
  Stream& other = make(R"({"name":"T","subjects":["r.>"]})");
  ack("a.x");
  ack("a.y");
  settle();
  EXPECT_EQ(subjects_of(other), "r.x r.y ");
}

TEST_F(Republish, NeverComesBackToItsOwnStream) {
  Stream& s = make(
      R"({"name":"P","subjects":["*.a"],"no_ack":true,
          "republish":{"src":"*.a","dest":"{{wildcard(1)}}.{{left(1,1)}}"}})");
  publish("abc.a");
  settle();
  settle();
  EXPECT_EQ(subjects_of(s), "abc.a ");
}

TEST_F(Republish, AHandlerMayDeleteTheStream) {
  make(kPlain);
  int calls = 0;
  auto deleter = bus_.subscribe("r.x", "", [&](const Message&, const Origin&) {
    ++calls;
    EXPECT_TRUE(streams().remove("P").has_value());
  });
  publish("a.x");
  publish("a.x");
  settle();
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(streams().find("P"), nullptr);
}

TEST_F(Republish, InMemoryStreamsToo) {
  make(R"({"name":"P","subjects":["a.>"],"storage":"memory","republish":{"src":"a.>","dest":"r.>"}})");
  ack("a.x");
  EXPECT_EQ(heard_, std::vector<std::string>{"r.x x"});
}

TEST_F(Republish, IsSwitchedByUpdate) {
  make(kPlain);
  auto without = parse_stream_config(R"({"name":"P","subjects":["a.>"],"allow_rollup_hdrs":true})");
  publish("a.x", "bound before");
  ASSERT_TRUE(streams().update(*without));
  publish("a.x", "after");
  settle();
  EXPECT_EQ(heard_, std::vector<std::string>{"r.x bound before"});
  ASSERT_TRUE(streams().update(*parse_stream_config(kPlain)));
  ack("a.x", "again");
  EXPECT_EQ(heard_.back(), "r.x again");
}

}  // namespace
}  // namespace sluice
