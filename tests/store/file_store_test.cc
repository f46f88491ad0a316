// The store on disk: recovery, retirement, failures.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "store/record_format.h"
#include "store_world.h"

namespace sluice {
namespace {

using sim::Crash;
using sim::DiskOp;

std::string body(int i) { return "payload-" + std::to_string(i) + std::string(static_cast<size_t>(std::abs(i) % 50), '.'); }

TEST(FileStore, CleanCloseAndReopen) {
  StoreWorld w;
  w.open();
  StreamStore& s = w.make("A");
  for (int i = 1; i <= 100; ++i) w.put(s, "s." + std::to_string(i % 7), body(i), i);
  s.remove(StreamSeq(50), false);
  s.skip(101, "skipped");
  w.store->update_stream_meta("A", "new meta");
  const StreamState before = s.state();
  w.close_and_open();
  EXPECT_EQ(w.store->streams().at(0).meta, "new meta");
  StreamStore& again = w.find("A");
  const StreamState after = again.state();
  EXPECT_EQ(after.messages, before.messages);
  EXPECT_EQ(after.bytes, before.bytes);
  EXPECT_EQ(after.first_seq, before.first_seq);
  EXPECT_EQ(after.last_seq, before.last_seq);
  EXPECT_EQ(after.last_time, before.last_time);
  EXPECT_EQ(after.num_deleted, before.num_deleted);
  EXPECT_EQ(after.num_subjects, 7u);
  EXPECT_EQ(again.load(StreamSeq(49))->payload, body(49));
  EXPECT_FALSE(again.load(StreamSeq(50)));
  EXPECT_EQ(w.put(again, "x", "y").value(), 102u);
  EXPECT_TRUE(w.store->recovery().notes.empty());
  std::vector<std::string> ids;
  again.each_msg_id(0, [&](std::string_view id, StreamSeq, WallNanos) { ids.emplace_back(id); });
  EXPECT_EQ(ids, std::vector<std::string>{"skipped"});
}

TEST(FileStore, SkippedRangesSurvive) {
  for (const Crash kind : {Crash::kKill, Crash::kPower}) {
    StoreWorld w;
    w.open();
    StreamStore& s = w.make("A");
    s.skip_to(StreamSeq(9), 1);
    w.put(s, "s", "ten");
    s.skip_to(StreamSeq(5000), 2);
    w.put(s, "s", "after");
    s.skip_to(StreamSeq(6000), 3);
    w.run();
    w.crash(kind);
    const StreamState state = w.find("A").state();
    EXPECT_EQ(state.messages, 2u);
    EXPECT_EQ(state.first_seq.value(), 10u);
    EXPECT_EQ(state.last_seq.value(), 6000u);
    EXPECT_EQ(state.num_deleted, 4990u + 999u);
    EXPECT_EQ(w.find("A").load(StreamSeq(5001))->payload, "after");
    EXPECT_EQ(w.store->recovery().lost_records, 0u);
  }
}

TEST(FileStore, LockedByAnother) {
  StoreWorld w;
  w.open();
  auto second = Store::open(w.sim.env(), w.options);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::kExists);
}

TEST(FileStore, AckedSurvivesKillAndPowerCut) {
  for (const Crash kind : {Crash::kKill, Crash::kPower}) {
    StoreWorld w;
    w.open();
    StreamStore& s = w.make("A");
    for (int i = 1; i <= 20; ++i) w.put(s, "s", body(i));
    bool durable = false;
    w.store->when_durable(s.last_commit(), [&] { durable = true; });
    EXPECT_FALSE(durable);
    w.run();
    EXPECT_TRUE(durable);
    for (int i = 21; i <= 25; ++i) w.put(s, "s", body(i));  // never written
    w.crash(kind);
    EXPECT_EQ(w.find("A").state().last_seq.value(), 20u);
    EXPECT_EQ(w.find("A").load(StreamSeq(20))->payload, body(20));
  }
}

TEST(FileStore, TornNewestBatchIsCutAndItsSequencesAreNotUsedAgain) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    StoreWorld w(seed);
    w.open();
    StreamStore& s = w.make("A");
    for (int i = 1; i <= 10; ++i) w.put(s, "s", body(i));
    w.run();
    for (int i = 11; i <= 200; ++i) w.put(s, "s", body(i));
    w.sim.disk().crash_after_ops(1 + seed % 2, Crash::kPower);
    w.run();
    w.sim.disk().power_on();
    w.crash(Crash::kPower);
    StreamStore& again = w.find("A");
    const StreamState state = again.state();
    EXPECT_TRUE(state.messages == 10 || state.messages == 200) << state.messages;
    EXPECT_EQ(w.store->recovery().lost_records, 0u);
    const uint64_t next = w.put(again, "s", "next").value();
    EXPECT_GT(next, 10u);
    w.run();
    w.crash(Crash::kPower);
    EXPECT_EQ(w.find("A").state().messages, state.messages + 1);
    EXPECT_EQ(w.find("A").load(StreamSeq(next))->payload, "next");
  }
}

