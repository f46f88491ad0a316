// nats_conf.h's parts that touch the disk and that print.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/limits.h"
#include "config/nats_conf.h"

namespace sluice {
namespace {

constexpr size_t kMaxRead_bytes = 1 * kMiB + 1;  // one more than the parser takes

std::string last_error() {
  std::string words = std::generic_category().message(errno);
  if (!words.empty() && words[0] >= 'A' && words[0] <= 'Z')
    words[0] = static_cast<char>(words[0] + 32);
  return words;
}

Result<std::string> read_conf_file(const std::string& path) {
  // Not a pipe or a device: reading one may never end.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return fail(Errc::kIo, fmt::format("open {}: {}", path, last_error()));
  struct stat st{};
  std::string text;
  ssize_t got = 0;
  if (::fstat(fd, &st) != 0 || S_ISDIR(st.st_mode)) {
    got = -1;
    errno = EISDIR;
  } else {
    char block[16 * 1024];
    while (text.size() < kMaxRead_bytes && (got = ::read(fd, block, sizeof block)) > 0) {
      text.append(block, static_cast<size_t>(got));
    }
  }
  const std::string why = got < 0 ? last_error() : std::string();
  ::close(fd);
  if (got < 0) return fail(Errc::kIo, fmt::format("read {}: {}", path, why));
  return text;
}

void append_text(std::string& out, std::string_view text) {
  out += '"';
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\b') {
      out += "\\b";
    } else if (c == '\f') {
      out += "\\f";
    } else if (u < 0x20 || c == '<' || c == '>' || c == '&') {
      out += fmt::format("\\u{:04x}", u);
    } else {
      out += c;
    }
  }
  out += '"';
}

void append_value(std::string& out, const ConfValue& value) {
  switch (value.kind) {
    case ConfValue::Kind::kFlag:
      out += value.flag ? "true" : "false";
      return;
    case ConfValue::Kind::kInteger:
      out += std::to_string(value.integer);
      return;
    case ConfValue::Kind::kReal:
      out += fmt::format("{}", value.real);
      if (out.ends_with(".0")) out.resize(out.size() - 2);
      return;
    case ConfValue::Kind::kText:
      append_text(out, value.text);
      return;
    case ConfValue::Kind::kList:
      out += '[';
      for (const ConfValue& item : value.items) {
        append_value(out, item);
        out += ',';
      }
      if (!value.items.empty()) out.pop_back();
      out += ']';
      return;
    case ConfValue::Kind::kMap:
      break;
  }
  std::vector<const ConfEntry*> sorted;
  for (const ConfEntry& entry : value.entries) sorted.push_back(&entry);
  std::sort(sorted.begin(), sorted.end(),
            [](const ConfEntry* a, const ConfEntry* b) { return a->key < b->key; });
  out += '{';
  for (const ConfEntry* entry : sorted) {
    append_text(out, entry->key);
    out += ':';
    append_value(out, entry->value);
    out += ',';
  }
  if (!sorted.empty()) out.pop_back();
  out += '}';
}

}  // namespace

Result<NatsConf> load_nats_conf(const std::string& path, const Environment& environment) {
  auto text = read_conf_file(path);
  if (!text) return std::unexpected(text.error());
  return parse_nats_conf(path, *text, read_conf_file, environment);
}

std::string canonical_json(const NatsConf& conf) {
  std::string out;
  append_value(out, conf.root);
  return out + "\n";
}

}  // namespace sluice
