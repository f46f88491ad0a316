#include "config/named_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <system_error>

namespace sluice {
namespace {

constexpr size_t kMaxRead_bytes = 1024 * 1024;
constexpr int kMaxDepth = 16;

bool names_a_file(std::string_view key) {
  // A position is written by ourselves.
  if (key == "position_file") return false;
  constexpr std::array<std::string_view, 4> kKeys = {"cert", "key", "ca", "credentials"};
  return key.ends_with("_file") || std::ranges::find(kKeys, key) != kKeys.end();
}

/// "" when there is no such file.
std::string digest_of(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return "";
  struct stat found{};
  std::string content;
  if (::fstat(fd, &found) == 0 && S_ISREG(found.st_mode)) {
    content.resize(kMaxRead_bytes);
    const ssize_t size = ::read(fd, content.data(), content.size());
    content.resize(size < 0 ? 0 : static_cast<size_t>(size));
  }
  ::close(fd);
  return fmt::format("{:x}", std::hash<std::string>{}(content));
}

void collect(ReadContext& context, const YamlNode& node, int depth, std::string& out) {
  if (depth > kMaxDepth) return;
  for (const YamlNode& item : node.items) collect(context, item, depth + 1, out);
  for (const YamlNode::Entry& entry : node.entries) {
    collect(context, entry.value, depth + 1, out);
    if (entry.value.kind != YamlNode::Kind::kScalar || !names_a_file(entry.key)) continue;
    if (const auto path = read_text(context, entry.value)) out += fmt::format("\n{}: {}", entry.key, digest_of(*path));
  }
}

/// Why it can't be read; empty: it can.
std::string trouble_with(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return std::generic_category().message(errno);
  struct stat found{};
  const bool is_file = ::fstat(fd, &found) == 0 && !S_ISDIR(found.st_mode);
  ::close(fd);
  return is_file ? "" : "it is a directory";
}

void warn_of_unreadable(ReadContext& context, ReadContext& quiet, const YamlNode& node, bool in_tls, int depth) {
  if (depth > kMaxDepth) return;
  for (const YamlNode& item : node.items) warn_of_unreadable(context, quiet, item, in_tls, depth + 1);
  for (const YamlNode::Entry& entry : node.entries) {
    warn_of_unreadable(context, quiet, entry.value, entry.key == "tls", depth + 1);
    const bool is_tls_file = entry.key == "cert" || entry.key == "key" || entry.key == "ca";
    if (entry.value.kind != YamlNode::Kind::kScalar || !names_a_file(entry.key) || (is_tls_file && !in_tls)) continue;
    const auto path = read_text(quiet, entry.value);
    if (!path || path->empty()) continue;
    if (const std::string why = trouble_with(*path); !why.empty())
      context.problems.warn(entry.value.place, fmt::format("'{}': {}: {}", entry.key, *path, why));
  }
}

}  // namespace

void warn_of_unreadable_files(ReadContext& context, const YamlNode& root) {
  Problems told_already("");
  ReadContext quiet{.problems = told_already, .environment = context.environment};
  warn_of_unreadable(context, quiet, root, false, 0);
}

std::string named_files_text(const ReadContext& context, const YamlNode& section) {
  Problems told_already("");
  ReadContext quiet{.problems = told_already, .environment = context.environment};
  std::string out;
  collect(quiet, section, 0, out);
  return out;
}

}  // namespace sluice