// Zeros that are written, used once and removed would be a third write of each byte.
TEST(FileStore, FilesThatABurstMadeAreKeptForTheNextAndGivenBackAtRest) {
  StoreWorld w;
  w.open();
  StreamStore& s = w.make("A");
  const auto spares = [&] {
    size_t n = 0;
    for (const std::string& path : w.sim.disk().all_files("/data/journal")) n += path.find("spare") != std::string::npos ? 1 : 0;
    return n;
  };
  const auto burst = [&] {
    for (int i = 0; i < 1500; ++i) StoreWorld::put(s, "s", body(i) + std::string(1000, 'x'));
    w.run();
  };
  burst();
  const size_t kept = spares();
  EXPECT_GT(kept, 4u);
  EXPECT_LE(kept, 16u);
  const double written = w.figure("sluice_store_prewritten_bytes_total");
  burst();
  EXPECT_EQ(w.figure("sluice_store_prewritten_bytes_total"), written);
  w.sim.run_for(std::chrono::hours(1));
  EXPECT_EQ(spares(), 2u);
  for (uint64_t i = 1; i <= 3000; ++i) ASSERT_TRUE(s.load(StreamSeq(i))) << i;
}

// A kill leaves what the process wrote and named in the kernel. The next one may let a journal file go for a segment of which the
// power cut after it would take the name.
TEST(FileStore, APowerCutAfterAKillTakesNothing) {
  uint64_t kills = 0;
  for (uint64_t op = 1; op <= 60; ++op) {
    SCOPED_TRACE(op);
    StoreWorld w(op);
    w.open();
    StreamStore& s = w.make("A");
    const auto fill = [&](StreamStore& to, int from, int count) {
      for (int i = from; i < from + count; ++i) w.put(to, "s", body(i) + std::string(1000, 'x'));
    };
    fill(s, 1, 200);  // the next file makes a journal file retire
    w.run();
    w.sim.disk().crash_after_ops(op, Crash::kKill);
    fill(s, 201, 60);
    w.run();
    const bool killed = !w.sim.disk().powered();
    kills += killed ? 1 : 0;
    w.sim.disk().power_on();
    w.crash(Crash::kKill);
    const uint64_t seen = w.find("A").state().messages;
    EXPECT_GE(seen, 200u);
    w.run();
    w.crash(Crash::kPower);
    EXPECT_EQ(w.find("A").state().messages, seen);
    for (uint64_t i = 1; i <= seen; ++i) ASSERT_TRUE(w.find("A").load(StreamSeq(i))) << i;
  }
  EXPECT_GT(kills, 15u);
}

// A stream whose creation was cut left its high-water record behind; the next stream must not inherit it.
TEST(FileStore, StreamIdOfACutBatchIsNotUsedAgain) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    StoreWorld w(seed);
    w.open();
    StreamStore& s = w.make("A");
    w.run();
    for (int i = 1; i <= 50; ++i) w.put(s, "s", body(i));
    StreamStore& cut = *w.store->create_stream("cut", "{}", StreamSeq(45000)).value();
    for (int i = 1; i <= 50; ++i) w.put(cut, "s", body(i));
    w.sim.disk().crash_after_ops(1 + seed % 2, Crash::kPower);
    w.run();
    w.sim.disk().power_on();
    w.crash(Crash::kPower);
    w.put(w.make("B"), "b", "first");
    w.run();
    w.crash(Crash::kPower);
    EXPECT_EQ(w.find("B").state().last_seq.value(), 1u);
  }
}

