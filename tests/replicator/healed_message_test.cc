#include "replicator/healed_message.h"

#include <gtest/gtest.h>

#include "base/headers.h"
#include "proof/copy_marks.h"

namespace sluice {
namespace {

StoredCopy original(std::initializer_list<std::pair<std::string_view, std::string_view>> fields) {
  StoredCopy out{.seq = StreamSeq(7), .subject = "a", .headers = {}, .payload = "x", .time = 5'000'000};
  for (const auto& [name, value] : fields) append_header(out.headers, name, value);
  return out;
}

TEST(HealedMessage, IsACopyWithAMarkAndAnIdOfItsOwn) {
  const auto block = healed_headers(original({{"Trace", "1"}, {"Nats-Msg-Id", "id"}, {"Nats-Expected-Last-Sequence", "6"},
                                              {"Sluice-Copy-Position", "old"}}), "S");
  ASSERT_TRUE(block.has_value());
  EXPECT_EQ(*block, "NATS/1.0\r\nTrace: 1\r\nChoria-SR-Source: S 7 sluice heal 5\r\nNats-Msg-Id: S:7:sluice:heal\r\n"
                    "Sluice-Original-Msg-Id: id\r\n\r\n");
  EXPECT_EQ(find_copy_mark(*block, {"S"}).origin, StreamSeq(7));
  EXPECT_EQ(find_header(*healed_headers(original({}), "S"), "Nats-Msg-Id"), "S:7:sluice:heal");
}

TEST(HealedMessage, WhatWouldActOnceMoreIsRefused) {
  for (const char* header : {"Nats-Rollup", "Nats-Incr", "Nats-Schedule", "Nats-Schedule-Target", "Nats-Batch-Commit"})
    EXPECT_FALSE(healed_headers(original({{header, "1"}}), "S").has_value()) << header;
}

}  // namespace
}  // namespace sluice
