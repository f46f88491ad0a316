// Message tracing (ADR-41) in one server. Every text is nats-server's: tests/peers/test_trace.py plays the
// same to both.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "archive/s2_stream.h"
#include "server/tracer.h"
#include "session.h"

namespace sluice::test {
namespace {

using Json = nlohmann::json;

class TraceTest : public ServerTest {
 protected:
  static std::string hpub(const std::string& subject, const std::string& headers,
                          const std::string& body = "x") {
    const std::string block = "NATS/1.0\r\n" + headers + "\r\n";
    return fmt::format("HPUB {} {} {}\r\n{}{}\r\n", subject, block.size(), block.size() + body.size(),
                       block, body);
  }
  /// The payload of the one message in `received`.
  static std::string payload(const std::string& received) {
    const size_t line = received.find("\r\n") + 2;
    const size_t head = received.starts_with("HMSG") ? received.find("\r\n\r\n", line) + 4 : line;
    return received.substr(head, received.size() - head - 2);
  }
  /// What one message's trace says, as "in x|eg x sub|…".
  static std::string trail(const std::string& received) {
    if (received.empty()) return "";
    const Json json = Json::parse(payload(received));
    std::string out;
    for (const Json& event : json["events"]) {
      if (!out.empty()) out += '|';
      out += event["type"].get<std::string>();
      for (const char* key : {"acc", "subj", "from", "to", "sub", "queue", "error"}) {
        if (event.contains(key)) out += ' ' + event[key].get<std::string>();
      }
    }
    return out;
  }
};

constexpr const char* kToT = "Nats-Trace-Dest: t\r\n";

TEST_F(TraceTest, TellsWhoGotItAndWhoDidNot) {
  start();
  auto watcher = client();
  ask(*watcher, "SUB t 1\r\n");
  auto publisher = client(R"(,"echo":false)");
  ask(*publisher, "SUB x 1\r\n");
  auto reader = client();
  ask(*reader, "SUB x q 2\r\n");
  EXPECT_EQ(ask(*publisher, hpub("x", kToT)), "");
  EXPECT_EQ(trail(take(*watcher)),
            "in $G x|eg x Not delivered because of no echo|eg x q");
  EXPECT_EQ(take(*reader), "HMSG x 2 32 33\r\nNATS/1.0\r\nNats-Trace-Dest: t\r\n\r\nx\r\n");
}

TEST_F(TraceTest, OnlyTracedReachesNobody) {
  start();
  auto watcher = client();
  ask(*watcher, "SUB t 1\r\n");
  auto reader = client();
  ask(*reader, "SUB x 1\r\nUNSUB 1 1\r\n");
  size_t handled = 0;
  size_t told = 0;
  const auto plain = server->bus().subscribe("x", "", [&](const Message&, const Origin&) { ++handled; });
  const auto traced = server->bus().subscribe_traced("x", [&](const Message&, const Origin& origin) {
    if (origin.trace == nullptr) return;
    EXPECT_TRUE(origin.trace->only());
    origin.trace->stored({.stream = "S", .subject = "x"});
    ++told;
  });
  ask(*reader, hpub("x", std::string(kToT) + "Nats-Trace-Only: ON\r\n"));
  EXPECT_EQ(handled, 0u);
  EXPECT_EQ(told, 1u);
  EXPECT_EQ(take(*reader), "") << "and the subscription still waits for its one message";
  EXPECT_NE(trail(take(*watcher)).find("|js"), std::string::npos);
  EXPECT_EQ(ask(*reader, "PUB x 1\r\ny\r\n"), "MSG x 1 1\r\ny\r\n");
  EXPECT_EQ(handled, 1u);
}

TEST_F(TraceTest, NobodyIsTracedWhoDidNotAsk) {
  start();
  auto watcher = client();
  ask(*watcher, "SUB > 1\r\n");
  for (const char* headers :
       {"Nats-Trace-Dest: trace disabled\r\nNats-Trace-Only: 1\r\n", "nats-trace-dest: t\r\n",
        "Nats-Trace-Only: 1\r\n", "Nats-Trace-Dest: \r\n", "Nats-Trace-Dest: t.*\r\n",
        "traceparent: 00-1-2-01\r\n", "X: Nats-Trace-Dest: t\r\n"}) {
    const std::string sent = hpub("x", headers);
    const std::string got = ask(*watcher, sent);
    EXPECT_TRUE(got.starts_with("HMSG x 1 ")) << headers;
    EXPECT_EQ(got.substr(got.find("\r\n")), sent.substr(sent.find("\r\n"))) << headers;
  }
  EXPECT_EQ(ask(*watcher, hpub("x", "Nats-Trace-Dest: t.*\r\nNats-Trace-Only: 1\r\n")), "");
}

TEST_F(TraceTest, AnotherAccountIsNotTold) {
  start();
  auto watcher = client();
  ask(*watcher, "SUB > 1\r\n");
  EXPECT_EQ(ask(*watcher, hpub("x", std::string(kToT) + "Nats-Trace-Origin-Account: $G\r\n")),
            "HMSG x 1 76 77\r\nNATS/1.0\r\nNats-Trace-Origin-Account: $G\r\n"
            "Nats-Trace-Dest: trace disabled\r\n\r\nx\r\n");
}

TEST_F(TraceTest, SaysWhyAPublishWasRefused) {
  PermissionOptions rules;
  rules.publish.allow = {"x", "t"};
  start({.users = {{.user = "u", .password = "p", .permissions = rules}}});
  auto watcher = client(R"(,"user":"u","pass":"p")");
  ask(*watcher, "SUB t 1\r\n");
  auto publisher = client(R"(,"user":"u","pass":"p")");
  EXPECT_EQ(ask(*publisher, hpub("y", kToT)), "-ERR 'Permissions Violation for Publish to \"y\"'\r\n");
  EXPECT_EQ(trail(take(*watcher)), "in $G y Permissions Violation for Publish to \"y\"");
  EXPECT_EQ(ask(*publisher, hpub("x", "Nats-Trace-Dest: z\r\n")),
            "-ERR 'Permissions Violation for Publish to \"z\"'\r\n");
  EXPECT_EQ(take(*watcher), "");
  const std::string block = "NATS/1.0\r\nNats-Trace-Dest: t\r\n\r\n";
  EXPECT_EQ(ask(*publisher, fmt::format("HPUB x {} 2000000\r\n{}", block.size(), block)),
            "-ERR 'Maximum Payload Violation'\r\n");
  EXPECT_EQ(trail(take(*watcher)), "in $G x maximum payload exceeded");
}

TEST_F(TraceTest, MappedAndSampledByItsAccount) {
  AccountOptions account{.name = "A", .users = {{.user = "a", .password = "p"}}};
  account.mappings = {{.source = "one", .destinations = {{.subject = "two"}}}};
  account.trace_destination = "t";
  account.trace_sampling = 50;
  start({.accounts = {account}});
  auto watcher = client(R"(,"user":"a","pass":"p")");
  ask(*watcher, "SUB t 1\r\n");
  size_t traced = 0;
  for (int i = 0; i < 200; ++i) {
    const std::string got =
        ask(*watcher, hpub("one", "TraceParent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"));
    if (got.empty()) continue;
    ++traced;
    ASSERT_EQ(trail(got), "in A one|sm two");
  }
  EXPECT_GT(traced, 60u);
  EXPECT_LT(traced, 140u);
}

TEST_F(TraceTest, CrossesAccountsThatLetIt) {
  AccountOptions a{.name = "A", .users = {{.user = "a", .password = "p"}}};
  a.exports = {{.subject = "open", .service = true, .allow_trace = true},
               {.subject = "shut", .service = true},
               {.subject = "st.*"}};
  AccountOptions b{.name = "B", .users = {{.user = "b", .password = "p"}}};
  b.imports = {{.account = "A", .subject = "open", .to = "here", .service = true},
               {.account = "A", .subject = "shut", .service = true},
               {.account = "A", .subject = "st.1", .allow_trace = true},
               {.account = "A", .subject = "st.2"}};
  start({.accounts = {a, b}});
  auto in_a = client(R"(,"user":"a","pass":"p")");
  ask(*in_a, "SUB t 1\r\nSUB open 2\r\nSUB shut 3\r\n");
  auto in_b = client(R"(,"user":"b","pass":"p")");
  ask(*in_b, "SUB t 1\r\nSUB st.* 2\r\n");

  EXPECT_EQ(trail(ask(*in_b, hpub("here", kToT))), "in B here|si A here open|eg A open");
  EXPECT_NE(take(*in_a).find("Nats-Trace-Dest: _R_."), std::string::npos);
  EXPECT_EQ(trail(ask(*in_b, hpub("shut", kToT))), "in B shut|si A shut shut");
  EXPECT_NE(take(*in_a).find("Nats-Trace-Dest: trace disabled"), std::string::npos);
  ask(*in_b, hpub("shut", std::string(kToT) + "Nats-Trace-Only: 1\r\n"));
  EXPECT_EQ(take(*in_a), "");

  EXPECT_EQ(trail(ask(*in_a, hpub("st.1", kToT))), "in A st.1|se B st.1|eg B st.1");
  EXPECT_EQ(trail(ask(*in_a, hpub("st.2", kToT))), "in A st.2|se B st.2");
}

TEST_F(TraceTest, PacksWhatTheMessageAccepts) {
  start();
  auto watcher = client();
  ask(*watcher, "SUB t 1\r\n");
  const auto asked = [&](const char* encoding) {
    return ask(*watcher, hpub("x", fmt::format("{}Accept-Encoding: {}\r\n", kToT, encoding)));
  };
  const std::string gzip = asked("gzip");
  EXPECT_NE(gzip.find("Content-Encoding: gzip\r\n\r\n\x1f\x8b"), std::string::npos);
  EXPECT_NE(asked("br").find("Content-Encoding: identity\r\n\r\n{"), std::string::npos);
  S2StreamReader reader;
  reader.feed(payload(asked("snappy")));
  std::string json;
  ASSERT_TRUE(reader.next(json).value());  // the name of the format
  ASSERT_TRUE(reader.next(json).value());
  EXPECT_EQ(Json::parse(json)["events"].size(), 1u);
}

TEST_F(TraceTest, ToldToSoManyAtMost) {
  start();
  auto watcher = client();
  ask(*watcher, "SUB t 1\r\n");
  auto reader = client();
  std::string all;
  const size_t more = 5;
  for (size_t i = 0; i < TracedMessage::kMaxEvents + more; ++i) all += fmt::format("SUB x {}\r\n", i);
  ask(*reader, all);
  const Json json =
      Json::parse(payload(ask(*watcher, hpub("x", std::string(kToT) + "Nats-Trace-Only: 1\r\n"))));
  EXPECT_EQ(json["events"].size(), TracedMessage::kMaxEvents + 1);
  EXPECT_EQ(json["omitted"], more);
}

TEST(MentionsTracing, LooksAtNamesOnly) {
  EXPECT_TRUE(mentions_tracing("NATS/1.0\r\na: b\r\nNats-Trace-Dest: t\r\n\r\n"));
  EXPECT_TRUE(mentions_tracing("NATS/1.0\r\nTRACEparent:x\r\n\r\n"));
  EXPECT_FALSE(mentions_tracing("NATS/1.0\r\na: Nats-Trace-Dest\r\ntracestate: x\r\n\r\n"));
  EXPECT_FALSE(mentions_tracing("NATS/1.0\r\n"));
  EXPECT_FALSE(mentions_tracing("\n"));
}

}  // namespace
}  // namespace sluice::test