TEST(FileStore, EveryFlippedBitOfAnOlderBatchLosesAtMostItsRecord) {
  StoreWorld w;
  w.open();
  StreamStore& s = w.make("A");
  w.run();
  for (int round = 0; round < 4; ++round) {
    for (int i = 1; i <= 3; ++i) w.put(s, "s", body(round * 3 + i));
    w.run();
  }
  const std::string journal = w.newest_journal();
  bool closed = false;
  w.store->close([&](Status) { closed = true; });
  w.run();
  ASSERT_TRUE(closed);
  w.store.reset();
  const std::string whole = *w.sim.disk().contents(journal);
  uint64_t tried = 0;
  for (uint64_t offset = 0; offset < whole.size(); ++offset) {
    const bool in_use = whole[offset] != 0 || offset % 509 == 0;
    if (!in_use) continue;
    SCOPED_TRACE(offset);
    ++tried;
    const unsigned bit = static_cast<unsigned>(offset * 7 % 8);
    ASSERT_TRUE(w.sim.disk().flip_bit(journal, offset, bit));
    w.open();
    StreamStore& again = w.find("A");
    uint64_t good = 0, missing = 0;
    for (int i = 1; i <= 12; ++i) {
      if (auto m = again.load(StreamSeq(static_cast<uint64_t>(i)))) {
        ++good;
        ASSERT_EQ(m->payload, body(i));
      } else {
        missing = static_cast<uint64_t>(i);
      }
    }
    ASSERT_GE(good, 11u);
    ASSERT_EQ(again.state().last_seq.value(), 12u);
    if (good == 11) {
      ASSERT_EQ(w.store->recovery().lost_records, 1u);
      // The newest of a stream has nothing behind it: its sequence is named as given out.
      ASSERT_EQ(again.lost().size(), missing == 12 ? 0u : 1u);
      ASSERT_EQ(again.lost().contains(missing), missing != 12);
    } else {
      ASSERT_TRUE(again.lost().empty());
    }
    w.store.reset();
    w.sim.drop_tasks();
    ASSERT_TRUE(w.sim.disk().flip_bit(journal, offset, bit));
  }
  EXPECT_GT(tried, 500u);
}

/// A skip of a mirror may stand for any number of sequences: one bit in it must not hold up the start.
TEST(FileStore, DamageToAWideGapIsToldAtOnce) {
  constexpr uint64_t kFar = uint64_t{1} << 28;
  StoreWorld w;
  w.open();
  StreamStore& s = w.make("A");
  w.put(s, "s", body(1));
  w.run();
  const std::string journal = w.newest_journal();
  const std::string before = *w.sim.disk().contents(journal);
  s.skip_to(StreamSeq(kFar), 1);
  w.run();
  const std::string after = *w.sim.disk().contents(journal);
  const auto batch = static_cast<uint64_t>(std::ranges::mismatch(before, after).in2 - after.begin());
  ASSERT_EQ(batch % format::kBlock, 0u);
  w.put(s, "s", body(2));
  w.run();
  w.store->close([](Status) {});
  w.run();
  w.store.reset();
  ASSERT_TRUE(w.sim.disk().flip_bit(journal, batch + format::kBatchHeader + 16, 1));
  w.open();
  const StreamStore& again = w.find("A");
  EXPECT_EQ(again.lost().ranges(), (std::map<uint64_t, uint64_t>{{2, kFar}}));
  EXPECT_EQ(w.find("A").load(StreamSeq(kFar + 1))->payload, body(2));
}

TEST(FileStore, DamageInTheJournalIsToldBySequence) {
  StoreWorld w;
  w.open();
  StreamStore& s = w.make("A");
  StreamStore& other = w.make("B");
  w.run();
  for (int i = 1; i <= 8; ++i) {
    w.put(s, "s", body(i));
    w.put(other, "o", "other");
    w.run();
  }
  ASSERT_TRUE(s.remove(StreamSeq(6), false));
  w.put(s, "s", body(9));
  w.run();
  const std::string journal = w.newest_journal();
  w.store->close([](Status) {});
  w.run();
  w.store.reset();
  const std::string whole = *w.sim.disk().contents(journal);
  for (const int i : {3, 4, 6}) ASSERT_TRUE(w.sim.disk().flip_bit(journal, whole.find(body(i)), 1));
  w.open();
  const StreamStore& again = w.find("A");
  EXPECT_EQ(again.lost().ranges(), (std::map<uint64_t, uint64_t>{{3, 4}})) << "6 had been removed";
  EXPECT_TRUE(w.find("B").lost().empty());
  const auto& notes = w.store->recovery().notes;
  EXPECT_TRUE(std::ranges::find(notes, "stream A lost 2 messages to damage: 3-4") != notes.end());
}

