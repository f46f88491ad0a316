#include "consumer_world.h"

namespace sluice::test {
namespace {

using Seqs = std::vector<uint64_t>;
using Lines = std::vector<std::string>;

TEST(Pull, FetchGivesMessagesInOrderWithTheirAckSubject) {
  ConsumerWorld w;
  for (int i = 0; i < 3; ++i) w.stream().publish("a.b", "p" + std::to_string(i));
  w.make(ConsumerWorld::pull());
  w.fetch(R"({"batch":2})");
  const auto got = w.taken();
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].subject, "a.b");
  EXPECT_EQ(got[0].payload, "p0");
  const std::string time = std::to_string(w.sim.clock().wall());
  EXPECT_EQ(got[0].reply, "$JS.ACK.S.C.1.1.1." + time + ".2");
  EXPECT_EQ(got[1].reply, "$JS.ACK.S.C.1.2.2." + time + ".1");
  EXPECT_EQ(w.consumer().num_pending(), 1u);
  EXPECT_EQ(w.consumer().state().pending().size(), 2u);
}

TEST(Pull, BodiesThatAreNoObject) {
  ConsumerWorld w;
  for (int i = 0; i < 5; ++i) w.stream().publish("a.b");
  w.make(ConsumerWorld::pull());
  w.fetch("");
  EXPECT_EQ(w.taken_seqs(), Seqs({1}));
  w.fetch("2");
  EXPECT_EQ(w.taken_seqs(), Seqs({2, 3}));
  w.fetch("junk");
  EXPECT_EQ(w.taken_seqs(), Seqs({4}));
  w.fetch("{\"batch\":");
  const auto statuses = w.taken_statuses();
  ASSERT_EQ(statuses.size(), 1u);
  EXPECT_TRUE(statuses[0].starts_with("400 Bad Request - ")) << statuses[0];
}

TEST(Pull, WaitingRequestsAreServedInTurn) {
  ConsumerWorld w;
  w.make(ConsumerWorld::pull());
  w.fetch(R"({"batch":2,"expires":5000000000})", "_INBOX.1");
  w.fetch(R"({"batch":2,"expires":5000000000})", "_INBOX.2");
  std::vector<std::string> order;
  const auto one = w.bus.subscribe("_INBOX.1", {}, [&](const Message&, const Origin&) { order.push_back("1"); });
  const auto two = w.bus.subscribe("_INBOX.2", {}, [&](const Message&, const Origin&) { order.push_back("2"); });
  EXPECT_EQ(w.consumer().num_waiting(), 2u);
  for (int i = 0; i < 3; ++i) w.stream().publish("a.b");
  w.run();
  EXPECT_EQ(order, Lines({"1", "2", "1"}));
  w.sim.advance(5s);
  EXPECT_EQ(w.taken_statuses(), Lines({"408 Request Timeout\r\nNats-Pending-Messages: 1\r\nNats-Pending-Bytes: 0\r\n\r\n"}));
}

TEST(Pull, NoWait) {
  ConsumerWorld w;
  w.make(ConsumerWorld::pull());
  w.fetch(R"({"batch":5,"no_wait":true})");
  EXPECT_EQ(w.taken_statuses(), Lines({"404 No Messages\r\n\r\n"}));
  w.stream().publish("a.b");
  w.fetch(R"({"batch":5,"no_wait":true})");
  const auto got = w.taken();
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].seq(), 1u);
  EXPECT_EQ(got[1].headers, "NATS/1.0 404 No Messages\r\n\r\n");
  // With expires it waits for the first message, then ends when there is no more.
  w.fetch(R"({"batch":5,"no_wait":true,"expires":1000000000})");
  EXPECT_TRUE(w.taken().empty());
  w.stream().publish("a.b");
  w.run();
  EXPECT_EQ(w.taken().size(), 2u);
  w.fetch(R"({"batch":5,"no_wait":true,"expires":1000000000})");
  w.sim.advance(1s);
  EXPECT_EQ(w.taken_statuses(), Lines({"408 Request Timeout\r\nNats-Pending-Messages: 5\r\nNats-Pending-Bytes: 0\r\n\r\n"}));
}

