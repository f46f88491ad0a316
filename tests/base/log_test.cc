#include "base/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <thread>

#include "base/log_queue.h"

namespace sluice {
namespace {

std::string file_text(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(Log, WritesTextAndJsonAndKeepsTheLevel) {
  const std::string path = testing::TempDir() + "sluice_log_test.log";
  std::remove(path.c_str());
  constexpr Logger log{"room"};
  configure_logging({.level = LogLevel::kInfo, .json = false, .file = path});
  SLUICE_LOG(log, kInfo, "first key={}", 1);
  SLUICE_LOG(log, kDebug, "not shown");
  configure_logging({.level = LogLevel::kDebug, .json = true, .file = path});
  SLUICE_LOG(log, kDebug, "quote=\"{}\"", "\n");
  configure_logging({});
  const std::string text = file_text(path);
  EXPECT_NE(text.find("info  room: first key=1\n"), text.npos) << text;
  EXPECT_EQ(text.find("not shown"), text.npos);
  EXPECT_NE(text.find(R"("level":"debug","room":"room","msg":"quote=\"\u000a\""})"), text.npos) << text;
}

TEST(Log, SwapsItsSinkWhileOthersWrite) {
  const std::string path = testing::TempDir() + "sluice_log_swap.log";
  std::remove(path.c_str());
  constexpr Logger log{"room"};
  configure_logging({.file = path});
  std::thread writer([&] {
    for (int i = 0; i < 500; ++i) SLUICE_LOG(log, kInfo, "line={}", i);
  });
  for (int i = 0; i < 5; ++i) configure_logging({.file = path});
  writer.join();
  configure_logging({});
  const std::string text = file_text(path);
  EXPECT_EQ(static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n')) + dropped_log_lines(), 500u);
}

TEST(Log, AReaderThatStallsCostsTheOldestLinesOfASmallQueue) {
  constexpr uint64_t kLines = 2000;
  const std::string path = testing::TempDir() + "sluice_log_pipe";
  std::remove(path.c_str());
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  const int pipe = ::open(path.c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(pipe, 0);
  constexpr Logger log{"room"};
  const uint64_t dropped_before = dropped_log_lines();
  set_log_queue_lines(8);
  configure_logging({.file = path});
  const std::string filling(200, 'x');  // 2000 of them are more than a pipe holds
  for (uint64_t i = 0; i < kLines; ++i) SLUICE_LOG(log, kInfo, "line={} {}", i, filling);
  EXPECT_GT(dropped_log_lines(), dropped_before);
  uint64_t read_lines = 0;
  std::thread reader([&] {
    ::fcntl(pipe, F_SETFL, 0);
    char block[4096];
    for (ssize_t n; (n = ::read(pipe, block, sizeof block)) > 0;) read_lines += static_cast<uint64_t>(std::count(block, block + n, '\n'));
  });
  set_log_queue_lines(8192);
  configure_logging({});
  reader.join();
  ::close(pipe);
  EXPECT_EQ(read_lines + dropped_log_lines() - dropped_before, kLines);
}

}  // namespace
}  // namespace sluice
