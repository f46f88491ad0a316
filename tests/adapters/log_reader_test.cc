// A log that is written, rotated and cut under the reader's eyes; on the real disk, as inodes and times are its matter.
#include "adapters/choria_audit/log_reader.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <random>

namespace sluice {
namespace {

namespace fs = std::filesystem;

class LogReaderTest : public testing::Test {
 protected:
  LogReaderTest() {
    std::string pattern = fs::temp_directory_path() / "sluice-log-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    log_ = folder_ / "audit.log";
    restart();
  }
  ~LogReaderTest() override { fs::remove_all(folder_); }

  void write(const std::string& text) {
    std::ofstream(log_, std::ios::app | std::ios::binary) << text;
    stamp(log_);
  }
  /// File systems' clocks are coarse; the order of the generations must not hang on them.
  void stamp(const fs::path& path) {
    const timespec times[2] = {{++seconds_, 0}, {seconds_, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  }
  void rotate(const std::string& suffix) { fs::rename(log_, log_.string() + suffix); }
  void copy_and_cut(const std::string& suffix) {
    fs::copy_file(log_, log_.string() + suffix);
    stamp(log_.string() + suffix);
    fs::resize_file(log_, 0);
  }
  /// Another process: only the position is left.
  void restart() {
    reader_ = std::make_unique<LogReader>(log_, 1000);
    if (position_) reader_->resume(*position_);
  }
  /// What is read until nothing more comes, twice over: then a rotated file is left.
  std::vector<std::string> read_all() {
    std::vector<std::string> out;
    for (int quiet = 0; quiet < 3;) {
      auto got = reader_->read();
      EXPECT_TRUE(got) << got.error().detail;
      if (!got) break;
      quiet = got->lines.empty() && !got->more ? quiet + 1 : 0;
      for (LogLine& line : got->lines) {
        const char* marks[] = {"", "LONG:", "HALF:"};
        out.push_back(marks[static_cast<int>(line.fault)] + line.text);
        position_ = line.after;
      }
      for (const std::string& gap : got->gaps) gaps_.push_back(gap);
    }
    return out;
  }
  using Lines = std::vector<std::string>;

  fs::path folder_, log_;
  time_t seconds_ = 1'700'000'000;
  std::optional<LogPosition> position_;
  std::vector<std::string> gaps_;
  std::unique_ptr<LogReader> reader_;
};

TEST_F(LogReaderTest, AHalfWrittenLineWaits) {
  EXPECT_EQ(read_all(), Lines{});  // not there yet
  write("one\ntw");
  EXPECT_EQ(read_all(), (Lines{"one"}));
  write("o\n\n  \nthree\n");
  EXPECT_EQ(read_all(), (Lines{"two", "three"}));
  EXPECT_EQ(position_->offset, 18U);
}

TEST_F(LogReaderTest, ARestartNeitherRepeatsNorSkips) {
  write("one\ntwo\nthr");
  EXPECT_EQ(read_all(), (Lines{"one", "two"}));
  restart();
  EXPECT_EQ(read_all(), Lines{});
  write("ee\nfour\n");
  EXPECT_EQ(read_all(), (Lines{"three", "four"}));
  EXPECT_TRUE(gaps_.empty());
}

TEST_F(LogReaderTest, ThePositionSurvivesItsText) {
  write("one\n");
  (void)read_all();
  EXPECT_EQ(parse_log_position(format_log_position(*position_)), position_);
  for (const char* bad : {"", "{}", "nonsense", R"({"inode":1,"offset":-1,"written":0,"tail":"00000000000000000000000000000000"})",
                          R"({"inode":1,"offset":1,"written":0,"tail":"short"})"})
    EXPECT_FALSE(parse_log_position(bad)) << bad;
}

TEST_F(LogReaderTest, ARenamedFileIsReadToItsEnd) {
  write("one\n");
  EXPECT_EQ(read_all(), (Lines{"one"}));
  write("two\n");
  rotate(".1");
  std::ofstream(log_.string() + ".1", std::ios::app) << "late\nhal";  // by who had it open
  stamp(log_.string() + ".1");
  write("three\n");
  EXPECT_EQ(read_all(), (Lines{"two", "late", "HALF:hal", "three"}));
  write("four\n");
  EXPECT_EQ(read_all(), (Lines{"four"}));
  EXPECT_TRUE(gaps_.empty());
}

TEST_F(LogReaderTest, BetweenRenameAndCreationItWaits) {
  write("one\n");
  EXPECT_EQ(read_all(), (Lines{"one"}));
  rotate("-20260107");
  EXPECT_EQ(read_all(), Lines{});
  write("two\n");
  EXPECT_EQ(read_all(), (Lines{"two"}));
}

TEST_F(LogReaderTest, RotationsWhileNobodyReadAreMadeUpFor) {
  write("one\ntwo\n");
  EXPECT_EQ(read_all(), (Lines{"one", "two"}));
  write("three\n");
  rotate(".2");
  write("four\n");
  rotate(".1");
  write("five\n");
  std::ofstream(log_.string() + ".bak") << "a person's copy\n";
  std::ofstream(log_.string() + ".0.gz") << "older\n";
  restart();
  EXPECT_EQ(read_all(), (Lines{"three", "four", "five"}));
  EXPECT_TRUE(gaps_.empty());
}

TEST_F(LogReaderTest, CopyAndCutLosesNothing) {
  write("one\n");
  EXPECT_EQ(read_all(), (Lines{"one"}));
  write("two\n");
  copy_and_cut(".1");
  write("three\n");
  EXPECT_EQ(read_all(), (Lines{"two", "three"}));
  // Cut, and longer than before when it is looked at again.
  write("four\n");
  fs::rename(log_.string() + ".1", log_.string() + ".2");
  copy_and_cut(".1");
  write("five is a longer line than all before it together\n");
  EXPECT_EQ(read_all(), (Lines{"four", "five is a longer line than all before it together"}));
  EXPECT_TRUE(gaps_.empty());
}

TEST_F(LogReaderTest, CopyAndCutWhileNobodyRead) {
  write("one\n");
  EXPECT_EQ(read_all(), (Lines{"one"}));
  write("two\n");
  copy_and_cut(".1");
  write("three\n");
  restart();
  EXPECT_EQ(read_all(), (Lines{"two", "three"}));
  EXPECT_TRUE(gaps_.empty());
}

TEST_F(LogReaderTest, ACutWithoutACopyIsToldAsAGap) {
  write("one\ntwo\n");
  EXPECT_EQ(read_all(), (Lines{"one", "two"}));
  fs::resize_file(log_, 0);
  write("new\n");
  EXPECT_EQ(read_all(), (Lines{"new"}));
  EXPECT_EQ(gaps_.size(), 1U);
}

TEST_F(LogReaderTest, AFileThatIsGoneIsToldAsAGapAndTheNextOnesAreRead) {
  write("one\n");
  EXPECT_EQ(read_all(), (Lines{"one"}));
  write("lost\n");
  rotate(".2");
  write("two\n");
  rotate(".1");
  write("three\n");
  fs::rename(log_.string() + ".2", log_.string() + ".2.gz");
  restart();
  EXPECT_EQ(read_all(), (Lines{"two", "three"}));
  ASSERT_EQ(gaps_.size(), 1U);
  EXPECT_NE(gaps_[0].find("offset 4"), std::string::npos) << gaps_[0];
}

TEST_F(LogReaderTest, TooLongLinesAreCutAndPassed) {
  const std::string huge(700'000, 'x');
  write("one\n" + std::string(1001, 'y') + "\n" + huge + "\ntwo\n");
  EXPECT_EQ(read_all(), (Lines{"one", "LONG:" + std::string(1000, 'y'), "LONG:" + std::string(1000, 'x'), "two"}));
  restart();
  write("three\n");
  EXPECT_EQ(read_all(), (Lines{"three"}));
}

TEST_F(LogReaderTest, WhatStoodThereCanBeLeft) {
  write("one\n");
  reader_->skip_present();
  EXPECT_EQ(read_all(), Lines{});
  write("two\n");
  EXPECT_EQ(read_all(), (Lines{"two"}));
}

// Any sequence of writing in pieces, rotating either way, reading and restarting: every line once, in order.
TEST_F(LogReaderTest, AnyHistoryKeepsEveryLineOnce) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 draw(seed);
  Lines written, read;
  int generation = 0;
  written.push_back("the first");  // from here on there is a position
  write("the first\n");
  read = read_all();
  for (int step = 0; step < 400; ++step) {
    switch (draw() % 8) {
      case 0:
      case 1:
      case 2: {
        written.push_back("line " + std::to_string(written.size()) + std::string(draw() % 300, '.'));
        write(written.back() + "\n");
        break;
      }
      case 3: {  // in two pieces
        written.push_back("piece " + std::to_string(written.size()));
        write(written.back().substr(0, 3));
        for (std::string& line : read_all()) read.push_back(line);
        write(written.back().substr(3) + "\n");
        break;
      }
      case 4:
        restart();
        break;
      case 5:
        // As logrotate has it, there is a file of that name again at once.
        if (fs::file_size(log_) == 0) break;
        rotate("-" + std::to_string(++generation));
        write("");
        break;
      case 6:
        if (fs::file_size(log_) == 0) break;
        // A file without any text before the position can't be told from others once it is cut.
        for (std::string& line : read_all()) read.push_back(line);
        written.push_back("between " + std::to_string(written.size()));
        write(written.back() + "\n");
        copy_and_cut("-" + std::to_string(++generation));
        break;
      default:
        for (std::string& line : read_all()) read.push_back(line);
    }
  }
  for (std::string& line : read_all()) read.push_back(line);
  EXPECT_EQ(read, written);
  EXPECT_TRUE(gaps_.empty()) << gaps_[0];
}

}  // namespace
}  // namespace sluice
