#include "spool/entry.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

#include "base/headers.h"

namespace sluice {
namespace {

constexpr int kVersion = 1;

/// Blank-separated words of the entry line.
class Words {
 public:
  explicit Words(std::string_view text) : rest_(text) {}
  std::string_view next() {
    const std::string_view word = rest_.substr(0, rest_.find(' '));
    rest_.remove_prefix(std::min(word.size() + 1, rest_.size()));
    return word;
  }
  template <class T>
  bool number(T& value) {
    const std::string_view word = next();
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    return error == std::errc{} && end == word.data() + word.size() && !word.empty();
  }

 private:
  std::string_view rest_;
};

bool read_entry_line(std::string_view line, SpoolEntry& entry, bool& quarantined) {
  Words words(line);
  int version = 0;
  int64_t ttl = 0;
  unsigned priority = 0;
  Submission& s = entry.submission;
  if (!words.number(version) || version != kVersion || !words.number(entry.accepted) || !words.number(entry.expires) ||
      !words.number(s.created) || !words.number(ttl) || !words.number(s.max_tries) || !words.number(s.tries) ||
      !words.number(priority) || priority >= kSpoolPriorities)
    return false;
  s.ttl = std::chrono::seconds(ttl);
  s.priority = static_cast<uint8_t>(priority);
  const std::string_view flags = words.next();
  s.reliable = flags.find('r') != std::string_view::npos;
  s.sign = flags.find('s') != std::string_view::npos;
  quarantined = flags.find('q') != std::string_view::npos;
  return !flags.empty();
}

}  // namespace

std::string encode_entry(const SpoolEntry& entry) {
  const Submission& s = entry.submission;
  std::string flags;
  if (s.reliable) flags += 'r';
  if (s.sign) flags += 's';
  if (!entry.reason.empty()) flags += 'q';
  if (flags.empty()) flags = "-";
  std::string block = fmt::format("{}\r\nSpool-Entry: {} {} {} {} {} {} {} {} {}\r\nSpool-Id: {}\r\nSpool-Sender: {}\r\nSpool-Identity: {}\r\n",
                                  kHeaderPreamble, kVersion, entry.accepted, entry.expires, s.created, s.ttl.count(),
                                  s.max_tries, s.tries, s.priority, flags, s.id, s.sender, s.identity);
  if (!entry.reason.empty()) block += "Spool-Reason: " + entry.reason + "\r\n";
  for (const auto& [name, value] : s.headers) block += name + ": " + value + "\r\n";
  return block += "\r\n";
}

Result<SpoolEntry> decode_entry(const StoredMessage& message) {
  const auto bad = [] { return fail(Errc::kCorrupt, "not a record of the spool"); };
  SpoolEntry entry;
  HeaderFields fields(message.headers);
  HeaderField field;
  bool quarantined = false;
  if (!fields.next(field) || field.name != "Spool-Entry" || !read_entry_line(field.value, entry, quarantined)) return bad();
  Submission& s = entry.submission;
  const std::array<std::pair<std::string_view, std::string*>, 3> lines{
      {{"Spool-Id", &s.id}, {"Spool-Sender", &s.sender}, {"Spool-Identity", &s.identity}}};
  for (const auto& [name, into] : lines) {
    if (!fields.next(field) || field.name != name) return bad();
    *into = field.value;
  }
  if (quarantined) {
    if (!fields.next(field) || field.name != "Spool-Reason") return bad();
    entry.reason = field.value;
  }
  while (fields.next(field)) s.headers.emplace_back(field.name, field.value);
  s.subject = message.subject;
  s.payload = message.payload;
  return entry;
}

}  // namespace sluice
