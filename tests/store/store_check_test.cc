// Looking at a store where it lies, without a trace, and giving up what is damaged.
#include "store/store_check.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "store/overlay_disk.h"
#include "store_world.h"

namespace sluice {
namespace {

/// A store of one stream, 20 messages, closed.
void make_store(StoreWorld& w) {
  w.open();
  StreamStore& s = w.make("A");
  for (int i = 1; i <= 20; ++i) w.put(s, "s", "payload number " + std::to_string(i), i);
  s.remove(StreamSeq(4), false);
  w.store->put_consumer("A", "c", "{}");
  bool closed = false;
  w.store->close([&](Status status) { closed = status.has_value(); });
  w.run();
  ASSERT_TRUE(closed);
  w.store.reset();
}

void damage(StoreWorld& w, const std::string& text) {
  const std::string path = w.newest_journal();
  const size_t at = w.sim.disk().contents(path)->find(text);
  ASSERT_NE(at, std::string::npos);
  ASSERT_TRUE(w.sim.disk().flip_bit(path, at, 3));
}

std::map<std::string, std::string> everything(StoreWorld& w) {
  std::map<std::string, std::string> out;
  for (const std::string& path : w.sim.disk().all_files("/data")) out[path] = *w.sim.disk().contents(path);
  return out;
}

/// Opens the store over an overlay and checks it; the disk below must stay as it is.
StoreCheck look(StoreWorld& w) {
  const auto before = everything(w);
  StoreCheck found;
  {
    OverlayDisk overlay(w.sim.disk());
    Env& sim = w.sim.env();
    Env env{sim.clock, sim.timers, sim.executor, sim.random, overlay, sim.disk_workers, sim.network, sim.mailboxes, sim.poller};
    auto store = Store::open(env, w.options);
    EXPECT_TRUE(store) << store.error().detail;
    if (store) found = check_store(**store, nullptr);
    w.run();
    if (store) store->reset();
  }
  w.sim.drop_tasks();
  EXPECT_EQ(everything(w), before) << "looking left a trace";
  return found;
}

TEST(StoreCheck, ASoundStore) {
  StoreWorld w;
  make_store(w);
  const StoreCheck found = look(w);
  EXPECT_TRUE(found.sound());
  EXPECT_EQ(found.messages, 19u);
  ASSERT_EQ(found.streams.size(), 1u);
  EXPECT_EQ(found.streams[0].consumers, 1u);
  EXPECT_TRUE(found.notes.empty());
}

TEST(StoreCheck, ATornNewestBatchIsNoDamage) {
  StoreWorld w;
  w.open();
  StreamStore& s = w.make("A");
  w.put(s, "s", "first");
  w.run();
  w.put(s, "s", "second");
  w.sim.disk().crash_after_ops(1, sim::Crash::kKill);
  w.run();
  w.store.reset();
  w.sim.drop_tasks();
  w.sim.disk().power_on();
  EXPECT_TRUE(look(w).sound());
}

TEST(StoreCheck, ADamagedMessageIsNamedThenGivenUp) {
  StoreWorld w;
  make_store(w);
  damage(w, "payload number 7");
  const StoreCheck found = look(w);
  EXPECT_FALSE(found.sound());
  EXPECT_EQ(found.lost_records + found.damaged_messages, 1u);
  EXPECT_EQ(found.messages, 18u);
  w.open();
  (void)give_up_damaged(*w.store, found);
  w.close_and_open();
  EXPECT_FALSE(w.find("A").load(StreamSeq(7)));
  EXPECT_EQ(w.find("A").load(StreamSeq(8))->payload, "payload number 8");
}

TEST(StoreCheck, ADamagedMessageOfASegmentBecomesAGap) {
  StoreWorld w;
  w.options.journal_file_bytes = 16 * kKiB;
  w.open();
  StreamStore& s = w.make("A");
  for (int i = 1; i <= 20; ++i) w.put(s, "s", "payload number " + std::to_string(i), i);
  w.run();
  StreamStore& bulk = w.make("B");
  for (uint64_t i = 1; i <= 12; ++i) {
    w.put(bulk, "b", std::string(9000, 'b'));
    w.run();
    bulk.remove(StreamSeq(i), false);
    w.run();
  }
  bool closed = false;
  w.store->close([&](Status status) { closed = status.has_value(); });
  w.run();
  ASSERT_TRUE(closed);
  w.store.reset();
  // Every copy of the record, whatever redundancy the format has.
  size_t copies = 0;
  for (const std::string& path : w.sim.disk().all_files("/data/segments")) {
    const std::string bytes = *w.sim.disk().contents(path);
    for (size_t at = bytes.find("payload number 7"); at != std::string::npos; at = bytes.find("payload number 7", at + 1), ++copies) {
      ASSERT_TRUE(w.sim.disk().flip_bit(path, at, 2));
      ASSERT_TRUE(w.sim.disk().flip_bit(path, at + 1, 4 + static_cast<unsigned>(copies % 3)));
    }
  }
  ASSERT_GE(copies, 1u);
  const StoreCheck found = look(w);
  if (copies > 1 && found.sound()) GTEST_SKIP() << "rebuilt from parity";
  ASSERT_EQ(found.streams.at(0).damaged, (std::vector<uint64_t>{7}));
  w.open();
  EXPECT_EQ(give_up_damaged(*w.store, found), 1u);
  bool over = false;
  w.store->close([&](Status status) { over = status.has_value(); });
  w.run();
  ASSERT_TRUE(over);
  w.store.reset();
  const StoreCheck again = look(w);
  EXPECT_TRUE(again.sound());
  EXPECT_EQ(again.messages, 19u);
}

TEST(OverlayDisk, ReadsThroughAndKeepsChangesToItself) {
  StoreWorld w;
  Disk& below = w.sim.disk();
  ASSERT_TRUE(below.make_dirs("/d"));
  {
    auto file = below.open("/d/a", OpenMode::kCreate);
    ASSERT_TRUE(file);
    const std::string text(10'000, 'a');
    ASSERT_TRUE((*file)->write_at(0, std::as_bytes(std::span(text))));
  }
  OverlayDisk disk(below);
  auto a = disk.open("/d/a", OpenMode::kReadWrite);
  ASSERT_TRUE(a);
  const std::string mark = "XYZ";
  ASSERT_TRUE((*a)->write_at(4095, std::as_bytes(std::span(mark))));
  std::string got(5, '?');
  ASSERT_EQ((*a)->read_at(4094, std::as_writable_bytes(std::span(got))).value(), 5u);
  EXPECT_EQ(got, "aXYZa");
  ASSERT_TRUE((*a)->truncate(4096));
  ASSERT_TRUE((*a)->truncate(20'000));
  ASSERT_EQ((*a)->read_at(4095, std::as_writable_bytes(std::span(got))).value(), 5u);
  EXPECT_EQ(got, std::string("X\0\0\0\0", 5));
  ASSERT_TRUE(disk.rename("/d/a", "/d/b"));
  EXPECT_FALSE(disk.exists("/d/a"));
  EXPECT_FALSE(disk.open("/d/a", OpenMode::kRead));
  ASSERT_TRUE(disk.open("/d/c", OpenMode::kCreate));
  EXPECT_EQ(disk.list("/d").value(), (std::vector<std::string>{"b", "c"}));
  ASSERT_TRUE(disk.remove("/d/b"));
  EXPECT_FALSE(disk.remove("/d/b"));
  EXPECT_EQ(w.sim.disk().contents("/d/a"), std::string(10'000, 'a'));
  EXPECT_EQ(w.sim.disk().all_files("/d"), (std::vector<std::string>{"/d/a"}));
}

}  // namespace
}  // namespace sluice