TEST(FileStore, ConsumersMetaDeltasAndSnapshots) {
  StoreWorld w;
  w.open();
  w.make("A");
  const ConsumerKey one = w.store->put_consumer("A", "one", "m1");
  const ConsumerKey two = w.store->put_consumer("A", "two", "m2");
  w.store->append_consumer_delta(one, "d1");
  w.store->append_consumer_delta(one, "d2");
  w.store->append_consumer_delta(two, "x");
  w.store->delete_consumer(two);
  EXPECT_EQ(w.store->put_consumer("A", "one", "m1b"), one);
  w.run();
  w.crash(Crash::kPower);
  auto consumers = w.store->consumers("A");
  ASSERT_EQ(consumers.size(), 1u);
  EXPECT_EQ(consumers[0].key, one);
  EXPECT_EQ(consumers[0].meta, "m1b");
  EXPECT_EQ(consumers[0].deltas, (std::vector<std::string>{"d1", "d2"}));
  EXPECT_NE(w.store->put_consumer("A", "three", "m3"), two);
  w.store->delete_stream("A");
  w.run();
  w.crash(Crash::kKill);
  EXPECT_TRUE(w.store->streams().empty());
  w.make("A");
  EXPECT_TRUE(w.store->consumers("A").empty());
  EXPECT_EQ(w.find("A").state().messages, 0u);
}

// Long work over small files: retirement copies, recycles and restates while appends go on.
TEST(FileStore, RetiresWhileAppendingAndRecoversEverything) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    StoreWorld w(seed);
    w.sim.disk_workers().set_latency(std::chrono::microseconds(10), std::chrono::milliseconds(2));
    w.open();
    const auto source = [](ConsumerKey) { return std::string("snapshot"); };
    w.store->set_consumer_snapshot_source(source);
    const int streams = 5;
    std::map<std::string, std::map<uint64_t, std::string>> model;
    for (int i = 0; i < streams; ++i) w.make("S" + std::to_string(i));
    const ConsumerKey key = w.store->put_consumer("S0", "c", "meta");
    w.store->append_consumer_delta(key, "delta");
    w.make("quiet");
    w.put(w.find("quiet"), "q", "still here");
    auto& random = w.sim.random();
    for (int step = 0; step < 6000; ++step) {
      const std::string name = "S" + std::to_string(random.below(streams));
      StreamStore& s = w.find(name);
      auto& m = model[name];
      if (random.below(3) != 0 || m.empty()) {
        const std::string text = name + body(step);
        m[w.put(s, "k." + std::to_string(random.below(20)), text, step).value()] = text;
      } else {
        auto it = m.begin();
        std::advance(it, static_cast<long>(random.below(std::min<uint64_t>(m.size(), 40))));
        ASSERT_TRUE(s.remove(StreamSeq(it->first), random.below(20) == 0));
        m.erase(it);
      }
      if (step % 10 == 0) w.sim.run_round();
      if (step % 50 == 0) w.sim.advance(std::chrono::milliseconds(3));
      if (step % 2000 == 1999) {
        w.sim.settle();
        w.crash(step % 4000 == 1999 ? Crash::kPower : Crash::kKill);
        w.store->set_consumer_snapshot_source(source);
      }
    }
    w.sim.settle();
    ASSERT_FALSE(w.store->failed());
    EXPECT_GT(w.count_files(".seg"), 0u);
    EXPECT_LT(w.count_files(".jnl"), 12u);
    w.crash(Crash::kPower);
    for (const auto& note : w.store->recovery().notes) ADD_FAILURE() << note;
    for (const auto& [name, messages] : model) {
      StreamStore& s = w.find(name);
      ASSERT_EQ(s.state().messages, messages.size()) << name;
      for (const auto& [number, text] : messages) {
        const auto found = s.load(StreamSeq(number));
        ASSERT_TRUE(found) << name << " " << number;
        ASSERT_EQ(found->payload, text);
      }
    }
    EXPECT_EQ(w.find("quiet").load(StreamSeq(1))->payload, "still here");
    const auto consumers = w.store->consumers("S0");
    ASSERT_EQ(consumers.size(), 1u);
    EXPECT_EQ(consumers[0].snapshot, "snapshot");
    EXPECT_EQ(consumers[0].key, key);
  }
}