// The reference adds any `expires` to its clock.
TEST(Pull, WhatExpiredBeforeItCameIsToldSoAtOnce) {
  ConsumerWorld w;
  w.make(ConsumerWorld::pull());
  const Lines timeout({"408 Request Timeout\r\nNats-Pending-Messages: 3\r\nNats-Pending-Bytes: 0\r\n\r\n"});
  for (int stored = 0; stored < 2; ++stored) {
    for (const std::string_view expires : {"-1", "1", "-9223372036854775808"}) {
      w.fetch(R"({"batch":3,"expires":)" + std::string(expires) + "}");
      w.sim.advance(1us);
      EXPECT_EQ(w.taken_statuses(), timeout) << expires;
    }
    w.stream().publish("a.b");
  }
  EXPECT_EQ(w.consumer().num_pending(), 2u);
  EXPECT_EQ(w.consumer().num_waiting(), 0u);
}

// One that takes no more than one message is told of as it was asked for.
TEST(Pull, StatusesCountFromWhatWasAsked) {
  ConsumerWorld w;
  w.make(ConsumerWorld::pull());
  w.fetch(R"({"batch":-3,"expires":1000000000,"max_bytes":-9})");
  w.sim.advance(1s);
  EXPECT_EQ(w.taken_statuses(), Lines({"408 Request Timeout\r\nNats-Pending-Messages: -3\r\nNats-Pending-Bytes: -9\r\n\r\n"}));
  w.fetch(R"({"expires":1000000000})");
  w.sim.advance(1s);
  EXPECT_EQ(w.taken_statuses(), Lines({"408 Request Timeout\r\nNats-Pending-Messages: 0\r\nNats-Pending-Bytes: 0\r\n\r\n"}));
  w.fetch("");
  w.stream().publish("a.b");
  w.stream().publish("a.b");
  w.run();
  EXPECT_EQ(w.taken_seqs(), Seqs({1}));
  w.fetch(R"({"max_bytes":1000})");
  const auto got = w.taken();
  ASSERT_EQ(got.size(), 2u);
  EXPECT_TRUE(got[1].headers.starts_with("NATS/1.0 409 Batch Completed\r\nNats-Pending-Messages: -1\r\n"));
}

TEST(Pull, TheLeastBatchThereIsEndsWithItsFirstMessageToo) {
  ConsumerWorld w;
  w.make(ConsumerWorld::pull());
  w.fetch(R"({"batch":-9223372036854775808,"expires":1000000000})");
  for (int i = 0; i < 2; ++i) w.stream().publish("a.b");
  w.run();
  EXPECT_EQ(w.taken_seqs(), Seqs({1}));
}

// Acks may bring more before it expires.
TEST(Pull, NoWaitThatExpiresOutlivesAFullConsumer) {
  ConsumerWorld w;
  auto config = ConsumerWorld::pull();
  config.max_ack_pending = 1;
  w.make(config);
  for (int i = 0; i < 2; ++i) w.stream().publish("a.b");
  w.fetch(R"({"batch":3,"no_wait":true,"expires":1000000000})");
  const auto first = w.taken();
  ASSERT_EQ(first.size(), 1u);
  w.ack(first[0]);
  const auto second = w.taken();
  ASSERT_EQ(second.size(), 1u);
  EXPECT_EQ(second[0].seq(), 2u);
  w.sim.advance(1s);
  EXPECT_EQ(w.taken_statuses(), Lines({"408 Request Timeout\r\nNats-Pending-Messages: 1\r\nNats-Pending-Bytes: 0\r\n\r\n"}));
}

