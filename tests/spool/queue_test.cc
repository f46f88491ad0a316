#include "spool/queue.h"

#include <gtest/gtest.h>

#include "spool_world.h"

namespace sluice::test {
namespace {

using namespace std::chrono_literals;
constexpr SpoolLane kOne{1, true};
constexpr SpoolLane kOnePlain{1, false};

TEST(SpoolEntry, GoesRoundWithEveryField) {
  SpoolEntry entry;
  entry.submission = make_submission("id-1", 1'767'225'600'000'000'001, 3, true);
  entry.submission.sign = true;
  entry.submission.tries = 7;
  entry.submission.identity = "";
  entry.submission.headers = {{"x-trace", "abc"}, {"Spool-Entry", "not ours"}, {"empty", ""}};
  entry.accepted = 11;
  entry.expires = -5;
  for (const char* reason : {"", "tries no stream listens"}) {
    entry.reason = reason;
    const std::string block = encode_entry(entry);
    const auto back = decode_entry({StreamSeq(1), 0, entry.submission.subject, block, entry.submission.payload});
    ASSERT_TRUE(back);
    EXPECT_EQ(encode_entry(*back), block);
    EXPECT_EQ(back->submission.id, "id-1");
    EXPECT_EQ(back->submission.headers, entry.submission.headers);
    EXPECT_EQ(back->reason, reason);
    EXPECT_EQ(back->expires, -5);
    EXPECT_TRUE(back->submission.sign && back->submission.reliable);
  }
  EXPECT_FALSE(decode_entry({StreamSeq(1), 0, "s", "NATS/1.0\r\nSpool-Entry: 2 0 0 0 0 0 0 0 r\r\n\r\n", "p"}));
  EXPECT_FALSE(decode_entry({StreamSeq(1), 0, "s", "", "p"}));
}

TEST(SpoolQueue, AcceptsOnlyWhatIsOnDisk) {
  SpoolWorld w(1);
  w.sim.disk_workers().set_latency(5ms, 5ms);
  ASSERT_TRUE(w.open());
  bool accepted = false;
  w.queue->submit(w.fresh("a"), false, [&](Result<SpoolQueue::Accepted> r) { accepted = r.has_value(); });
  w.sim.run_until_idle();
  EXPECT_FALSE(accepted) << "before the sync";
  EXPECT_FALSE(w.queue->head(kOne)) << "nor is it sent";
  ASSERT_TRUE(w.sim.settle());
  EXPECT_TRUE(accepted);
  w.crash(sim::Crash::kPower);
  ASSERT_TRUE(w.open());
  ASSERT_TRUE(w.queue->head(kOne));
  EXPECT_EQ(w.queue->head(kOne)->entry.submission.payload, "reading of a");
}

TEST(SpoolQueue, LanesAreInOrderAndApart) {
  SpoolWorld w(2);
  ASSERT_TRUE(w.open());
  for (const char* id : {"a", "b", "c"}) ASSERT_TRUE(*w.submit(w.fresh(id)));
  ASSERT_TRUE(*w.submit(w.fresh("p", 1, false)));
  ASSERT_TRUE(*w.submit(w.fresh("z", 0)));
  EXPECT_EQ(w.queue->head(kOnePlain)->entry.submission.id, "p");
  EXPECT_EQ(w.queue->head({0, true})->entry.submission.id, "z");
  for (const char* id : {"a", "b", "c"}) {
    const auto head = w.queue->head(kOne);
    ASSERT_TRUE(head);
    EXPECT_EQ(head->entry.submission.id, id);
    w.queue->remove(head->place);
  }
  EXPECT_FALSE(w.queue->head(kOne));
  w.sim.run_until_idle();
  EXPECT_EQ(w.queue->unsettled(kOne), 0u);
}

TEST(SpoolQueue, TheSameIdWaitsOnce) {
  SpoolWorld w(3);
  ASSERT_TRUE(w.open());
  EXPECT_FALSE((*w.submit(w.fresh("a")))->duplicate);
  EXPECT_TRUE((*w.submit(w.fresh("a")))->duplicate);
  w.crash(sim::Crash::kKill);
  ASSERT_TRUE(w.open());
  EXPECT_TRUE((*w.submit(w.fresh("a")))->duplicate) << "also after a restart";
  EXPECT_EQ(w.waiting(), 1u);
  w.queue->remove(w.queue->head(kOne)->place);
  w.sim.run_until_idle();
  EXPECT_FALSE((*w.submit(w.fresh("a")))->duplicate) << "it does not wait any more";
}

TEST(SpoolQueue, LimitsRefuseAndSayWhy) {
  SpoolWorld w(4);
  w.queue_options.max_messages = 2;
  w.queue_options.max_bytes = 1000;
  ASSERT_TRUE(w.open());
  ASSERT_TRUE(*w.submit(w.fresh("a")));
  ASSERT_TRUE(*w.submit(w.fresh("b", 1, false)));
  auto full = w.submit(w.fresh("c"));
  ASSERT_FALSE(*full);
  EXPECT_EQ(full->error().code, Errc::kFull);
  EXPECT_EQ(full->error().detail, "spool is full: 2 messages of priority 1");
  ASSERT_TRUE(*w.submit(w.fresh("d", 2))) << "another priority has room";
  Submission large = w.fresh("e", 3);
  large.payload.assign(700, 'x');
  full = w.submit(large);
  ASSERT_FALSE(*full);
  EXPECT_EQ(full->error().code, Errc::kFull);
  EXPECT_NE(full->error().detail.find("bytes"), std::string::npos);
  EXPECT_EQ(w.queue->figures().refused.at(to_string(Errc::kFull)), 2u);
  auto bad = w.fresh("f");
  bad.subject = ">";
  EXPECT_EQ((*w.submit(bad)).error().code, Errc::kInvalidArgument);
}

TEST(SpoolQueue, HeldEntriesAndThoseBehindThemAreNotShown) {
  SpoolWorld w(5);
  ASSERT_TRUE(w.open());
  const auto held = *w.submit(w.fresh("a"), true);
  ASSERT_TRUE(held);
  ASSERT_TRUE(*w.submit(w.fresh("b")));
  EXPECT_FALSE(w.queue->head(kOne));
  w.queue->release(held->place);
  EXPECT_EQ(w.queue->head(kOne)->entry.submission.id, "a");
}

TEST(SpoolQueue, WhatExpiresIsKeptWithItsReason) {
  SpoolWorld w(6);
  ASSERT_TRUE(w.open());
  auto brief = w.fresh("brief");
  brief.ttl = 60s;
  ASSERT_TRUE(*w.submit(w.fresh("long")));
  ASSERT_TRUE(*w.submit(brief));
  w.sim.advance(91s);
  EXPECT_EQ(w.queue->head(kOne)->entry.submission.id, "long");
  const auto kept = w.queue->next_quarantined({});
  ASSERT_TRUE(kept) << "found behind a head that lives longer";
  EXPECT_EQ(kept->entry.submission.id, "brief");
  EXPECT_EQ(kept->entry.reason_word(), kReasonExpired);
  EXPECT_EQ(kept->entry.submission.payload, "reading of brief");
  w.sim.advance(24h);
  EXPECT_FALSE(w.queue->head(kOne)) << "expired at the head";
  EXPECT_EQ(w.queue->figures().quarantined.at("expired"), 2u);
}

TEST(SpoolQueue, MaxAgeEndsAWaitingBeforeItsTtl) {
  SpoolWorld w(7);
  w.queue_options.max_age = 10min;
  ASSERT_TRUE(w.open());
  ASSERT_TRUE(*w.submit(w.fresh("a")));
  w.sim.advance(9min);
  EXPECT_TRUE(w.queue->head(kOne));
  w.sim.advance(2min);
  EXPECT_FALSE(w.queue->head(kOne));
}

TEST(SpoolQueue, ClockJumpsNeitherExpireNorSpare) {
  SpoolWorld w(8);
  w.sim.clock().set_wall(1'000'000'000'000'000'000 / 1000);  // 1970: never set
  ASSERT_TRUE(w.open());
  ASSERT_TRUE(*w.submit(w.fresh("a")));
  w.sim.advance(10s);
  w.sim.clock().jump_wall(24h * 365 * 56);  // the network's time
  w.sim.advance(40s);
  EXPECT_TRUE(w.queue->head(kOne)) << "56 years older by wall clock alone";
  EXPECT_EQ(w.queue->figures().clock_jumps, 1u);
  w.crash(sim::Crash::kPower);
  ASSERT_TRUE(w.open());
  EXPECT_TRUE(w.queue->head(kOne)) << "also after a restart";
  w.sim.clock().jump_wall(-24h * 30);
  w.sim.advance(23h);
  EXPECT_TRUE(w.queue->head(kOne));
  w.sim.advance(2h);
  EXPECT_FALSE(w.queue->head(kOne)) << "its day is over";
}

TEST(SpoolQueue, TimeSpentSwitchedOffCounts) {
  SpoolWorld w(9);
  ASSERT_TRUE(w.open());
  ASSERT_TRUE(*w.submit(w.fresh("a")));
  w.crash(sim::Crash::kPower);
  w.sim.advance(23h);
  ASSERT_TRUE(w.open());
  EXPECT_TRUE(w.queue->head(kOne));
  w.crash(sim::Crash::kPower);
  w.sim.advance(2h);
  ASSERT_TRUE(w.open());
  EXPECT_FALSE(w.queue->head(kOne));
}

TEST(SpoolQueue, TriesAreKeptAcrossRestarts) {
  SpoolWorld w(10);
  ASSERT_TRUE(w.open());
  ASSERT_TRUE(*w.submit(w.fresh("a")));
  w.queue->count_try(w.queue->head(kOne)->place);
  w.queue->count_try(w.queue->head(kOne)->place);
  w.sim.run_until_idle();
  w.crash(sim::Crash::kPower);
  ASSERT_TRUE(w.open());
  EXPECT_EQ(w.queue->tries_of(w.queue->head(kOne)->place), 2u);
}

TEST(SpoolQueue, QuarantineReplaysAndForgets) {
  SpoolWorld w(11);
  w.queue_options.max_quarantined = 3;
  ASSERT_TRUE(w.open());
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(*w.submit(w.fresh("m" + std::to_string(i))));
    w.queue->quarantine(w.queue->head(kOne)->place, kReasonTries, "a reason\r\nin two lines");
  }
  EXPECT_EQ(w.queue->figures().quarantine_forgotten, 2u);
  const auto first = w.queue->next_quarantined({});
  EXPECT_EQ(first->entry.submission.id, "m2");
  EXPECT_EQ(first->entry.reason, "tries a reason  in two lines");
  std::optional<Result<SpoolQueue::Accepted>> replayed;
  w.queue->replay(first->place, [&](Result<SpoolQueue::Accepted> r) { replayed = std::move(r); });
  w.sim.run_until_idle();
  ASSERT_TRUE(replayed && *replayed);
  EXPECT_EQ(w.queue->head(kOne)->entry.submission.id, "m2");
  EXPECT_TRUE(w.queue->discard(w.queue->next_quarantined({})->place));
  w.sim.run_until_idle();
  w.crash(sim::Crash::kPower);
  ASSERT_TRUE(w.open());
  EXPECT_EQ(w.queue->head(kOne)->entry.submission.id, "m2");
  EXPECT_EQ(w.queue->next_quarantined({})->entry.submission.id, "m4");
  EXPECT_FALSE(w.queue->next_quarantined(w.queue->next_quarantined({})->place.seq.next()));
}

TEST(SpoolQueue, WhatIsNoSubmissionIsKeptToo) {
  SpoolWorld w(12);
  ASSERT_TRUE(w.open());
  Submission broken;
  broken.subject = "17-x.msg with blanks";
  broken.payload = std::string("\x00\xff{", 3);
  std::optional<Result<SpoolQueue::Accepted>> kept;
  w.queue->submit_quarantined(broken, kReasonMalformed, "not a JSON object", [&](Result<SpoolQueue::Accepted> r) { kept = std::move(r); });
  w.sim.run_until_idle();
  ASSERT_TRUE(kept && *kept);
  const auto found = w.queue->next_quarantined({});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->entry.submission.payload, broken.payload);
  std::optional<Result<SpoolQueue::Accepted>> replayed;
  w.queue->replay(found->place, [&](Result<SpoolQueue::Accepted> r) { replayed = std::move(r); });
  w.sim.run_until_idle();
  EXPECT_EQ(replayed->error().code, Errc::kInvalidArgument) << "it has to stay";
  EXPECT_TRUE(w.queue->next_quarantined({}));
}

