#include "gateway/cli/nats_signal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
#include <system_error>

namespace sluice {
namespace {

struct Command {
  std::string_view word;
  int number;
};
constexpr std::array kCommands{Command{"stop", SIGKILL},  Command{"quit", SIGINT},
                               Command{"term", SIGTERM},  Command{"reopen", SIGUSR1},
                               Command{"reload", SIGHUP}, Command{"ldm", SIGUSR2}};

std::optional<int> process_id(std::string_view text) {
  while (text.ends_with('\n') || text.ends_with(' ')) text.remove_suffix(1);
  int number = 0;
  auto [end, bad] = std::from_chars(text.data(), text.data() + text.size(), number);
  // 0 and below would mean groups of processes.
  if (bad != std::errc() || end != text.data() + text.size() || number <= 0) return std::nullopt;
  return number;
}

std::string first_bytes(const std::string& path, size_t most) {
  std::ifstream file(path, std::ios::binary);
  std::string out(most, '\0');
  file.read(out.data(), static_cast<std::streamsize>(most));
  out.resize(static_cast<size_t>(std::max<std::streamsize>(0, file.gcount())));
  return out;
}

bool is_nats_server(int pid) {
  const std::string line = first_bytes(fmt::format("/proc/{}/cmdline", pid), 4096);
  const std::string_view all = line;
  const size_t end = all.find('\0');
  if (end == std::string_view::npos) return false;
  std::string_view program = all.substr(0, end);
  if (const size_t slash = program.rfind('/'); slash != std::string_view::npos)
    program.remove_prefix(slash + 1);
  if (program == "nats-server") return true;
  std::string_view rest = all.substr(end + 1);
  return program == "sluice" && rest.substr(0, rest.find('\0')) == "nats-server";
}

}  // namespace

Result<SignalOrder> parse_signal_order(std::string_view text) {
  const size_t equals = text.find('=');
  const std::string_view word = text.substr(0, equals);
  const auto found = std::find_if(kCommands.begin(), kCommands.end(),
                                  [&](const Command& c) { return c.word == word; });
  if (found == kCommands.end())
    return fail(Errc::kInvalidArgument, fmt::format("unknown signal \"{}\"", word));
  SignalOrder out{found->number, std::string(word), {}};
  if (equals != std::string_view::npos) out.target = text.substr(equals + 1);
  return out;
}

std::vector<int> running_nats_servers() {
  std::vector<int> out;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    auto pid = process_id(entry.path().filename().string());
    if (pid && *pid != ::getpid() && is_nats_server(*pid)) out.push_back(*pid);
  }
  return out;
}

Status send_signal(const SignalOrder& order, const std::function<std::vector<int>()>& running) {
  std::optional<int> pid;
  if (order.target.empty()) {
    const std::vector<int> all = running();
    if (all.empty()) return fail(Errc::kNotFound, "no nats-server processes running");
    if (all.size() > 1) {
      return fail(Errc::kInvalidArgument,
                  fmt::format("multiple nats-server processes running:\n{}", fmt::join(all, "\n")));
    }
    pid = all[0];
  } else {
    pid = process_id(order.target);
    if (!pid) pid = process_id(first_bytes(order.target, 64));
    if (!pid) return fail(Errc::kInvalidArgument, fmt::format("invalid pid: {}", order.target));
  }
  if (::kill(*pid, order.number) == 0) return {};
  return fail(
      Errc::kNotFound,
      fmt::format("signal \"{}\" {}: {}", order.command, *pid,
                  errno == ESRCH ? "no such process" : std::generic_category().message(errno)));
}

}  // namespace sluice