TEST(FileStore, WorkQueueLeavesNoSegments) {
  StoreWorld w;
  w.open();
  StreamStore& s = w.make("Q");
  for (int i = 1; i <= 5000; ++i) {
    w.put(s, "job", body(i));
    if (i > 5) {
      ASSERT_TRUE(s.remove(StreamSeq(static_cast<uint64_t>(i - 5)), false));
    }
    if (i % 20 == 0) w.run();
  }
  w.run();
  EXPECT_LE(w.count_files(".seg"), 1u);
  EXPECT_LE(w.count_files(".jnl"), 6u);
  w.crash(Crash::kPower);
  EXPECT_EQ(w.find("Q").state().messages, 5u);
  EXPECT_EQ(w.find("Q").state().first_seq.value(), 4996u);
}

TEST(FileStore, RemovalsOfARoundShareARecord) {
  for (const bool in_order : {true, false}) {
    SCOPED_TRACE(in_order);
    StoreWorld w;
    w.open();
    StreamStore& s = w.make("Q");
    for (int i = 1; i <= 200; ++i) w.put(s, "job", body(i));
    w.run();
    const double before = w.figure("sluice_store_journal_written_bytes_total");
    for (uint64_t i = 0; i < 199; ++i) {
      ASSERT_TRUE(s.remove(StreamSeq(in_order ? i + 1 : i * 97 % 199 + 1), false));
    }
    w.run();
    EXPECT_LE(w.figure("sluice_store_journal_written_bytes_total") - before, 2 * 4096);  // 48 bytes each would be 9,552
    w.crash(Crash::kPower);
    EXPECT_EQ(w.find("Q").state().messages, 1u);
    EXPECT_EQ(w.find("Q").state().first_seq.value(), 200u);
  }
}

TEST(FileStore, ARemovalSpeaksOnlyOfMessagesBeforeIt) {
  StoreWorld w;
  w.open();
  StreamStore& s = w.make("Q");
  for (uint64_t i = 1; i <= 50; ++i) {  // all in one batch
    w.put(s, "job", "short-lived");
    ASSERT_TRUE(s.remove(StreamSeq(i), false));
  }
  w.run();
  w.crash(Crash::kPower);
  EXPECT_EQ(w.find("Q").state().messages, 0u);
  EXPECT_EQ(w.find("Q").state().last_seq.value(), 50u);
}

TEST(FileStore, DeletedStreamStaysDeletedAfterRetirement) {
  StoreWorld w;
  w.open();
  w.store->set_consumer_snapshot_source([](ConsumerKey) { return std::string("s"); });
  StreamStore& gone = w.make("gone");
  StreamStore& s = w.make("S");
  for (int i = 1; i <= 3000; ++i) {
    w.put(s, "s", body(i));
    if (i <= 300) w.put(gone, "g", body(i));
    if (i == 2000) w.store->delete_stream("gone");
    if (i % 20 == 0) w.run();
  }
  for (int i = 0; i < 3; ++i) {
    w.crash(Crash::kPower);
    EXPECT_EQ(w.store->find_stream("gone"), nullptr);
    EXPECT_TRUE(w.store->recovery().notes.empty());
    EXPECT_EQ(w.find("S").state().messages, 3000u);
  }
}

TEST(FileStore, ManyStreams) {
  StoreWorld w;
  w.open();
  for (int i = 0; i < 1000; ++i) w.put(w.make("S" + std::to_string(i)), "s", body(i));
  w.run();
  w.crash(Crash::kPower);
  EXPECT_EQ(w.store->streams().size(), 1000u);
  for (int i = 0; i < 1000; i += 37) EXPECT_EQ(w.find("S" + std::to_string(i)).load(StreamSeq(1))->payload, body(i));
}

