// The index of old messages: read from segments when asked for, made again when it is damaged.
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "store/message_index.h"
#include "store_world.h"

namespace sluice {
namespace {

using sim::Crash;

std::string body(uint64_t i) { return "payload-" + std::to_string(i) + std::string(i % 50, '.'); }

/// Appends until everything up to `count` has been retired to segments.
void fill(StoreWorld& w, const std::string& name, uint64_t count) {
  StreamStore& s = w.make(name);
  for (uint64_t i = 1; i <= count; ++i) {
    w.put(s, "k." + std::to_string(i % 7), body(i), static_cast<WallNanos>(i));
    if (i % 50 == 0) w.run();
  }
  StreamStore& ballast = w.make("ballast");
  for (int i = 0; i < 40; ++i) {
    w.put(ballast, "b", std::string(8000, 'b'));
    w.run();
    ballast.remove(ballast.state().last_seq, false);
    w.run();
  }
}

TEST(ColdIndex, OpeningReadsSummariesOnly) {
  StoreWorld w;
  w.open();
  fill(w, "A", 20000);
  w.crash(Crash::kPower);
  EXPECT_EQ(w.figure("sluice_store_index_loads_total"), 0);
  StreamStore& s = w.find("A");
  EXPECT_EQ(s.state().messages, 20000u);
  EXPECT_EQ(s.state().num_subjects, 7u);
  EXPECT_EQ(s.subject_state("k.3")->count, 2857u);
  EXPECT_EQ(s.load(StreamSeq(10000))->payload, body(10000));
  const double after_one = w.figure("sluice_store_index_loads_total");
  EXPECT_LE(after_one, 3);  // state() looked at the first message's time
  EXPECT_GE(after_one, 1);
}

TEST(ColdIndex, ReadsRemovesAndSurvivesWithASmallCache) {
  StoreWorld w;
  w.options.cache_bytes = 128 * kKiB;
  w.open();
  fill(w, "A", 20000);
  StreamStore* s = &w.find("A");
  std::map<uint64_t, bool> removed;
  auto& random = w.sim.random();
  for (int step = 0; step < 3000; ++step) {
    const uint64_t seq = random.between(1, 20000);
    const auto found = s->load(StreamSeq(seq));
    ASSERT_EQ(found.has_value(), !removed.contains(seq)) << seq;
    if (!found) continue;
    ASSERT_EQ(found->payload, body(seq));
    ASSERT_TRUE(s->remove(StreamSeq(seq), false));
    removed[seq] = true;
    if (step % 20 == 0) w.run();
    if (step == 1500) {
      w.run();
      w.crash(Crash::kPower);
      s = &w.find("A");
    }
  }
  w.run();
  w.crash(Crash::kKill);
  s = &w.find("A");
  EXPECT_EQ(s->state().messages, 20000 - removed.size());
  for (uint64_t seq = 1; seq <= 20000; ++seq) ASSERT_EQ(s->load(StreamSeq(seq)).has_value(), !removed.contains(seq)) << seq;
  uint64_t per_subject = 0;
  for (int k = 0; k < 7; ++k) per_subject += s->subject_state("k." + std::to_string(k))->count;
  EXPECT_EQ(per_subject, s->state().messages);
}

TEST(ColdIndex, PurgedPartOfASegmentStaysPurged) {
  StoreWorld w;
  w.open();
  fill(w, "A", 5000);
  EXPECT_EQ(w.find("A").purge_below(StreamSeq(1234)), 1233u);
  w.run();
  w.crash(Crash::kPower);
  StreamStore& s = w.find("A");
  EXPECT_EQ(s.state().first_seq.value(), 1234u);
  EXPECT_EQ(s.state().messages, 3767u);
  uint64_t counted = 0;
  s.each_subject(">", [&](std::string_view, const SubjectState& state) {
    counted += state.count;
    EXPECT_GE(state.first.value(), 1234u);
    return true;
  });
  EXPECT_EQ(counted, 3767u);
}

// Index pages, summary and trailers are hints: without any of them all records are found again.
TEST(ColdIndex, DamagedIndexIsMadeAgain) {
  StoreWorld w;
  w.open();
  fill(w, "A", 3000);
  bool closed = false;
  w.store->close([&](Status) { closed = true; });
  w.run();
  ASSERT_TRUE(closed);
  w.store.reset();
  uint64_t segments = 0;
  for (const std::string& path : w.sim.disk().all_files("/data/segments")) {
    ++segments;
    const uint64_t size = *w.sim.disk().file_size(path);
    auto file = w.sim.disk().open(path, OpenMode::kReadWrite).value();
    const std::vector<std::byte> zeros(size / 4);  // index, summary, parity, tables and trailers of a segment of small records
    ASSERT_TRUE(file->write_at(size - zeros.size(), zeros));
  }
  ASSERT_GT(segments, 0u);
  w.open();
  StreamStore& s = w.find("A");
  EXPECT_FALSE(w.store->recovery().notes.empty());
  uint64_t found = 0;
  for (uint64_t seq = 1; seq <= 3000; ++seq) {
    if (const auto m = s.load(StreamSeq(seq))) {
      ++found;
      ASSERT_EQ(m->payload, body(seq));
    }
  }
  EXPECT_EQ(found, s.state().messages);
  EXPECT_GT(found, 2000u);
  w.sim.settle();  // segments without an index are written again
  w.close_and_open();
  EXPECT_TRUE(w.store->recovery().notes.empty());
  EXPECT_EQ(w.find("A").state().messages, found);
}

/// Places as a stream would tell them: of even sequences below 10,000.
struct EvenPlaces : ColdPlaces {
  bool load_places(uint64_t first, std::span<MessagePlace> places) override {
    for (size_t i = 0; i < places.size(); ++i) {
      const uint64_t seq = first + i;
      if (seq % 2 == 0 && seq < 10000 && seq != 0 && !gone.contains(seq)) {
        places[i] = MessagePlace::on_file(7, seq * 8, 40, true, static_cast<uint32_t>(seq));
      }
    }
    return first != unreadable;
  }
  std::map<uint64_t, bool> gone;
  uint64_t unreadable = UINT64_MAX;  ///< first sequence of the chunk that can't be read now
};

TEST(MessageIndex, WhatCannotBeReadNowIsNotSkipped) {
  EvenPlaces places;
  ColdCache cache(16);
  MessageIndex index;
  index.use_cold(places, cache);
  for (uint64_t seq = 2; seq < 10000; seq += 2) index.add_cold(seq, seq);
  places.unreadable = 2 * MessageIndex::kChunk;
  EXPECT_EQ(index.next(511), 0u);
  EXPECT_EQ(index.next(510), 510u);
  EXPECT_EQ(index.prev(767), 0u);
  EXPECT_EQ(index.prev(768), 768u);
  EXPECT_EQ(index.size(), 4999u) << "nothing is given up";
  places.unreadable = UINT64_MAX;
  EXPECT_EQ(index.next(511), 512u);
  EXPECT_EQ(index.prev(767), 766u);
}

TEST(MessageIndex, ColdAndYoungMix) {
  EvenPlaces places;
  ColdCache cache(16);
  MessageIndex index;
  index.use_cold(places, cache);
  for (uint64_t seq = 2; seq < 10000; seq += 2) index.add_cold(seq, seq);
  EXPECT_EQ(index.chunks_in_memory(), 0u);
  EXPECT_EQ(index.size(), 4999u);
  for (uint64_t seq = 10001; seq <= 10100; ++seq) index.put(seq, MessagePlace::on_file(9, seq * 8, 50, false, 1));
  uint64_t seen = 0;
  for (uint64_t s = index.next(0); s != 0; s = index.next(s + 1)) ++seen;
  EXPECT_EQ(seen, 5099u);
  EXPECT_LE(index.chunks_in_memory(), 18u);
  EXPECT_EQ(index.prev(10000), 9998u);
  EXPECT_EQ(index.find(4000)->offset8, 4000u);
  EXPECT_EQ(index.find(4001), nullptr);
  places.gone[4000] = true;
  EXPECT_TRUE(index.erase(4000));
  EXPECT_EQ(index.find(4000), nullptr);
  EXPECT_EQ(index.next(3999), 4002u);
  // The young ones move to a segment that tells the even ones of them; the rest is given up before, as the store does.
  for (uint64_t seq = 10001; seq <= 10100; ++seq) ASSERT_TRUE(index.erase(seq));
  EXPECT_EQ(index.size(), 4998u);
  EXPECT_LE(index.chunks_in_memory(), 18u);
}

TEST(MessageIndex, HolesCostNothing) {
  EvenPlaces places;
  ColdCache cache(16);
  MessageIndex index;
  index.use_cold(places, cache);
  std::map<uint64_t, bool> model;
  const auto check = [&] {
    uint64_t at = 0;
    for (const auto& [seq, there] : model) {
      ASSERT_EQ(index.next(at), seq);
      ASSERT_EQ(index.prev(seq), seq);
      ASSERT_EQ(index.prev(seq - 1), at == 0 ? 0 : at - 1) << seq;
      at = seq + 1;
    }
    ASSERT_EQ(index.next(at), 0u);
    ASSERT_EQ(index.prev(UINT64_MAX), at == 0 ? 0 : at - 1);
    ASSERT_EQ(index.size(), model.size());
  };
  uint64_t draw = 99;
  for (int step = 0; step < 600; ++step) {
    draw = draw * 6364136223846793005u + 1442695040888963407u;
    // Neighbours, chunks near and far, in no order; beyond what is cold.
    const uint64_t seq = 20001 + ((draw >> 20) >> (draw % 44));
    if (step % 3 == 2 && !model.empty()) {
      auto at = model.lower_bound(seq);
      if (at == model.end()) --at;
      const uint64_t gone = at->first;
      ASSERT_TRUE(index.erase(gone));
      model.erase(gone);
    } else {
      index.put(seq, MessagePlace::on_file(9, seq % 100000 * 8, 50, false, 1));
      model[seq] = true;
    }
    if (step % 20 == 0) check();
  }
  check();
  for (const uint64_t seq : {uint64_t{2}, uint64_t{9998}}) {
    index.add_cold(seq, seq);
    model[seq] = true;
  }
  places.gone.clear();
  for (uint64_t seq = 4; seq < 512; seq += 2) places.gone[seq] = true;
  for (uint64_t seq = 9728; seq < 9998; seq += 2) places.gone[seq] = true;
  check();
}

/// The newest chunk lies in a segment whose index can't be read just now, and a message comes.
TEST(MessageIndex, AMessageBesideOnesThatCannotBeReadNow) {
  EvenPlaces places;
  ColdCache cache(16);
  MessageIndex index;
  index.use_cold(places, cache);
  for (uint64_t seq = 2; seq < 600; seq += 2) index.add_cold(seq, seq);
  for (uint64_t seq = 600; seq < 10000; seq += 2) places.gone[seq] = true;
  places.unreadable = 2 * MessageIndex::kChunk;
  index.put(601, MessagePlace::on_file(9, 80, 50, false, 1));
  EXPECT_EQ(index.size(), 300u);
  EXPECT_EQ(index.find(601)->file, 9u);
  EXPECT_EQ(index.find(598), nullptr);
  EXPECT_EQ(index.next(511), 0u) << "what can't be read now is not skipped";
  EXPECT_EQ(index.prev(601), 601u);
  EXPECT_EQ(index.prev(600), 0u);
  places.unreadable = UINT64_MAX;
  EXPECT_EQ(index.next(511), 512u);
  EXPECT_EQ(index.prev(600), 598u);
  EXPECT_TRUE(index.erase(601));
  EXPECT_EQ(index.prev(700), 598u);
  EXPECT_EQ(index.size(), 299u);
}

}  // namespace
}  // namespace sluice
