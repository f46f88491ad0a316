// The order of answers, and the memory of a queue that ran empty.
#include "stream/ack_queue.h"

#include <gtest/gtest.h>

#include <string>

namespace sluice {
namespace {

AckQueue::Entry entry(uint64_t number) {
  return {.commit = CommitNo(number), .seq = StreamSeq(number), .message_bytes = 10};
}

class AckQueueTest : public ::testing::Test {
 protected:
  void push(uint64_t number) { queue.push(entry(number), "reply." + std::to_string(number), nullptr); }
  void expect_pop(uint64_t number) {
    ASSERT_FALSE(queue.empty());
    EXPECT_EQ(queue.front().seq, StreamSeq(number));
    queue.pop(answer);
    EXPECT_EQ(answer.entry.seq, StreamSeq(number));
    EXPECT_EQ(answer.reply, "reply." + std::to_string(number));
  }

  AckQueue queue;
  AckQueue::Answer answer;
};

TEST_F(AckQueueTest, AnswersLeaveAsTheyCame) {
  for (uint64_t n = 1; n <= 3; ++n) push(n);
  expect_pop(1);
  push(4);
  EXPECT_EQ(queue.count(), 3U);
  EXPECT_EQ(queue.entries().size(), 3U);
  EXPECT_EQ(queue.entries().front().seq, StreamSeq(2));
  EXPECT_EQ(queue.message_bytes(), 30U);
  for (uint64_t n = 2; n <= 4; ++n) expect_pop(n);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.message_bytes(), 0U);
}

/// One that never runs empty moves up now and then; one that grew large is small again once empty.
TEST_F(AckQueueTest, ALongQueueKeepsItsOrder) {
  uint64_t in = 0;
  uint64_t out = 0;
  for (int round = 0; round < 50; ++round) {
    queue.prefetch_push();
    for (int i = 0; i < 1000; ++i) push(++in);
    queue.prefetch_pop();
    for (int i = 0; i < 900; ++i) expect_pop(++out);
  }
  EXPECT_EQ(queue.count(), in - out);
  while (out < in) expect_pop(++out);
  EXPECT_TRUE(queue.empty());
  push(++in);
  expect_pop(in);
}

TEST_F(AckQueueTest, ClearForgetsAll) {
  for (uint64_t n = 1; n <= 3; ++n) push(n);
  expect_pop(1);
  queue.clear();
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.count(), 0U);
  push(9);
  expect_pop(9);
}

}  // namespace
}  // namespace sluice