TEST(FileStore, MessageLargerThanAFile) {
  StoreWorld w;
  w.open();
  StreamStore& s = w.make("A");
  const std::string big(300 * kKiB, 'B');
  w.put(s, "small", "1");
  w.put(s, "big", big);
  w.put(s, "small", "3");
  w.run();
  w.crash(Crash::kPower);
  EXPECT_EQ(w.find("A").load(StreamSeq(2))->payload, big);
  EXPECT_EQ(w.find("A").load(StreamSeq(3))->payload, "3");
}

TEST(FileStore, FailedSyncIsForGood) {
  StoreWorld w;
  w.open();
  StreamStore& s = w.make("A");
  w.run();
  w.put(s, "s", "lost");
  bool durable = false;
  w.store->when_durable(s.last_commit(), [&] { durable = true; });
  w.sim.disk().fail_next(DiskOp::kSync, 1, Errc::kIo);
  w.run();
  EXPECT_TRUE(w.store->failed());
  EXPECT_FALSE(durable);
  ASSERT_FALSE(w.store->writable());
  EXPECT_EQ(w.store->writable().error().code, Errc::kIo);
  EXPECT_EQ(w.put(s, "s", "refused").value(), 0u);
  Status closed;
  w.store->close([&](Status result) { closed = std::move(result); });
  w.run();
  EXPECT_FALSE(closed);
}

TEST(FileStore, FullDiskRefusesMessagesAndComesBack) {
  StoreWorld w;
  w.open();
  StreamStore& s = w.make("A");
  w.store->set_consumer_snapshot_source([](ConsumerKey) { return std::string("s"); });
  w.run();
  w.sim.disk().set_capacity(w.sim.disk().used_bytes() + 100 * kKiB);
  int written = 0;
  while (w.store->writable() && written < 10000) {
    w.put(s, "s", body(++written));
    if (written % 10 == 0) w.run();
  }
  ASSERT_LT(written, 10000);
  EXPECT_EQ(w.store->writable().error().code, Errc::kNoSpace);
  EXPECT_EQ(w.store->writable().error().detail, "the disk of /data is full: make room");
  EXPECT_FALSE(w.store->failed());
  bool removed = false;
  s.remove(StreamSeq(1), false);
  w.store->when_durable(s.last_commit(), [&] { removed = true; });
  w.run();
  EXPECT_TRUE(removed);
  w.sim.disk().set_capacity(1ULL << 30);
  w.sim.advance(std::chrono::seconds(2));
  EXPECT_TRUE(w.store->writable());
  w.put(s, "s", "after");
  w.run();
  w.crash(Crash::kPower);
  EXPECT_EQ(w.find("A").state().messages, static_cast<uint64_t>(written));
}

TEST(FileStore, WhatIsFullIsNamed) {
  StoreWorld w;
  w.options.max_bytes = 400 * kKiB;
  w.open();
  StreamStore& s = w.make("A");
  w.store->set_consumer_snapshot_source([](ConsumerKey) { return std::string("s"); });
  std::string told;
  w.store->on_event([&](const StoreEvent& event) {
    if (event.kind == StoreEvent::Kind::kNoSpace) told = event.detail;
  });
  for (int i = 0; i < 4000 && w.store->writable(); ++i) {
    w.put(s, "s", body(i) + std::string(500, 'x'));
    if (i % 10 == 0) w.run();
  }
  ASSERT_FALSE(w.store->writable());
  EXPECT_NE(told.find("and may have 409600 (store.max_size): raise it, or remove messages"), std::string::npos) << told;
  EXPECT_EQ(w.store->writable().error().detail.find("disk"), std::string::npos) << w.store->writable().error().detail;

  StoreWorld tight;
  tight.options.reserve_bytes = 100 * kKiB;
  tight.sim.disk().set_capacity(1 * kMiB);
  tight.open();
  StreamStore& t = tight.make("A");
  tight.store->set_consumer_snapshot_source([](ConsumerKey) { return std::string("s"); });
  for (int i = 0; i < 4000 && tight.store->writable(); ++i) {
    tight.put(t, "s", body(i) + std::string(500, 'x'));
    if (i % 10 == 0) tight.run();
  }
  ASSERT_FALSE(tight.store->writable());
  EXPECT_NE(tight.store->writable().error().detail.find("of which 102400 are kept back (store.reserve): make room"), std::string::npos)
      << tight.store->writable().error().detail;
}

