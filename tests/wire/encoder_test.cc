#include "wire/encoder.h"

#include <gtest/gtest.h>

#include "wire/client_parser.h"

namespace sluice {
namespace {

TEST(WireEncoder, WritesTheProtocol) {
  std::string out = "before ";
  append_msg(out, "foo.bar", "9", "", "hello");
  EXPECT_EQ(out, "before MSG foo.bar 9 5\r\nhello\r\n");
  out.clear();
  append_msg(out, "foo", "9", "_INBOX.x", "");
  EXPECT_EQ(out, "MSG foo 9 _INBOX.x 0\r\n\r\n");
  out.clear();
  append_hmsg(out, "foo", "9", "r", "NATS/1.0\r\n\r\n", "hi");
  EXPECT_EQ(out, "HMSG foo 9 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
  out.clear();
  append_err(out, "Invalid Subject");
  EXPECT_EQ(out, "-ERR 'Invalid Subject'\r\n");
  out.clear();
  append_no_responders(out, "_INBOX.x", "9", "nobody");
  EXPECT_EQ(out, "HMSG _INBOX.x 9 38 38\r\nNATS/1.0 503\r\nNats-Subject: nobody\r\n\r\n\r\n");
  out.clear();
  append_pub(out, "s", "r", "", "x");
  append_pub(out, "s", "", "NATS/1.0\r\n\r\n", "x");
  EXPECT_EQ(out, "PUB s r 1\r\nx\r\nHPUB s 12 13\r\nNATS/1.0\r\n\r\nx\r\n");
}

TEST(WireEncoder, DoesNotAllocateWhenThereIsRoom) {
  std::string out;
  out.reserve(4096);
  const char* block = out.data();
  for (int i = 0; i < 20; ++i) append_msg(out, "subject", "1", "reply", "payload");
  EXPECT_EQ(out.data(), block);
}

/// What came, as text: to compare any split of the same bytes.
std::string events(ClientParser& parser, std::string_view bytes, size_t step) {
  std::string seen;
  for (size_t at = 0; at < bytes.size(); at += step) {
    parser.feed(bytes.substr(at, step));
    ServerEvent event;
    while (true) {
      const Result<bool> more = parser.next(event);
      if (!more) return seen + "corrupt";
      if (!*more) break;
      seen += std::to_string(static_cast<int>(event.kind));
      for (const auto field :
           {event.subject, event.sid, event.reply, event.header, event.payload, event.text}) {
        seen.append("|").append(field);
      }
      seen += '\n';
    }
  }
  return seen;
}

TEST(ClientParser, ReadsTheServersSide) {
  std::string bytes = "INFO {\"a\":1} \r\nPING\r\nPONG\r\n+OK\r\n-ERR 'Stale Connection'\r\n";
  append_msg(bytes, "foo", "1", "", "PING\r\n");
  append_msg(bytes, "foo", "1", "re", "");
  append_hmsg(bytes, "foo", "22", "re", "NATS/1.0\r\n\r\n", "hi");
  bytes += "MSG _I.x 1  2\r\nok\r\n";  // an empty reply field: two blanks
  ClientParser whole;
  const std::string all = events(whole, bytes, bytes.size());
  EXPECT_TRUE(
      all.starts_with("0||||||{\"a\":1}\n2||||||\n3||||||\n4||||||\n5||||||Stale Connection\n"))
      << all;
  EXPECT_NE(all.find("1|foo|1|||PING\r\n|\n1|foo|1|re|||\n"), std::string::npos);
  EXPECT_NE(all.find("1|foo|22|re|NATS/1.0\r\n\r\n|hi|\n"), std::string::npos);
  EXPECT_NE(all.find("1|_I.x|1|||ok|\n"), std::string::npos);
  EXPECT_EQ(all.find("corrupt"), std::string::npos);
  for (size_t step = 1; step < bytes.size(); ++step) {
    ClientParser parser;
    ASSERT_EQ(events(parser, bytes, step), all) << step;
  }
}

TEST(ClientParser, RefusesGarbage) {
  for (const char* bad :
       {"HELLO\r\n", "MSG a 1\r\n", "MSG a 1 x\r\n", "MSG a 1 1\r\nxyz\r\n", "HMSG a 1 5 4\r\n",
        "MSG a 1 99999999999999999999999\r\n", "MSG a 1 99999999999\r\n", "\r\n"}) {
    ClientParser parser;
    EXPECT_EQ(events(parser, bad, 1), "corrupt") << bad;
  }
}

}  // namespace
}  // namespace sluice
