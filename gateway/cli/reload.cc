// `sluice reload`: the file is checked here, then the daemon that runs with it is told.
#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>

#include "base/parse_number.h"
#include "gateway/cli/command_line.h"

namespace sluice {
namespace {

std::vector<std::string> words_of(int pid) {
  std::ifstream file(fmt::format("/proc/{}/cmdline", pid), std::ios::binary);
  std::vector<std::string> out;
  for (std::string word; std::getline(file, word, '\0') && out.size() < 64;) out.push_back(word);
  return out;
}

/// Whether that process is `sluice run` with this file.
bool runs_with(int pid, const std::filesystem::path& config) {
  const std::vector<std::string> words = words_of(pid);
  if (words.size() < 2 || std::filesystem::path(words[0]).filename() != "sluice" ||
      words[1] != "run")
    return false;
  std::error_code ignored;
  const auto folder = std::filesystem::read_symlink(fmt::format("/proc/{}/cwd", pid), ignored);
  const auto is_it = [&](std::string_view name) {
    return std::filesystem::equivalent(folder / name, config, ignored);
  };
  for (size_t i = 2; i < words.size(); ++i) {
    const std::string_view word = words[i];
    const bool alone = word == "-c" || word == "--config";
    if (alone && i + 1 < words.size() && is_it(words[i + 1])) return true;
    if (word.starts_with("--config=") && is_it(word.substr(9))) return true;
  }
  return false;
}

std::vector<int> daemons_of(const std::filesystem::path& config) {
  std::vector<int> out;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const auto pid = parse_decimal<int>(entry.path().filename().string());
    if (pid && runs_with(*pid, config)) out.push_back(*pid);
  }
  return out;
}

}  // namespace

int reload_verb(const std::string& config_path) {
  if (const int code = tell_problems(config_path); code != kExitOk) return code;
  const std::vector<int> daemons = daemons_of(config_path);
  if (daemons.size() != 1) {
    std::fprintf(stderr,
                 daemons.empty() ? "sluice: no daemon runs with %s\n"
                                 : "sluice: several daemons run with %s\n",
                 config_path.c_str());
    return kExitFailure;
  }
  if (::kill(daemons[0], SIGHUP) != 0) {
    std::perror("sluice: kill");
    return kExitFailure;
  }
  std::printf("told process %d; its log says what was applied and what waits for a restart\n",
              daemons[0]);
  return kExitOk;
}

}  // namespace sluice