TEST(FileStore, EraseLeavesNoBytes) {
  StoreWorld w;
  w.open();
  StreamStore& s = w.make("A");
  w.put(s, "s", "keep");
  w.put(s, "s", "TOP-SECRET-BYTES");
  w.run();
  EXPECT_TRUE(s.remove(StreamSeq(2), true));
  w.run();
  for (const std::string& path : w.sim.disk().all_files("/data")) {
    EXPECT_EQ(w.sim.disk().contents(path)->find("TOP-SECRET"), std::string::npos) << path;
  }
  w.crash(Crash::kPower);
  EXPECT_EQ(w.store->recovery().lost_records, 0u);
  EXPECT_EQ(w.find("A").state().messages, 1u);
  EXPECT_EQ(w.find("A").load(StreamSeq(1))->payload, "keep");
}

TEST(FileStore, NewerFormatIsRefused) {
  StoreWorld w;
  w.open();
  w.make("A");
  w.run();
  w.store.reset();
  w.sim.drop_tasks();
  const std::string journal = w.newest_journal();
  auto file = w.sim.disk().open(journal, OpenMode::kReadWrite).value();
  std::vector<std::byte> head(4096);
  ASSERT_TRUE(file->read_at(0, head));
  auto header = format::decode_file_header(head, format::kJournalMagic);
  ASSERT_TRUE(header);
  header->version = 99;
  format::encode_file_header(head.data(), *header);
  ASSERT_TRUE(file->write_at(0, head));
  auto opened = Store::open(w.sim.env(), w.options);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Errc::kUnsupported);
}

TEST(FileStore, IntervalAndNoneAckFromTheKernel) {
  for (const SyncMode mode : {SyncMode::kInterval, SyncMode::kNone}) {
    StoreWorld w;
    w.options.sync = mode;
    w.options.sync_interval = std::chrono::seconds(1);
    w.open();
    StreamStore& s = w.make("A");
    w.run();  // the next spare file is written, and synced, in the background
    const uint64_t syncs = w.sim.disk().ops(DiskOp::kSync);
    w.put(s, "s", "x");
    w.run();
    EXPECT_EQ(w.store->durable(), w.store->last_commit());
    EXPECT_EQ(w.sim.disk().ops(DiskOp::kSync), syncs);
    w.crash(Crash::kKill);
    EXPECT_EQ(w.find("A").state().messages, 1u);
    w.close_and_open();
    EXPECT_EQ(w.find("A").state().messages, 1u);
  }
}

TEST(FileStore, NeighboursAreReadFromWhatIsHeld) {
  StoreWorld w;
  w.open();
  StreamStore& s = w.make("A");
  StreamStore& other = w.make("B");
  for (int i = 1; i <= 3000; ++i) {
    w.put(s, "s", body(i), i);
    if (i % 100 == 0) w.put(other, "o", body(-i), i);
  }
  w.close_and_open();
  StreamStore& again = w.find("A");
  StreamStore& beside = w.find("B");
  for (int i = 1; i <= 3000; ++i) {
    const auto message = again.load_next(StreamSeq(static_cast<uint64_t>(i)), "");
    ASSERT_TRUE(message);
    // Neither figures nor a removal's look at its message take the bytes away.
    ASSERT_EQ(beside.state().first_seq.value(), 1u);
    ASSERT_EQ(again.state().messages, 3000u);
    ASSERT_EQ(message->payload, body(i));
    ASSERT_EQ(message->time, i);
    if (i % 100 != 0) continue;
    ASSERT_EQ(beside.load(StreamSeq(static_cast<uint64_t>(i / 100)))->payload, body(-i));
  }
  EXPECT_LT(w.figure("sluice_store_cache_hits_total") + w.figure("sluice_store_cache_misses_total"), 1000);
  EXPECT_EQ(again.load(StreamSeq(7))->payload, body(7));
  ASSERT_TRUE(again.remove(StreamSeq(8), false));
  EXPECT_FALSE(again.load(StreamSeq(8)));
  EXPECT_EQ(again.load(StreamSeq(9))->payload, body(9));
  EXPECT_EQ(again.load(StreamSeq(6))->payload, body(6));
}

}  // namespace
}  // namespace sluice
