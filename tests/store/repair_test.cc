// Damage in segments is mended from parity, by readers and by the scrub; what can't be is lost by exact sequence.
// Erased bytes are gone everywhere and stay gone.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "store/packed.h"
#include "store/segment.h"
#include "store_world.h"

namespace sluice {
namespace {

using sim::Crash;

std::string body(uint64_t i) { return "payload-" + std::to_string(i) + std::string(i % 50, '.'); }

struct RepairWorld : StoreWorld {
  explicit RepairWorld(uint64_t seed = 1) : StoreWorld(seed) {
    options.scrub_bytes_per_second = kMiB;
    options.scrub_every = std::chrono::seconds(10);
  }
  /// `count` messages in segments, one of them secret.
  void fill(uint64_t count, uint64_t secret = 0) {
    open();
    StreamStore& s = make("A");
    for (uint64_t i = 1; i <= count; ++i) {
      put(s, "k." + std::to_string(i % 7), i == secret ? "TOP-SECRET-BYTES" : body(i));
      if (i % 50 == 0) run();
    }
    StreamStore& ballast = make("ballast");
    for (uint64_t i = 0; i < 5 * options.journal_file_bytes / 8000; ++i) {
      put(ballast, "b", std::string(8000, 'b'));
      run();
      ballast.remove(ballast.state().last_seq, false);
      run();
    }
  }
  std::vector<std::string> segments() { return sim.disk().all_files("/data/segments"); }
  bool secret_on_disk() {
    for (const std::string& path : sim.disk().all_files("/data")) {
      if (sim.disk().contents(path)->find("TOP-SECRET") != std::string::npos) return true;
    }
    return false;
  }
  uint64_t store_id(const std::string& path) {
    const std::string whole = *sim.disk().contents(path);
    return format::decode_file_header(std::as_bytes(std::span(whole)).first(format::kBlock), format::kSegmentMagic)->store_id;
  }
};

TEST(Repair, AReaderMendsAFlippedBit) {
  RepairWorld w;
  w.options.scrub_bytes_per_second = 0;
  w.fill(2000);
  ASSERT_FALSE(w.segments().empty());
  std::vector<StoreEvent> events;
  w.store->on_event([&](const StoreEvent& e) { events.push_back(e); });
  const std::string path = w.segments().front();
  const std::string before = *w.sim.disk().contents(path);
  for (uint64_t offset = 4096 + 60; offset < before.size() / 2; offset += 9000) ASSERT_TRUE(w.sim.disk().flip_bit(path, offset, 3));
  w.close_and_open();
  StreamStore& s = w.find("A");
  for (uint64_t i = 1; i <= 2000; ++i) {
    const auto m = s.load(StreamSeq(i));
    ASSERT_TRUE(m) << i;
    ASSERT_EQ(m->payload, body(i));
  }
  EXPECT_GT(w.figure("sluice_store_pages_repaired_total"), 3);
  EXPECT_TRUE(s.lost().empty());
}

TEST(Repair, TheScrubMendsEveryByteOfASegment) {
  RepairWorld w;
  w.fill(600);
  const std::string path = w.segments().front();
  const std::string before = *w.sim.disk().contents(path);
  uint64_t repaired = 0;
  w.store->on_event([&](const StoreEvent& e) { repaired += e.kind == StoreEvent::Kind::kRepaired ? 1 : 0; });
  for (uint64_t offset = 1; offset < before.size(); offset += 4096 + 517) {
    ASSERT_TRUE(w.sim.disk().flip_bit(path, offset, static_cast<unsigned>(offset % 8)));
    w.sim.advance(std::chrono::seconds(30));
    ASSERT_TRUE(*w.sim.disk().contents(path) == before) << offset;  // not EQ: it would print the file
  }
  EXPECT_GT(repaired, 10u);
  EXPECT_GT(w.figure("sluice_store_scrub_passes_total"), 10);
  EXPECT_EQ(w.figure("sluice_store_pages_damaged_total"), 0);
}

TEST(Repair, TwoPagesOfAGroupLoseExactlyTheirMessages) {
  RepairWorld w;
  w.options.journal_file_bytes = 256 * kKiB;
  w.fill(4000);
  std::set<uint64_t> told;
  w.store->on_event([&](const StoreEvent& e) {
    if (e.kind == StoreEvent::Kind::kLost) told.insert(e.seq.value());
  });
  const std::string path = w.segments().front();
  ASSERT_GT(*w.sim.disk().file_size(path), 40u * 4096u);
  // Pages 2 and 18 are of one group.
  ASSERT_TRUE(w.sim.disk().flip_bit(path, 2 * 4096 + 1500, 1));
  ASSERT_TRUE(w.sim.disk().flip_bit(path, 18 * 4096 + 1500, 1));
  w.sim.advance(std::chrono::seconds(30));
  w.sim.settle();
  StreamStore& s = w.find("A");
  EXPECT_EQ(w.figure("sluice_store_pages_damaged_total"), 2);
  EXPECT_GE(told.size(), 1u);
  EXPECT_LE(told.size(), 2u);  // one flipped bit in each page; the other messages of a run are found by themselves
  for (uint64_t i = 1; i <= 4000; ++i) {
    const auto m = s.load(StreamSeq(i));
    ASSERT_EQ(m.has_value(), !told.contains(i)) << i;
    EXPECT_EQ(s.lost().contains(i), told.contains(i));
    if (m) {
      ASSERT_EQ(m->payload, body(i));
    }
  }
  w.sim.advance(std::chrono::seconds(30));  // the segment was written anew
  w.close_and_open();
  EXPECT_EQ(w.find("A").state().messages, 4000 - told.size());
  w.sim.advance(std::chrono::seconds(30));
  EXPECT_EQ(w.figure("sluice_store_pages_damaged_total"), 0);
}

TEST(Erase, InASegmentLeavesNoBytesAndTheScrubNeverBringsThemBack) {
  RepairWorld w;
  w.fill(2000, 1111);
  ASSERT_TRUE(w.secret_on_disk());
  EXPECT_TRUE(w.find("A").remove(StreamSeq(1111), true));
  w.run();
  EXPECT_FALSE(w.secret_on_disk());
  w.sim.advance(std::chrono::seconds(60));
  EXPECT_FALSE(w.secret_on_disk());
  EXPECT_EQ(w.figure("sluice_store_pages_repaired_total"), 0);
  EXPECT_EQ(w.figure("sluice_store_erasures_total"), 1);
  // Parity does not tell them either: a neighbour page rebuilt from the group is right, the erased one can't be.
  const std::string path = w.segments().front();
  for (uint64_t offset = 4096 + 8; offset < 8 * 4096; offset += 4096) ASSERT_TRUE(w.sim.disk().flip_bit(path, offset, 0));
  w.sim.advance(std::chrono::seconds(60));
  EXPECT_FALSE(w.secret_on_disk());
  w.crash(Crash::kPower);
  StreamStore& s = w.find("A");
  for (uint64_t i = 1; i <= 2000; ++i) ASSERT_EQ(s.load(StreamSeq(i)).has_value(), i != 1111) << i;
  EXPECT_EQ(w.store->recovery().lost_records, 0u);
}

// Cut off inside every operation of an erase: once the removal was acknowledged, the next opening finishes it.
TEST(Erase, IsResumedAfterACrashAtAnyStep) {
  uint64_t cuts = 0;
  for (const bool in_segment : {false, true}) {
    for (uint64_t op = 1; op < 40; ++op) {
      SCOPED_TRACE(op);
      RepairWorld w(op);
      if (in_segment) {
        w.fill(300, 111);
      } else {
        w.open();
        StreamStore& s = w.make("A");
        for (uint64_t i = 1; i <= 120; ++i) w.put(s, "k", i == 111 ? "TOP-SECRET-BYTES" : body(i));
        w.run();
      }
      const uint64_t messages = w.find("A").state().messages;
      EXPECT_TRUE(w.find("A").remove(StreamSeq(111), true));
      bool acked = false;
      w.store->when_durable(w.store->last_commit(), [&] { acked = true; });
      w.sim.disk().crash_after_ops(op, op % 2 == 0 ? Crash::kPower : Crash::kKill);
      w.run();
      const bool struck = !w.sim.disk().powered();
      cuts += struck ? 1 : 0;
      w.sim.disk().power_on();
      w.crash(Crash::kPower);
      EXPECT_EQ(w.store->recovery().lost_records, 0u);
      w.sim.settle();
      const bool gone = !w.find("A").load(StreamSeq(111)).has_value();
      if (acked) {
        EXPECT_TRUE(gone);
      }
      if (gone) {
        EXPECT_FALSE(w.secret_on_disk());
      }
      w.sim.advance(std::chrono::seconds(30));
      EXPECT_EQ(w.find("A").state().messages, messages - (gone ? 1 : 0));
      if (gone) {
        EXPECT_FALSE(w.secret_on_disk());
      }
      EXPECT_EQ(w.figure("sluice_store_pages_damaged_total"), 0);
      w.crash(Crash::kPower);
      EXPECT_EQ(w.store->recovery().lost_records, 0u);
      if (!struck) break;
    }
  }
  EXPECT_GT(cuts, 8u);
}

struct PackedWorld : RepairWorld {
  void fill_packed(uint64_t count, uint64_t secret, bool compress = true) {
    options.journal_file_bytes = 256 * kKiB;
    open();
    StreamStore& s = make("A");
    s.set_traits({.compress = compress});
    for (uint64_t i = 1; i <= count; ++i) {
      put(s, "k." + std::to_string(i % 7), i == secret ? "TOP-SECRET-BYTES" : text(i));
      if (i % 50 == 0) run();
    }
    StreamStore& ballast = make("ballast");
    for (uint64_t i = 0; i < 5 * options.journal_file_bytes / 8000; ++i) {
      put(ballast, "b", std::string(8000, 'b'));
      run();
      ballast.remove(ballast.state().last_seq, false);
      run();
    }
  }
  static std::string text(uint64_t i) { return "{\"reading\":" + std::to_string(i) + ",\"unit\":\"degrees celsius\",\"site\":\"north\"}"; }
  uint64_t segment_bytes() {
    uint64_t bytes = 0;
    for (const std::string& path : segments()) bytes += *sim.disk().file_size(path);
    return bytes;
  }
};

/// Looks into packed runs too, in whatever file or parity page they stand whole.
bool secret_in_runs(PackedWorld& w) {
  bool found = w.secret_on_disk();
  for (const std::string& path : w.segments()) {
    auto file = w.sim.disk().open(path, OpenMode::kRead).value();
    const uint64_t seed = format::file_seed(w.store_id(path), std::stoull(path.substr(path.size() - 12, 8)));
    auto scanned = scan_records(*file, 4096, *w.sim.disk().file_size(path), seed,
                                [&](const format::Record& r, uint64_t, std::span<const std::byte>) {
      const auto run = format::unpack(r);
      if (!run) return;
      const std::string_view bytes(reinterpret_cast<const char*>(run->data()), run->size());
      found |= bytes.find("TOP-SECRET") != std::string_view::npos;
    });
    EXPECT_TRUE(scanned);
  }
  return found;
}

TEST(Packed, TakesLessSpaceAndReadsTheSame) {
  PackedWorld w;
  w.fill_packed(4000, 0);
  StreamStore* s = &w.find("A");
  PackedWorld plain;
  plain.fill_packed(4000, 0, false);
  EXPECT_LT(w.segment_bytes(), plain.segment_bytes() * 3 / 4);
  for (uint64_t i = 1; i <= 4000; ++i) {
    const auto m = s->load(StreamSeq(i));
    ASSERT_TRUE(m) << i;
    ASSERT_EQ(m->payload, PackedWorld::text(i));
    ASSERT_EQ(m->subject, "k." + std::to_string(i % 7));
  }
  s->purge_below(StreamSeq(1000));
  for (uint64_t i = 1000; i < 1010; ++i) s->remove(StreamSeq(i), false);
  w.run();
  w.crash(Crash::kPower);
  s = &w.find("A");
  EXPECT_EQ(s->state().messages, 2991u);
  EXPECT_EQ(s->subject_state("k.1")->first.value(), 1016u);
}

TEST(Packed, AFlippedBitIsMendedAndWithoutAnIndexAllIsFound) {
  PackedWorld w;
  w.fill_packed(3000, 0);
  const std::string path = w.segments().front();
  ASSERT_TRUE(w.sim.disk().flip_bit(path, 4096 + 300, 2));
  w.close_and_open();
  EXPECT_EQ(w.find("A").load(StreamSeq(1))->payload, PackedWorld::text(1));
  EXPECT_EQ(w.figure("sluice_store_pages_repaired_total"), 1);
  auto file = w.sim.disk().open(path, OpenMode::kReadWrite).value();
  const uint64_t size = *w.sim.disk().file_size(path);
  auto trailer = read_trailer(*file, size, std::stoull(path.substr(path.size() - 12, 8)), w.store_id(path));
  ASSERT_TRUE(trailer);
  const uint64_t records_end = uint64_t{trailer->first_index_page} * 4096;
  ASSERT_TRUE(file->write_at(records_end, std::vector<std::byte>(size - records_end)));
  w.close_and_open();
  for (uint64_t i = 1; i <= 3000; ++i) ASSERT_EQ(w.find("A").load(StreamSeq(i))->payload, PackedWorld::text(i));
}

TEST(Packed, EraseTakesOneMessageOutAndSurvivesACrashAtAnyStep) {
  uint64_t cuts = 0;
  for (uint64_t op = 1; op < 40; ++op) {
    SCOPED_TRACE(op);
    PackedWorld w;
    w.fill_packed(700, 333);
    EXPECT_TRUE(w.find("A").remove(StreamSeq(333), true));
    bool acked = false;
    w.store->when_durable(w.store->last_commit(), [&] { acked = true; });
    w.sim.disk().crash_after_ops(op, op % 2 == 0 ? Crash::kPower : Crash::kKill);
    w.run();
    const bool struck = !w.sim.disk().powered();
    cuts += struck ? 1 : 0;
    w.sim.disk().power_on();
    w.crash(Crash::kPower);
    w.sim.settle();
    w.sim.advance(std::chrono::seconds(30));
    StreamStore& s = w.find("A");
    const bool gone = !s.load(StreamSeq(333)).has_value();
    if (acked) {
      EXPECT_TRUE(gone);
    }
    for (uint64_t i = 1; i <= 700; ++i) {
      if (i == 333) continue;
      const auto m = s.load(StreamSeq(i));
      ASSERT_TRUE(m) << i;
      ASSERT_EQ(m->payload, PackedWorld::text(i));
    }
    EXPECT_TRUE(s.lost().empty());
    if (gone) {
      EXPECT_FALSE(secret_in_runs(w));
    }
    if (!struck) break;
  }
  EXPECT_GT(cuts, 5u);
}

TEST(StreamModes, AWeakStreamIsAcknowledgedByTheKernelAStrongOneByTheDisk) {
  StoreWorld w;
  w.open();
  StreamStore& weak = w.make("weak");
  StreamStore& strong = w.make("strong");
  weak.set_traits({.sync = SyncMode::kNone});
  w.run();
  const uint64_t syncs = w.sim.disk().ops(sim::DiskOp::kSync);
  w.put(weak, "w", "1");
  w.run();
  EXPECT_EQ(w.store->durable(), w.store->last_commit());
  EXPECT_EQ(w.sim.disk().ops(sim::DiskOp::kSync), syncs);
  w.put(weak, "w", "2");
  w.put(strong, "s", "1");
  w.run();
  EXPECT_GT(w.sim.disk().ops(sim::DiskOp::kSync), syncs);
  w.crash(Crash::kPower);
  EXPECT_EQ(w.find("strong").state().messages, 1u);
  EXPECT_EQ(w.find("weak").state().messages, 2u);  // its own batch, and what was synced with it
}

TEST(StreamModes, AnIntervalStreamIsSyncedInTime) {
  StoreWorld w;
  w.options.sync_interval = std::chrono::seconds(1);
  w.open();
  StreamStore& s = w.make("A");
  s.set_traits({.sync = SyncMode::kInterval});
  w.run();
  w.put(s, "s", "1");
  w.run();
  EXPECT_EQ(w.store->durable(), w.store->last_commit());
  w.sim.advance(std::chrono::milliseconds(1500));
  w.crash(Crash::kPower);
  EXPECT_EQ(w.find("A").state().messages, 1u);
}

TEST(Journal, DoesNotOutgrowItsBoundWhenRetiringIsSlow) {
  StoreWorld w;
  w.options.journal_max_bytes = 0;  // the least: eight files
  w.sim.disk_workers().set_latency(std::chrono::milliseconds(1), std::chrono::milliseconds(4));
  w.open();
  StreamStore& s = w.make("A");
  size_t most = 0;
  for (int i = 0; i < 400; ++i) {
    for (int n = 0; n < 20; ++n) w.put(s, "k", std::string(500, 'x'));
    // A publisher with a window: two files' worth may be unacknowledged.
    while (w.store->last_commit().value() - w.store->durable().value() > 200) w.sim.advance(std::chrono::microseconds(300));
    most = std::max(most, w.count_files(".jnl"));
  }
  EXPECT_LE(most, 8u + 6u);  // and spares, and what the window lets in
  w.sim.settle();
  EXPECT_EQ(w.store->durable(), w.store->last_commit());
  EXPECT_GT(w.figure("sluice_store_held_total"), 0);
  w.crash(Crash::kPower);
  EXPECT_EQ(w.find("A").state().messages, 8000u);
}

}  // namespace
}  // namespace sluice
