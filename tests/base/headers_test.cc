#include "base/headers.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

namespace sluice {
namespace {

TEST(Headers, FindsByExactName) {
  const std::string block =
      "NATS/1.0\r\nNats-Msg-Id:  a b \r\nX:\r\nnats-msg-id: lower\r\nNats-Msg-Id: second\r\n\r\n";
  EXPECT_EQ(find_header(block, "Nats-Msg-Id"), "a b ");
  EXPECT_EQ(find_header(block, "nats-msg-id"), "lower");
  EXPECT_EQ(find_header(block, "X"), "");
  EXPECT_EQ(find_header(block, "Nats"), std::nullopt);
  EXPECT_EQ(find_header("", "X"), std::nullopt);
  std::string names;
  each_header(block,
              [&](std::string_view name, std::string_view) { names.append(name).append(","); });
  EXPECT_EQ(names, "Nats-Msg-Id,X,nats-msg-id,Nats-Msg-Id,");
}

TEST(Headers, Status) {
  EXPECT_EQ(header_status("NATS/1.0 404 No Messages\r\n\r\n").code, 404);
  EXPECT_EQ(header_status("NATS/1.0 404 No Messages\r\n\r\n").text, "No Messages");
  EXPECT_EQ(header_status("NATS/1.0   503\r\n\r\n").code, 503);
  EXPECT_EQ(header_status("NATS/1.0\r\nA: b\r\n\r\n").code, 0);
  EXPECT_EQ(header_status("NATS/1.0 abc\r\n\r\n").code, 0);
  EXPECT_EQ(header_status("NATS/1.0 40412\r\n\r\n").code, 0);
  EXPECT_EQ(header_status("NATS/1.0 099\r\n\r\n").code, 0);
  EXPECT_EQ(header_status("HTTP/1.1 200 OK\r\n\r\n").code, 0);
  EXPECT_EQ(make_status_block(404, "No Messages"), "NATS/1.0 404 No Messages\r\n\r\n");
  EXPECT_EQ(make_status_block(503, ""), "NATS/1.0 503\r\n\r\n");
}

TEST(Headers, AppendsAndRemoves) {
  std::string block;
  append_header(block, "A", "1");
  append_header(block, "B", "");
  append_header(block, "A", "3");
  EXPECT_EQ(block, "NATS/1.0\r\nA: 1\r\nB: \r\nA: 3\r\n\r\n");
  EXPECT_EQ(remove_header(block, "C"), 0u);
  EXPECT_EQ(remove_header(block, "A"), 2u);
  EXPECT_EQ(block, "NATS/1.0\r\nB: \r\n\r\n");
  set_header(block, "B", "x");
  EXPECT_EQ(block, "NATS/1.0\r\nB: x\r\n\r\n");
  EXPECT_EQ(remove_headers_with_prefix(block, "B"), 1u);
  EXPECT_EQ(block, "");
  std::string status = make_status_block(100, "Idle Heartbeat");
  append_header(status, "Nats-Last-Consumer", "7");
  EXPECT_EQ(status, "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 7\r\n\r\n");
  EXPECT_EQ(remove_header(status, "Nats-Last-Consumer"), 1u);
  EXPECT_EQ(status, "NATS/1.0 100 Idle Heartbeat\r\n\r\n");
}

TEST(Headers, PassesOverGarbage) {
  for (const char* block : {"garbage", "NATS/1.0", "NATS/1.0\r\n",
                            "NATS/1.0\r\nno colon\r\n: no name\r\n", "\r\n\r\n", "\r\n", "::::"}) {
    EXPECT_EQ(find_header(block, "A"), std::nullopt) << block;
    std::string copy = block;
    EXPECT_EQ(remove_header(copy, "A"), 0u);
    append_header(copy, "A", "1");
    EXPECT_TRUE(copy.ends_with("A: 1\r\n\r\n")) << copy;
  }
  EXPECT_FALSE(is_valid_header_name("a:b"));
  EXPECT_FALSE(is_valid_header_name(""));
  EXPECT_FALSE(is_valid_header_value("a\nb"));
  EXPECT_TRUE(is_valid_header_value(""));
}

TEST(Headers, AgreesWithAList) {
  const unsigned seed = 11;
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  std::string block;
  std::vector<std::pair<std::string, std::string>> list;
  for (int round = 0; round < 3000; ++round) {
    const std::string name(1 + random() % 3, static_cast<char>('A' + random() % 3));
    const std::string value = std::to_string(random() % 100);
    const auto removed = [&](auto&& goes) {
      return std::erase_if(list, [&](const auto& field) { return goes(field.first); });
    };
    switch (random() % 4) {
      case 0:
      case 1:
        append_header(block, name, value);
        list.emplace_back(name, value);
        break;
      case 2:
        ASSERT_EQ(remove_header(block, name),
                  removed([&](const std::string& n) { return n == name; }));
        break;
      default:
        if (random() % 4 != 0) break;
        ASSERT_EQ(remove_headers_with_prefix(block, name),
                  removed([&](const std::string& n) { return n.starts_with(name); }));
    }
    std::vector<std::pair<std::string, std::string>> seen;
    each_header(block, [&](std::string_view n, std::string_view v) { seen.emplace_back(n, v); });
    ASSERT_EQ(seen, list);
    ASSERT_EQ(block.empty(), list.empty());
  }
}

}  // namespace
}  // namespace sluice
