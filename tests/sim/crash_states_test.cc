#include "sim/crash_states.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "sim/sim_disk.h"

namespace sluice::sim {
namespace {

std::string text_of(const DiskImage& image, const std::string& path) {
  const auto found = image.find(path);
  if (found == image.end()) return "none";
  std::string out(found->second->size, '\0');
  found->second->read(0, std::as_writable_bytes(std::span(out)));
  return out;
}

/// The letters of each sector, "." for zeros: "AB." = two sectors written, one not.
std::string letters(const std::string& text) {
  if (text == "none") return text;
  std::string out;
  for (size_t at = 0; at < text.size(); at += kSector) out += text[at] == '\0' ? '.' : text[at];
  return out;
}

struct Recorded {
  Recorded() : disk(SimRandom(1)) {
    disk.record(&history);
    EXPECT_TRUE(disk.make_dirs("d"));
    file = std::move(*disk.open("d/f", OpenMode::kCreate));
  }
  void write(uint64_t offset, std::string_view sectors) {
    std::string bytes;
    for (const char c : sectors) bytes.append(kSector, c);
    EXPECT_TRUE(file->write_at(offset, std::as_bytes(std::span(bytes))));
  }
  std::set<std::string> states_at_end(uint64_t promises = 0) {
    CrashStates states(history, SimRandom(7));
    while (states.step()) {
    }
    std::set<std::string> out;
    states.each(promises, 64, [&](const DiskImage& image) {
      out.insert(letters(text_of(image, "d/f")));
      return true;
    });
    return out;
  }
  DiskHistory history;
  SimDisk disk;
  std::unique_ptr<File> file;
};

TEST(CrashStates, WhatWasSyncedIsThereAndTheRestInAnyParts) {
  Recorded r;
  r.write(0, "AA");
  ASSERT_TRUE(r.file->sync());
  ASSERT_TRUE(r.disk.sync_dir("d"));
  r.write(kSector, "BC");
  const auto states = r.states_at_end();
  EXPECT_TRUE(states.contains("AA"));
  EXPECT_TRUE(states.contains("AB"));
  EXPECT_TRUE(states.contains("AAC"));  // the later sector without the earlier
  EXPECT_TRUE(states.contains("ABC"));
  EXPECT_TRUE(states.contains("AA."));  // the size without the bytes
  for (const std::string& state : states) EXPECT_EQ(state[0], 'A');
}

TEST(CrashStates, SyncOfTheFileDoesNotKeepItsName) {
  Recorded r;
  r.write(0, "A");
  ASSERT_TRUE(r.file->sync());
  EXPECT_EQ(r.states_at_end(), (std::set<std::string>{"none", "A"}));
  ASSERT_TRUE(r.disk.sync_dir("d"));
  EXPECT_EQ(r.states_at_end(), (std::set<std::string>{"A"}));
}

TEST(CrashStates, WritesArriveInAnyOrder) {
  Recorded r;
  ASSERT_TRUE(r.disk.sync_dir("d"));
  r.write(0, "A");
  r.write(0, "B");
  r.write(kSector, "C");
  const auto states = r.states_at_end();
  for (const char* expected : {"", "A", "B", ".C", "AC", "BC"}) EXPECT_TRUE(states.contains(expected)) << expected;
}

TEST(CrashStates, ADiskIsGivenOutOnceForTheSamePromises) {
  Recorded r;
  r.write(0, "ABC");
  CrashStates states(r.history, SimRandom(3));
  while (states.step()) {
  }
  std::set<uint64_t> hashes;
  size_t visits = 0;
  const auto count = [&](const DiskImage& image) {
    hashes.insert(hash_of(image));
    ++visits;
    return true;
  };
  states.each(1, 50, count);
  EXPECT_EQ(hashes.size(), visits);
  const size_t first = visits;
  states.each(1, 0, count);
  EXPECT_EQ(visits, first);
  states.each(2, 0, count);
  EXPECT_GT(visits, first);
}

TEST(CrashStates, AnImageIsSharedUntilWritten) {
  Recorded r;
  r.write(0, "AAAAAAAAA");
  const DiskImage image = r.disk.image();
  SimDisk other(SimRandom(2));
  other.load(image);
  auto file = other.open("d/f", OpenMode::kReadWrite);
  ASSERT_TRUE(file);
  const std::string bytes(10, 'X');
  ASSERT_TRUE((*file)->write_at(0, std::as_bytes(std::span(bytes))));
  EXPECT_EQ(letters(text_of(image, "d/f")), "AAAAAAAAA");
  EXPECT_EQ(letters(text_of(other.image(), "d/f")), "XAAAAAAAA");
  other.power_cut();
  other.power_on();
  EXPECT_TRUE(other.exists("d/f"));
}

}  // namespace
}  // namespace sluice::sim
