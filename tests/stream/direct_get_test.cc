// Direct gets: plain, batch, multi_last, statuses.
#include "stream_world.h"

namespace sluice {
namespace {

class DirectGets : public StreamWorld {
 protected:
  void SetUp() override {
    make(R"({"name":"KV","subjects":["k.*"],"allow_direct":true})");
    ack("k.a", "1", {{"X", "y"}});
    for (const char* subject : {"k.b", "k.a", "k.c", "k.b", "k.d"}) ack(subject, subject);
  }
  std::vector<Caught> get(std::string_view body, std::string_view subject = "",
                          std::string_view headers = "") {
    caught_.clear();
    const std::string to = "$JS.API.DIRECT.GET.KV" + std::string(subject);
    taken_ = bus_.publish({.subject = to, .reply = "_INBOX.g", .headers = headers, .payload = body});
    settle();
    return caught_;
  }
  std::string status(std::string_view body, std::string_view subject = "",
                     std::string_view headers = "") {
    const auto got = get(body, subject, headers);
    if (got.size() != 1 || !got[0].payload.empty()) return "not a status";
    return got[0].headers.substr(9, got[0].headers.find('\r') - 9);
  }
  static std::string header(const Caught& c, const std::string& name) {
    const auto at = c.headers.find("\r\n" + name + ": ");
    if (at == std::string::npos) return "none";
    const auto from = at + name.size() + 4;
    return c.headers.substr(from, c.headers.find("\r\n", from) - from);
  }
  size_t taken_ = 0;
};

TEST_F(DirectGets, BySequenceShowsStoredHeadersFirst) {
  const auto got = get(R"({"seq":1,"whatever":1})");
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].payload, "1");
  EXPECT_EQ(got[0].headers,
            "NATS/1.0\r\nX: y\r\nNats-Stream: KV\r\nNats-Subject: k.a\r\nNats-Sequence: 1\r\n"
            "Nats-Time-Stamp: 2026-01-01T00:00:00Z\r\n\r\n");
}

TEST_F(DirectGets, PlainForms) {
  EXPECT_EQ(header(get("", ".k.b").at(0), "Nats-Sequence"), "5");
  EXPECT_EQ(header(get("", ".k.*").at(0), "Nats-Sequence"), "6");
  EXPECT_EQ(header(get(R"({"last_by_subj":"k.a"})").at(0), "Nats-Sequence"), "3");
  EXPECT_EQ(header(get(R"({"next_by_subj":"k.b","seq":3})").at(0), "Nats-Sequence"), "5");
  EXPECT_EQ(header(get(R"({"next_by_subj":"k.c"})").at(0), "Nats-Sequence"), "4");
  EXPECT_EQ(header(get(R"({"start_time":"2020-01-01T00:00:00Z"})").at(0), "Nats-Sequence"), "1");
  EXPECT_EQ(get(R"({"seq":1,"no_hdr":true})").at(0).headers, "");
}

TEST_F(DirectGets, Statuses) {
  EXPECT_EQ(status(""), "408 Empty Request");
  EXPECT_EQ(status("{}"), "408 Empty Request");
  EXPECT_EQ(status("{"), "408 Malformed Request");
  EXPECT_EQ(status(R"({"seq":"1"})"), "408 Malformed Request");
  EXPECT_EQ(status(R"({"seq":1,"last_by_subj":"a"})"), "408 Bad Request");
  EXPECT_EQ(status(R"({"batch":2})"), "408 Empty Request");
  EXPECT_EQ(status(R"({"last_by_subj":"a","batch":2})"), "408 Bad Request");
  EXPECT_EQ(status(R"({"seq":99})"), "404 Message Not Found");
  EXPECT_EQ(status("x", ".k.a"), "408 Bad Request");
  EXPECT_EQ(status("", ".k.z"), "404 Message Not Found");
  EXPECT_EQ(status(R"({"multi_last":["z"]})"), "404 No Results");
  EXPECT_EQ(status(R"({"seq":1})", "", "NATS/1.0\r\nNats-Required-Api-Level: 9\r\n\r\n"),
            "412 Required Api Level");
}

