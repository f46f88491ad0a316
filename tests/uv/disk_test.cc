#include "uv/disk.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <thread>

#include "uv/env.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

class DiskTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/sluice-uv-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    dir = name;
  }
  void TearDown() override { std::filesystem::remove_all(dir); }
  static std::span<const std::byte> bytes(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
  }
  static std::string read(File& file, uint64_t offset, size_t count) {
    std::string out(count, '\0');
    auto n = file.read_at(offset, std::as_writable_bytes(std::span(out.data(), count)));
    EXPECT_TRUE(n);
    out.resize(n.value_or(0));
    return out;
  }

  std::string dir;
  std::unique_ptr<Disk> disk = make_disk();
};

TEST_F(DiskTest, WritesReadsSizesTruncates) {
  auto file = disk->open(dir + "/a", OpenMode::kCreate);
  ASSERT_TRUE(file) << file.error().detail;
  ASSERT_TRUE((*file)->write_at(3, bytes("hello")));
  EXPECT_EQ((*file)->size().value(), 8u);
  EXPECT_EQ(read(**file, 0, 100), std::string("\0\0\0hello", 8));
  EXPECT_EQ(read(**file, 100, 5), "");
  ASSERT_TRUE((*file)->truncate(4));
  EXPECT_EQ(read(**file, 3, 5), "h");
  EXPECT_TRUE((*file)->sync());
  struct stat st{};
  ASSERT_EQ(stat((dir + "/a").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
}

TEST_F(DiskTest, AllocatedSpaceReadsAsZerosAndKeepsWhatWasWritten) {
  auto file = disk->open(dir + "/a", OpenMode::kCreate);
  ASSERT_TRUE(file) << file.error().detail;
  ASSERT_TRUE((*file)->write_at(0, bytes("hello")));
  ASSERT_TRUE((*file)->allocate(8192));
  EXPECT_EQ((*file)->size().value(), 8192u);
  EXPECT_EQ(read(**file, 0, 7), std::string("hello\0\0", 7));
  struct stat st{};
  ASSERT_EQ(stat((dir + "/a").c_str(), &st), 0);
  EXPECT_GE(st.st_blocks * 512, 8192);
  ASSERT_TRUE((*file)->allocate(100));
  EXPECT_EQ((*file)->size().value(), 8192u);
}

TEST_F(DiskTest, OpenModesAndErrors) {
  EXPECT_EQ(disk->open(dir + "/none", OpenMode::kRead).error().code, Errc::kNotFound);
  EXPECT_EQ(disk->open(dir + "/none", OpenMode::kReadWrite).error().code, Errc::kNotFound);
  ASSERT_TRUE(disk->open(dir + "/a", OpenMode::kCreate));
  auto file = disk->open(dir + "/a", OpenMode::kRead);
  ASSERT_TRUE(file);
  EXPECT_EQ((*file)->write_at(0, bytes("x")).error().code, Errc::kIo);
  EXPECT_EQ(disk->remove(dir + "/none").error().code, Errc::kNotFound);
}

TEST_F(DiskTest, NamesAndFolders) {
  ASSERT_TRUE(disk->make_dirs(dir + "/x/y/z"));
  ASSERT_TRUE(disk->make_dirs(dir + "/x/y/z"));
  struct stat st{};
  ASSERT_EQ(stat((dir + "/x/y").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0700u);
  ASSERT_TRUE(disk->open(dir + "/b", OpenMode::kCreate));
  ASSERT_TRUE(disk->open(dir + "/a", OpenMode::kCreate));
  EXPECT_EQ(disk->list(dir).value(), (std::vector<std::string>{"a", "b", "x"}));
  ASSERT_TRUE(disk->rename(dir + "/a", dir + "/c"));
  EXPECT_FALSE(disk->exists(dir + "/a"));
  EXPECT_TRUE(disk->exists(dir + "/c"));
  EXPECT_TRUE(disk->sync_dir(dir));
  EXPECT_FALSE(disk->remove_dir(dir + "/x"));
  EXPECT_TRUE(disk->remove_dir(dir + "/x/y/z"));
  EXPECT_TRUE(disk->remove(dir + "/c"));
  EXPECT_FALSE(disk->make_dirs(dir + "/b/under-a-file"));
  EXPECT_EQ(disk->list(dir + "/none").error().code, Errc::kNotFound);
  EXPECT_GT(disk->free_bytes(dir).value(), 0u);
}

TEST_F(DiskTest, LockIsExclusiveUntilDropped) {
  auto first = disk->lock_dir(dir);
  ASSERT_TRUE(first);
  EXPECT_EQ(disk->lock_dir(dir).error().code, Errc::kExists);
  first->reset();
  EXPECT_TRUE(disk->lock_dir(dir));
}

TEST_F(DiskTest, FullDiskIsNoSpace) {
  auto full = disk->open("/dev/full", OpenMode::kReadWrite);
  if (!full) GTEST_SKIP() << "no /dev/full here";
  EXPECT_EQ((*full)->write_at(0, bytes("x")).error().code, Errc::kNoSpace);
}

TEST_F(DiskTest, FailedSyncStaysFailed) {
  // fdatasync of a character device that has no sync fails with EINVAL.
  auto file = disk->open("/dev/zero", OpenMode::kReadWrite);
  ASSERT_TRUE(file);
  ASSERT_FALSE((*file)->sync());
  EXPECT_NE((*file)->sync().error().detail.find("earlier"), std::string::npos);
}

TEST_F(DiskTest, WorkerRunsInOrderOffTheLoop) {
  UvEnv world;
  auto worker = world.env().disk_workers.make("journal");
  auto loop_thread = std::this_thread::get_id();
  std::vector<int> order;
  int done = 0;
  for (int i = 0; i < 50; ++i) {
    worker->submit(
        [&, i]() -> Status {
          EXPECT_NE(std::this_thread::get_id(), loop_thread);
          order.push_back(i);
          if (i == 7) return fail(Errc::kNoSpace, "full");
          return {};
        },
        [&, i](Status status) {
          EXPECT_EQ(std::this_thread::get_id(), loop_thread);
          EXPECT_EQ(status.has_value(), i != 7);
          EXPECT_EQ(done++, i);
        });
  }
  EXPECT_EQ(done, 0);
  world.loop().run();  // returns by itself once nothing is under way
  EXPECT_EQ(done, 50);
  EXPECT_EQ(order.size(), 50u);
}

TEST_F(DiskTest, DestroyedWorkerDropsItsDones) {
  UvEnv world;
  auto worker = world.env().disk_workers.make("w");
  bool called = false;
  auto held = std::make_shared<int>(0);
  for (int i = 0; i < 10; ++i) {
    worker->submit([held]() -> Status { return {}; }, [&, held](Status) { called = true; });
  }
  worker.reset();
  world.loop().run();
  EXPECT_FALSE(called);
  EXPECT_EQ(held.use_count(), 1);
}

TEST_F(DiskTest, DoneMaySubmitAndMayDestroyTheWorker) {
  UvEnv world;
  auto worker = world.env().disk_workers.make("w");
  bool second = false;
  worker->submit([]() -> Status { return {}; },
                 [&](Status) {
                   worker->submit([]() -> Status { return {}; },
                                  [&](Status) {
                                    second = true;
                                    worker.reset();
                                  });
                 });
  world.loop().run();
  EXPECT_TRUE(second);
}

}  // namespace
}  // namespace sluice