TEST(SpoolQueue, AFullDiskRefusesNewOnesWhileOldOnesLeave) {
  SpoolWorld w(13);
  w.queue_options.reserve_bytes = 1 * kMiB;
  ASSERT_TRUE(w.open());
  ASSERT_TRUE(*w.submit(w.fresh("first")));
  w.sim.disk().set_capacity(w.sim.disk().used_bytes() + 64 * kKiB);
  std::optional<Error> refusal;
  int accepted = 0;
  for (int i = 0; i < 4000 && !refusal; ++i) {
    auto s = w.fresh("m" + std::to_string(i), 2);
    s.payload.assign(8 * kKiB, 'x');
    auto answer = w.submit(std::move(s));
    w.sim.advance(1ms);
    if (answer && !*answer) refusal = answer->error();
    if (answer && *answer) ++accepted;
  }
  ASSERT_TRUE(refusal) << "a full disk must be noticed";
  EXPECT_EQ(refusal->code, Errc::kNoSpace);
  for (const char* told : {"the disk of the spool's folder", w.queue_options.dir.c_str(), "'limits.reserve'"})
    EXPECT_NE(refusal->detail.find(told), std::string::npos) << refusal->detail;
  const auto head = w.queue->head(kOne);
  ASSERT_TRUE(head);
  w.queue->remove(head->place);
  w.sim.disk().set_capacity(1ULL << 40);
  w.sim.advance(5s);
  EXPECT_EQ(w.queue->unsettled(kOne), 0u);
  EXPECT_TRUE(*w.submit(w.fresh("after"))) << "space came back";
  w.crash(sim::Crash::kPower);
  ASSERT_TRUE(w.open());
  EXPECT_GE(w.waiting(), static_cast<uint64_t>(accepted) + 1);
}

TEST(SpoolQueue, ABrokenDiskAnswersEverybody) {
  SpoolWorld w(14);
  ASSERT_TRUE(w.open());
  w.sim.run_until_idle();
  w.sim.disk().fail_next(sim::DiskOp::kSync, 1, Errc::kIo);
  auto answer = std::make_shared<std::optional<Result<SpoolQueue::Accepted>>>();
  w.queue->submit(w.fresh("a"), false, [answer](Result<SpoolQueue::Accepted> a) { *answer = std::move(a); });
  w.sim.advance(2s);
  ASSERT_TRUE(*answer);
  EXPECT_EQ((**answer).error().code, Errc::kIo);
  EXPECT_TRUE(w.queue->broken());
  EXPECT_EQ((*w.submit(w.fresh("b"))).error().code, Errc::kIo);
}

}  // namespace
}  // namespace sluice::test