TEST(Pull, MaxBytes) {
  ConsumerWorld w;
  w.stream().publish("a.b", "0123456789");
  w.stream().publish("a.b", "0123456789");
  w.make(ConsumerWorld::pull());
  w.fetch(R"({"batch":5,"max_bytes":90,"expires":1000000000})");
  auto got = w.taken();
  ASSERT_EQ(got.size(), 2u);
  const size_t size = got[0].subject.size() + got[0].reply.size() + 10;
  EXPECT_EQ(got[1].headers,
            "NATS/1.0 409 Message Size Exceeds MaxBytes\r\nNats-Pending-Messages: 4\r\nNats-Pending-Bytes: " +
                std::to_string(90 - size) + "\r\n\r\n");
  w.fetch(R"({"batch":1,"max_bytes":1000})");
  got = w.taken();
  ASSERT_EQ(got.size(), 2u);
  EXPECT_TRUE(got[1].headers.starts_with("NATS/1.0 409 Batch Completed\r\nNats-Pending-Messages: 0\r\n"));
}

TEST(Pull, LimitsOfTheConsumer) {
  ConsumerWorld w;
  auto config = ConsumerWorld::pull();
  config.max_waiting = 1;
  config.max_batch = 10;
  config.max_expires = 90s;
  config.max_bytes = 1000;
  w.make(config);
  w.fetch(R"({"batch":11})");
  w.fetch(R"({"batch":1,"expires":100000000000})");
  w.fetch(R"({"batch":1,"max_bytes":1001})");
  w.fetch(R"({"batch":1,"expires":1000000000,"idle_heartbeat":900000000})");
  w.fetch(R"({"batch":1,"priority":12})");
  EXPECT_EQ(w.taken_statuses(),
            Lines({"409 Exceeded MaxRequestBatch of 10\r\n\r\n", "409 Exceeded MaxRequestExpires of 1m30s\r\n\r\n",
                   "409 Exceeded MaxRequestMaxBytes of 1000\r\n\r\n",
                   "400 Bad Request - heartbeat value too large\r\n\r\n",
                   "400 Bad Request - Priority must be between 0 and 9\r\n\r\n"}));
  w.fetch(R"({"batch":1,"expires":1000000000})");
  w.fetch(R"({"batch":1,"expires":1000000000})");
  w.fetch(R"({"batch":1,"expires":1000000000,"idle_heartbeat":100000000})");
  EXPECT_EQ(w.taken_statuses(), Lines({"409 Exceeded MaxWaiting\r\n\r\n"}));
}

TEST(Pull, HeartbeatsWhileIdle) {
  ConsumerWorld w;
  w.make(ConsumerWorld::pull());
  w.fetch(R"({"batch":2,"expires":1000000000,"idle_heartbeat":300000000})");
  w.sim.advance(310ms);
  EXPECT_EQ(w.taken_statuses(),
            Lines({"100 Idle Heartbeat\r\nNats-Last-Consumer: 0\r\nNats-Last-Stream: 0\r\n\r\n"}));
  w.stream().publish("a.b");
  w.run();
  w.taken();
  w.sim.advance(250ms);
  EXPECT_TRUE(w.taken().empty());
  w.sim.advance(60ms);
  EXPECT_EQ(w.taken_statuses(),
            Lines({"100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\nNats-Last-Stream: 1\r\n\r\n"}));
}

TEST(Pull, NobodyListensMeansNothingIsDelivered) {
  ConsumerWorld w;
  w.make(ConsumerWorld::pull());
  w.fetch(R"({"batch":2})", "gone.1");
  w.stream().publish("a.b");
  w.run();
  EXPECT_EQ(w.consumer().state().delivered().consumer.value(), 0u);
  EXPECT_EQ(w.consumer().num_pending(), 1u);
  EXPECT_EQ(w.consumer().num_waiting(), 0u);
  w.fetch("1");
  EXPECT_EQ(w.taken_seqs(), Seqs({1}));
  EXPECT_EQ(w.consumer().state().delivered().consumer.value(), 1u);
}

