#include "spool/folder.h"

#include <gtest/gtest.h>

#include "spool/choria_file.h"
#include "spool_world.h"

namespace sluice::test {
namespace {

using namespace std::chrono_literals;
constexpr SpoolLane kOne{1, true};

class Folder : public ::testing::Test {
 protected:
  void start() {
    ASSERT_TRUE(w.open());
    folder = std::make_unique<SpoolFolder>(w.sim.env(), *w.queue, "/drop", 1 * kMiB);
    ASSERT_TRUE(folder->start([this] { w.start_sender(); }));
    w.sim.run_until_idle();
  }
  void write(const std::string& path, std::string_view text) {
    ASSERT_TRUE(w.sim.disk().make_dirs(path.substr(0, path.rfind('/'))));
    auto file = w.sim.disk().open(path, OpenMode::kCreate);
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->write_at(0, std::as_bytes(std::span(text))));
    ASSERT_TRUE((*file)->sync());
    ASSERT_TRUE(w.sim.disk().sync_dir(path.substr(0, path.rfind('/'))));
    ASSERT_TRUE(w.sim.disk().sync_dir("/drop"));
  }
  void drop(int n, uint8_t priority = 1) {
    char name[64];
    std::snprintf(name, sizeof name, "/drop/P%d/%019d-x.msg", priority, n);
    write(name, format_choria_file(w.fresh("f" + std::to_string(n), priority)));
  }
  size_t files() { return w.sim.disk().all_files("/drop").size(); }
  void crash(sim::Crash kind) {
    w.sim.crash(kind);
    folder.reset();
    w.stop();
    w.sim.drop_tasks();
    w.sim.disk().power_on();
  }
  std::vector<std::string> stored() {
    std::vector<std::string> out;
    for (const auto& m : w.gateway.stored) out.push_back(m.id);
    return out;
  }

  SpoolWorld w{3};
  std::unique_ptr<SpoolFolder> folder;
};

TEST_F(Folder, FilesBecomeMessagesInTheOrderOfTheirNames) {
  for (int i : {3, 1, 2}) drop(i);
  start();
  w.sim.advance(1s);
  EXPECT_EQ(stored(), (std::vector<std::string>{"f1", "f2", "f3"}));
  EXPECT_EQ(files(), 0u);
  drop(4);
  w.sim.advance(2s);
  EXPECT_EQ(stored().back(), "f4") << "later ones too";
  EXPECT_EQ(folder->figures().taken, 4u);
}

TEST_F(Folder, NothingIsSentWhileItsFileIsThere) {
  w.sim.disk_workers().set_latency(10ms, 10ms);
  for (int i = 1; i <= 3; ++i) drop(i);
  ASSERT_TRUE(w.open());
  folder = std::make_unique<SpoolFolder>(w.sim.env(), *w.queue, "/drop", 1 * kMiB);
  w.start_sender();  // too early, to see that the hold alone is enough
  ASSERT_TRUE(folder->start([] {}));
  for (int step = 0; step < 200; ++step) {
    w.sim.advance(1ms);
    ASSERT_TRUE(w.gateway.published.empty() || files() == 0);
  }
  EXPECT_EQ(w.gateway.stored.size(), 3u);
}

TEST_F(Folder, WhatIsNoMessageIsKeptAndTold) {
  write("/drop/P1/1-a.msg", "{\"id\":7}");
  write("/drop/P1/2-b.msg", std::string("\xff\x00", 2));
  auto bad = w.fresh("bad");
  bad.subject = "a.>";
  write("/drop/P1/3-c.msg", format_choria_file(bad));
  write("/drop/P1/other.txt", "not ours");
  write("/drop/P2/4-d.msg", std::string(3 * kMiB, 'x'));
  drop(5);
  start();
  w.sim.advance(3s);
  EXPECT_EQ(stored(), (std::vector<std::string>{"f5"}));
  EXPECT_EQ(w.sim.disk().all_files("/drop"), (std::vector<std::string>{"/drop/P1/other.txt", "/drop/P2/4-d.msg"}));
  const auto& kept = w.queue->figures().quarantined;
  EXPECT_EQ(kept.at("malformed"), 2u);
  EXPECT_EQ(kept.at("invalid"), 1u);
  EXPECT_EQ(folder->figures().left_alone, 1u) << "told once, not each second";
  const auto first = w.queue->next_quarantined({});
  EXPECT_EQ(first->entry.submission.payload, "{\"id\":7}");
  EXPECT_EQ(first->entry.reason, "malformed 1-a.msg: 'id' is of a wrong type or out of range");
}

TEST_F(Folder, AFullQueueLeavesFilesInTheirOrder) {
  w.queue_options.max_messages = 2;
  w.gateway.set_state(LinkState::kReconnecting);
  for (int i = 1; i <= 5; ++i) drop(i);
  start();
  w.sim.advance(5s);
  EXPECT_EQ(files(), 3u);
  EXPECT_EQ(w.waiting(), 2u);
  w.gateway.set_state(LinkState::kConnected);
  w.sim.advance(10s);
  EXPECT_EQ(stored(), (std::vector<std::string>{"f1", "f2", "f3", "f4", "f5"}));
}

TEST_F(Folder, AFileThatCantBeRemovedIsTakenOnce) {
  drop(1);
  ASSERT_TRUE(w.open());
  folder = std::make_unique<SpoolFolder>(w.sim.env(), *w.queue, "/drop", 1 * kMiB);
  w.sim.disk().fail_next(sim::DiskOp::kRemove, 1, Errc::kDenied);
  ASSERT_TRUE(folder->start([this] { w.start_sender(); }));
  w.sim.advance(10s);
  EXPECT_EQ(files(), 1u);
  EXPECT_EQ(w.gateway.published.size(), 1u);
  EXPECT_EQ(folder->figures().left_alone, 1u);
}

TEST_F(Folder, TakeOverWithACrashAtEveryChangeOfTheDisk) {
  uint64_t n = 1;
  for (bool struck = true; struck; ++n) {
    w.stop();
    folder.reset();
    for (const std::string& path : w.sim.disk().all_files("/")) ASSERT_TRUE(w.sim.disk().remove(path));
    w.gateway.stored.clear();
    const size_t published_before = w.gateway.published.size();
    for (int i = 1; i <= 4; ++i) drop(static_cast<int>(n) * 10 + i);
    w.sim.disk().crash_after_ops(n, n % 2 == 0 ? sim::Crash::kKill : sim::Crash::kPower);
    struck = false;
    if (w.open()) {
      folder = std::make_unique<SpoolFolder>(w.sim.env(), *w.queue, "/drop", 1 * kMiB);
      if (folder->start([this] { w.start_sender(); })) w.sim.advance(3s);
    }
    if (!w.sim.disk().powered()) {
      struck = true;
      crash(n % 2 == 0 ? sim::Crash::kKill : sim::Crash::kPower);
      start();
    }
    w.sim.disk().crash_after_ops(0);
    w.sim.advance(5s);
    std::vector<std::string> expected;
    for (int i = 1; i <= 4; ++i) expected.push_back("f" + std::to_string(n * 10 + static_cast<uint64_t>(i)));
    ASSERT_EQ(stored(), expected) << "struck in change " << n;
    ASSERT_EQ(files(), 0u) << "struck in change " << n;
    // A message whose removal from the queue was not on disk is sent again, with its id; nothing else is.
    ASSERT_LE(w.gateway.published.size() - published_before, 8u) << "struck in change " << n;
  }
  EXPECT_GT(n, 20u);
}

}  // namespace
}  // namespace sluice::test
