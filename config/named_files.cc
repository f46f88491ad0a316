#include "config/named_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <functional>

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

}  // namespace

std::string named_files_text(const ReadContext& context, const YamlNode& section) {
  Problems told_already("");
  ReadContext quiet{.problems = told_already, .environment = context.environment};
  std::string out;
  collect(quiet, section, 0, out);
  return out;
}

}  // namespace sluice