TEST(Pull, MaxAckPendingHoldsNewMessagesBack) {
  ConsumerWorld w;
  auto config = ConsumerWorld::pull();
  config.max_ack_pending = 2;
  w.make(config);
  for (int i = 0; i < 4; ++i) w.stream().publish("a.b");
  w.fetch("10");
  const auto got = w.taken();
  ASSERT_EQ(got.size(), 2u);
  w.ack(got[0], "-NAK");  // a redelivery is not a new message
  EXPECT_EQ(w.taken_seqs(), Seqs({1}));
  w.ack(got[1]);
  EXPECT_EQ(w.taken_seqs(), Seqs({3}));
}

TEST(Pull, InvisibleMessagesWait) {
  ConsumerWorld w;
  w.make(ConsumerWorld::pull());
  w.fetch("5");
  w.stream().hold = true;
  w.stream().publish("a.b");
  w.run();
  EXPECT_TRUE(w.taken().empty());
  EXPECT_EQ(w.consumer().num_pending(), 0u);
  w.stream().show();
  w.run();
  EXPECT_EQ(w.taken_seqs(), Seqs({1}));
}

TEST(Pull, ManyMessagesOverSeveralRounds) {
  ConsumerWorld w;
  auto config = ConsumerWorld::pull();
  config.max_ack_pending = -1;
  w.make(config);
  for (int i = 0; i < 2000; ++i) w.stream().publish("a.b");
  w.fetch("1500");
  EXPECT_EQ(w.taken().size(), 1500u);
  EXPECT_EQ(w.consumer().num_pending(), 500u);
}

TEST(Pull, CongestedReceiverPausesAndGoesOn) {
  ConsumerWorld w;
  w.make(ConsumerWorld::pull());
  for (int i = 0; i < 2; ++i) w.stream().publish("a.b");
  w.bus.congest("_INBOX.1");
  w.fetch("2");
  EXPECT_TRUE(w.taken().empty());
  w.fetch("1", "_INBOX.2");  // another receiver is not held up
  EXPECT_EQ(w.taken_seqs(), Seqs({1}));
  w.bus.relieve("_INBOX.1");
  w.run();
  EXPECT_EQ(w.taken_seqs(), Seqs({2}));
}

TEST(Pull, DeletingEndsWaitingRequests) {
  ConsumerWorld w;
  w.make(ConsumerWorld::pull());
  w.fetch(R"({"batch":2,"expires":5000000000})");
  EXPECT_TRUE(w.consumers->remove("S", "C"));
  w.run();
  EXPECT_EQ(w.taken_statuses(), Lines({"409 Consumer Deleted\r\n\r\n"}));
  EXPECT_FALSE(w.bus.has_interest("$JS.API.CONSUMER.MSG.NEXT.S.C", {}));
  EXPECT_EQ(w.consumers->remove("S", "C").error().api_code, 10014);
}

TEST(Pull, DeletingTheStreamEndsWaitingRequests) {
  ConsumerWorld w;
  w.make(ConsumerWorld::pull());
  w.fetch(R"({"batch":2,"expires":5000000000})");
  (void)w.streams.remove("S");
  w.run();
  EXPECT_EQ(w.taken_statuses(), Lines({"409 Consumer Deleted\r\n\r\n"}));
  EXPECT_EQ(w.consumers->size(), 0u);
}

TEST(Pull, DeletedFromWithinADelivery) {
  ConsumerWorld w;
  w.make(ConsumerWorld::pull());
  const auto killer = w.bus.subscribe("_INBOX.1", {}, [&](const Message& m, const Origin&) {
    if (!m.reply.empty()) (void)w.consumers->remove("S", "C");
  });
  w.stream().publish("a.b");
  w.stream().publish("a.b");
  w.fetch("5");
  EXPECT_EQ(w.consumers->size(), 0u);
}

}  // namespace
}  // namespace sluice::test
