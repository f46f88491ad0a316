#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "sim/sim_env.h"

namespace sluice::sim {
namespace {

using namespace std::chrono_literals;

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

std::unique_ptr<File> create(SimDisk& disk, const std::string& path) {
  auto file = disk.open(path, OpenMode::kCreate);
  EXPECT_TRUE(file.has_value());
  return file ? *std::move(file) : nullptr;
}

TEST(SimDisk, ReadsWhatWasWritten) {
  SimEnv sim(1);
  SimDisk& disk = sim.disk();
  EXPECT_FALSE(disk.open("data/a", OpenMode::kCreate).has_value());  // no such folder
  ASSERT_TRUE(disk.make_dirs("data/sub").has_value());
  auto file = create(disk, "data/a");
  ASSERT_TRUE(file->write_at(5000, bytes("hello")).has_value());
  EXPECT_EQ(*file->size(), 5005U);
  std::string into(10, 'x');
  EXPECT_EQ(*file->read_at(4998, std::as_writable_bytes(std::span(into))), 7U);
  EXPECT_EQ(into, std::string("\0\0helloxxx", 10));
  EXPECT_EQ(*file->read_at(6000, std::as_writable_bytes(std::span(into))), 0U);
  ASSERT_TRUE(file->truncate(5002).has_value());
  ASSERT_TRUE(file->truncate(5010).has_value());
  EXPECT_EQ(disk.contents("data/a")->substr(5000), std::string("he\0\0\0\0\0\0\0\0", 10));
  EXPECT_EQ(*disk.list("data"), (std::vector<std::string>{"a", "sub"}));
  ASSERT_TRUE(disk.rename("data/a", "data/sub/b").has_value());
  EXPECT_FALSE(disk.exists("data/a"));
  EXPECT_FALSE(disk.remove_dir("data/sub").has_value());
  ASSERT_TRUE(disk.remove("data/sub/b").has_value());
  ASSERT_TRUE(disk.remove_dir("data/sub").has_value());
  EXPECT_EQ(disk.open("data/a", OpenMode::kRead).error().code, Errc::kNotFound);
}

TEST(SimDisk, PowerCutKeepsWhatWasSyncedAndSometimesMore) {
  std::set<std::string> outcomes;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    SimEnv sim(seed);
    SimDisk& disk = sim.disk();
    ASSERT_TRUE(disk.make_dirs("d").has_value());
    auto file = create(disk, "d/f");
    ASSERT_TRUE(file->write_at(0, bytes(std::string(8192, 'a'))).has_value());
    ASSERT_TRUE(file->sync().has_value());
    ASSERT_TRUE(disk.sync_dir("d").has_value());
    ASSERT_TRUE(file->write_at(1024, bytes(std::string(2048, 'b'))).has_value());
    disk.power_cut();
    EXPECT_FALSE(file->size().has_value());
    EXPECT_EQ(file->write_at(0, bytes("x")).error().code, Errc::kIo);
    const auto now = disk.contents("d/f");
    ASSERT_TRUE(now.has_value());
    ASSERT_EQ(now->size(), 8192U);
    std::string sectors;
    for (size_t i = 0; i < 8192; i += 512) {
      EXPECT_EQ(now->substr(i, 512), std::string(512, (*now)[i]));
      sectors += (*now)[i];
    }
    EXPECT_EQ(sectors.substr(0, 2), "aa");
    EXPECT_EQ(sectors.substr(6), std::string(10, 'a'));
    outcomes.insert(sectors.substr(2, 4));
  }
  EXPECT_TRUE(outcomes.contains("aaaa"));
  EXPECT_TRUE(outcomes.contains("bbbb"));
  EXPECT_GT(outcomes.size(), 8U);
}

TEST(SimDisk, NamesAreDurableOnlyAfterSyncDir) {
  int kept = 0;
  int renamed = 0;
  constexpr int kSeeds = 200;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(seed);
    SimEnv sim(seed);
    SimDisk& disk = sim.disk();
    ASSERT_TRUE(disk.make_dirs("d").has_value());
    ASSERT_TRUE(create(disk, "d/durable")->sync().has_value());
    ASSERT_TRUE(create(disk, "d/moved")->sync().has_value());
    ASSERT_TRUE(disk.sync_dir("d").has_value());
    ASSERT_TRUE(create(disk, "d/new")->sync().has_value());
    ASSERT_TRUE(disk.rename("d/moved", "d/target").has_value());
    disk.power_cut();
    EXPECT_TRUE(disk.exists("d/durable"));
    EXPECT_NE(disk.exists("d/moved"), disk.exists("d/target"));
    kept += disk.exists("d/new");
    renamed += disk.exists("d/target");
  }
  EXPECT_GT(kept, kSeeds / 5);
  EXPECT_LT(kept, kSeeds * 4 / 5);
  EXPECT_GT(renamed, kSeeds / 5);
  EXPECT_LT(renamed, kSeeds * 4 / 5);
}

