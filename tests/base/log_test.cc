#include "base/log.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <thread>

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

}  // namespace
}  // namespace sluice