TEST_F(DirectGets, Batch) {
  const auto got = get(R"({"seq":1,"batch":2})");
  ASSERT_EQ(got.size(), 3U);
  EXPECT_EQ(header(got[0], "Nats-Num-Pending"), "5");
  EXPECT_EQ(header(got[0], "Nats-Last-Sequence"), "0");
  EXPECT_EQ(header(got[1], "Nats-Num-Pending"), "4");
  EXPECT_EQ(header(got[1], "Nats-Last-Sequence"), "1");
  EXPECT_EQ(got[2].headers,
            "NATS/1.0 204 EOB\r\nNats-Num-Pending: 4\r\nNats-Last-Sequence: 2\r\n\r\n");
  EXPECT_EQ(get(R"({"next_by_subj":"k.b","batch":9})").size(), 3U);
  EXPECT_EQ(get(R"({"seq":1,"batch":9,"max_bytes":1})").size(), 2U);
  EXPECT_EQ(get(R"({"seq":1,"batch":9,"max_bytes":-1})").size(), 2U);
  EXPECT_EQ(get(R"({"seq":1,"batch":9,"max_bytes":-9223372036854775808})").size(), 2U);
  // Subjects count, too; the message that goes beyond the bound is still sent.
  const auto sized = [](const Caught& g) { return header(g, "Nats-Subject").size() + g.payload.size(); };
  const auto whole = get(R"({"seq":2,"batch":2})");
  const std::string both = std::to_string(sized(whole[0]) + sized(whole[1]));
  EXPECT_EQ(get(R"({"seq":2,"batch":9,"max_bytes":)" + both + "}").size(), 3U);
  EXPECT_EQ(get(R"({"seq":2,"batch":9,"max_bytes":)" + std::to_string(sized(whole[0]) + 1) + "}").size(), 3U);
}

TEST_F(DirectGets, MultiLast) {
  const auto got = get(R"({"multi_last":["k.a","k.b","k.a"]})");
  ASSERT_EQ(got.size(), 3U);
  EXPECT_EQ(header(got[0], "Nats-Sequence"), "3");
  EXPECT_EQ(header(got[0], "Nats-Num-Pending"), "1");
  EXPECT_EQ(header(got[1], "Nats-Sequence"), "5");
  EXPECT_EQ(header(got[2], "Nats-UpTo-Sequence"), "6");
  EXPECT_EQ(header(get(R"({"multi_last":["k.a"],"up_to_seq":99})")[1], "Nats-UpTo-Sequence"), "99");
  EXPECT_EQ(get(R"({"multi_last":["k.a"],"start_time":"2099-01-01T00:00:00Z"})").size(), 2U);
  EXPECT_EQ(get(R"({"multi_last":[""]})")[0].headers, "NATS/1.0 404 No Results\r\n\r\n");
  const auto older = get(R"({"multi_last":["k.>"],"up_to_seq":4})");
  ASSERT_EQ(older.size(), 4U);
  EXPECT_EQ(header(older[0], "Nats-Sequence"), "2");
  EXPECT_EQ(header(older[1], "Nats-Sequence"), "3");
  EXPECT_EQ(header(older[2], "Nats-Sequence"), "4");
}

TEST_F(DirectGets, WaitForTheDisk) {
  publish("k.a", "new", {}, "");
  caught_.clear();
  bus_.publish({.subject = "$JS.API.DIRECT.GET.KV.k.a", .reply = "_INBOX.g", .headers = "", .payload = ""});
  EXPECT_TRUE(caught_.empty());
  store_.release();
  ASSERT_EQ(caught_.size(), 1U);
  EXPECT_EQ(caught_[0].payload, "new");
}

TEST_F(DirectGets, OnlyWhenAllowed) {
  make(R"({"name":"N","subjects":["n"]})");
  EXPECT_EQ(bus_.publish({.subject = "$JS.API.DIRECT.GET.N", .reply = "_INBOX.g", .headers = "", .payload = ""}), 0U);
  ASSERT_TRUE(streams().remove("KV"));
  get(R"({"seq":1})");
  EXPECT_EQ(taken_, 0U);
}

}  // namespace
}  // namespace sluice