TEST(SimDisk, ProcessKillKeepsAllThatWasWritten) {
  SimEnv sim(3);
  SimDisk& disk = sim.disk();
  ASSERT_TRUE(disk.make_dirs("d").has_value());
  auto file = create(disk, "d/f");
  auto lock = disk.lock_dir("d");
  ASSERT_TRUE(lock.has_value());
  EXPECT_EQ(disk.lock_dir("d").error().code, Errc::kExists);
  ASSERT_TRUE(file->write_at(0, bytes("abc")).has_value());
  disk.process_kill();
  EXPECT_FALSE(file->sync().has_value());
  EXPECT_EQ(disk.contents("d/f"), "abc");
  EXPECT_TRUE(disk.lock_dir("d").has_value());
}

TEST(SimDisk, ArmedCrashStopsEverythingBehindIt) {
  SimEnv sim(3);
  SimDisk& disk = sim.disk();
  ASSERT_TRUE(disk.make_dirs("d").has_value());
  auto file = create(disk, "d/f");
  ASSERT_TRUE(disk.sync_dir("d").has_value());
  bool told = false;
  auto worker = sim.env().disk_workers.make("w");
  disk.crash_after_ops(2, Crash::kKill);
  worker->submit(
      [&]() -> Status {
        EXPECT_TRUE(file->write_at(0, bytes("1")).has_value());
        EXPECT_FALSE(file->write_at(1, bytes("2")).has_value());
        EXPECT_FALSE(file->write_at(2, bytes("3")).has_value());
        return {};
      },
      [&](Status) { told = true; });
  worker->submit([&]() -> Status { ADD_FAILURE(); return {}; }, [&](Status) { told = true; });
  sim.advance(1s);
  EXPECT_FALSE(disk.powered());
  EXPECT_FALSE(told);
  EXPECT_FALSE(disk.open("d/f", OpenMode::kRead).has_value());
  disk.power_on();
  const auto now = disk.contents("d/f");
  EXPECT_TRUE(now == "1" || now == "12") << now.value_or("none");
}

TEST(SimDisk, DataUnderAFailedSyncIsGoneWhateverLaterSyncsSay) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    SimEnv sim(seed);
    SimDisk& disk = sim.disk();
    ASSERT_TRUE(disk.make_dirs("d").has_value());
    auto file = create(disk, "d/f");
    ASSERT_TRUE(file->write_at(0, bytes(std::string(1024, 'a'))).has_value());
    ASSERT_TRUE(file->sync().has_value());
    ASSERT_TRUE(disk.sync_dir("d").has_value());
    ASSERT_TRUE(file->write_at(0, bytes(std::string(1024, 'b'))).has_value());
    disk.fail_next(DiskOp::kSync, 1, Errc::kIo);
    EXPECT_EQ(file->sync().error().code, Errc::kIo);
    ASSERT_TRUE(file->write_at(512, bytes(std::string(512, 'c'))).has_value());
    EXPECT_TRUE(file->sync().has_value());
    disk.power_cut();
    EXPECT_EQ(disk.contents("d/f"), std::string(512, 'a') + std::string(512, 'c'));
  }
}

TEST(SimDisk, CapacityGivesNoSpaceAndFlipsChangeOneBit) {
  SimEnv sim(1);
  SimDisk& disk = sim.disk();
  ASSERT_TRUE(disk.make_dirs("d").has_value());
  auto file = create(disk, "d/f");
  disk.set_capacity(1000);
  EXPECT_EQ(*disk.free_bytes("d"), 1000U);
  ASSERT_TRUE(file->write_at(0, bytes(std::string(900, 'a'))).has_value());
  EXPECT_EQ(file->write_at(900, bytes(std::string(200, 'b'))).error().code, Errc::kNoSpace);
  ASSERT_TRUE(file->write_at(0, bytes("bb")).has_value());  // no growth
  EXPECT_EQ(disk.used_bytes(), 1000U);                      // a part was written
  EXPECT_TRUE(disk.flip_bit("d/f", 1, 0));
  EXPECT_FALSE(disk.flip_bit("d/f", 1000, 0));
  EXPECT_EQ(disk.contents("d/f")->substr(0, 3), "bca");
}

TEST(SimDiskWorker, KeepsOrderAndNeverAnswersInsideSubmit) {
  SimEnv sim(9);
  sim.disk_workers().set_latency(10us, 500us);
  auto worker = sim.env().disk_workers.make("w");
  std::string order;
  for (char c = 'a'; c < 'f'; ++c) {
    worker->submit([&order, c]() -> Status { order += c; return {}; },
                   [&order, c](Status) { order += static_cast<char>(c - 'a' + 'A'); });
  }
  EXPECT_EQ(order, "");
  sim.run_until_idle();
  EXPECT_EQ(order, "");
  EXPECT_TRUE(sim.settle());
  EXPECT_EQ(order, "aAbBcCdDeE");
}

TEST(SimDiskWorker, DestroyedOrCutItNeverAnswers) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    SimEnv sim(seed);
    auto first = sim.env().disk_workers.make("1");
    auto second = sim.env().disk_workers.make("2");
    bool told = false;
    first->submit([] { return Status{}; }, [&](Status) { told = true; });
    first.reset();
    second->submit([&]() -> Status { ADD_FAILURE(); return {}; }, [&](Status) { told = true; });
    sim.power_cut();
    sim.advance(1s);
    EXPECT_FALSE(told);
  }
}

}  // namespace
}  // namespace sluice::sim
