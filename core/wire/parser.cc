#include "wire/parser.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"

namespace sluice {
namespace {

/// Verb, blanks before and after the arguments: what a line may hold above max_control_line.
constexpr size_t kLineSlack = 64;
/// A gather buffer that grew above this for a big payload is given back.
constexpr size_t kKeptBuffer = 64 * kKiB;
constexpr size_t kMaxSizeDigits = 9;
constexpr std::string_view kLineEnd = "\r\n";

enum class Verb : uint8_t { kConnect, kPub, kHpub, kSub, kUnsub, kPing, kPong, kInfo, kOk, kErr };
enum class VerbCheck : uint8_t { kWhole, kPart, kUnknown };

struct VerbRule {
  std::string_view name;
  Verb verb;
  bool needs_blank;  ///< a blank must follow; else any text may
};

constexpr std::array<VerbRule, 10> kVerbs = {{
    {"PUB", Verb::kPub, true},
    {"HPUB", Verb::kHpub, true},
    {"SUB", Verb::kSub, true},
    {"UNSUB", Verb::kUnsub, true},
    {"PING", Verb::kPing, false},
    {"PONG", Verb::kPong, false},
    {"CONNECT", Verb::kConnect, false},
    {"+OK", Verb::kOk, false},
    {"-ERR", Verb::kErr, true},
    {"INFO", Verb::kInfo, true},
}};

bool is_blank(char c) { return c == ' ' || c == '\t'; }
char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }

/// `line` may be the beginning of one only; then kPart says that it can still become a verb.
VerbCheck find_verb(std::string_view line, const VerbRule*& found) {
  for (const VerbRule& rule : kVerbs) {
    const size_t shared = std::min(line.size(), rule.name.size());
    size_t same = 0;
    while (same < shared && upper(line[same]) == rule.name[same]) ++same;
    if (same < shared) continue;
    if (line.size() < rule.name.size()) return VerbCheck::kPart;
    if (rule.needs_blank) {
      if (line.size() == rule.name.size()) return VerbCheck::kPart;
      if (!is_blank(line[rule.name.size()])) return VerbCheck::kUnknown;
    }
    found = &rule;
    return VerbCheck::kWhole;
  }
  return VerbCheck::kUnknown;
}

std::string_view skip_blanks(std::string_view text) {
  size_t at = 0;
  while (at < text.size() && is_blank(text[at])) ++at;
  return text.substr(at);
}

std::string_view without_cr(std::string_view line) {
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

struct Words {
  static constexpr size_t kMax = 4;
  std::array<std::string_view, kMax> at;
  size_t count = 0;  ///< kMax + 1 = too many
};

/// SUB and UNSUB take a stray "\r" for a blank, PUB and HPUB for a part of the word: as nats-server
/// does.
bool is_blank_or_cr(char c) { return is_blank(c) || c == '\r'; }

template <class IsBlank>
Words split(std::string_view args, IsBlank blank) {
  Words words;
  const char* p = args.data();
  const char* const end = p + args.size();
  while (true) {
    while (p != end && blank(*p)) ++p;
    if (p == end) return words;
    const char* const first = p;
    while (p != end && !blank(*p)) ++p;
    if (words.count == Words::kMax) {
      ++words.count;
      return words;
    }
    words.at[words.count++] = {first, static_cast<size_t>(p - first)};
  }
}

/// @return false unless `text` is 1 to 9 digits.
bool parse_size(std::string_view text, size_t& size) {
  if (text.empty() || text.size() > kMaxSizeDigits) return false;
  size = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    size = size * 10 + static_cast<size_t>(c - '0');
  }
  return true;
}

}  // namespace

std::string_view error_text(WireError error) {
  switch (error) {
    case WireError::kUnknownOperation:
      return "Unknown Protocol Operation";
    case WireError::kControlLineTooLong:
      return "maximum control line exceeded";
    case WireError::kPayloadTooLarge:
      return "Maximum Payload Violation";
    case WireError::kNotConnect:
      return "Authorization Violation";
    case WireError::kBadArguments:
    case WireError::kPeerError:
      return "";
  }
  return "";
}

bool Parser::fail(WireError error, Operation& op) {
  op.kind = Kind::kError;
  op.error = error;
  return true;
}

/// @return false when no whole operation is left; `bytes` is empty then.
bool Parser::next(std::string_view& bytes, Operation& op) {
  if (spent_) {
    spent_ = false;
    gather_.clear();
    if (gather_.capacity() > kKeptBuffer) gather_.shrink_to_fit();
  }
  while (!bytes.empty()) {
    if (in_payload_) return gather_payload(bytes, op);
    if (gather_.empty() && next_pub_fast(bytes, op)) return true;
    std::string_view line;
    if (!gather_line(bytes, op, line)) return false;
    if (op.kind == Kind::kError) return true;
    if (!read_line(line, bytes, op)) return false;
    if (op.kind != Kind::kIgnored) return true;
    gather_.clear();
  }
  return false;
}

/// A PUB that has come whole, spelled in capitals with single spaces. Touches nothing unless it is
/// one.
bool Parser::next_pub_fast(std::string_view& bytes, Operation& op) {
  if (bytes.size() < 4 || std::memcmp(bytes.data(), "PUB ", 4) != 0 || limits_.connect_first)
    return false;
  const char* const begin = bytes.data() + 4;
  const char* const end = bytes.data() + bytes.size();
  const auto* newline =
      static_cast<const char*>(std::memchr(begin, '\n', static_cast<size_t>(end - begin)));
  if (newline == nullptr || newline == begin || newline[-1] != '\r') return false;
  const char* const last = newline - 1;
  if (static_cast<size_t>(last - begin) > limits_.max_control_line) return false;

  const char* p = last;
  size_t size = 0;
  for (size_t unit = 1; p != begin && p[-1] >= '0' && p[-1] <= '9' && unit < 1'000'000'000;
       unit *= 10) {
    size += static_cast<size_t>(*--p - '0') * unit;
  }
  if (p == last || p == begin || *--p != ' ' || size > limits_.max_payload) return false;

  const char* blank = begin;
  while (blank != p && !is_blank(*blank)) ++blank;
  if (blank == begin) return false;
  std::string_view reply;
  if (blank != p) {
    if (*blank != ' ') return false;
    reply = {blank + 1, static_cast<size_t>(p - blank - 1)};
    if (reply.empty() || std::any_of(reply.begin(), reply.end(), is_blank)) return false;
  }
  const char* const message = newline + 1;
  if (static_cast<size_t>(end - message) < size + kLineEnd.size()) return false;
  if (message[size] != '\r' || message[size + 1] != '\n') return false;

  op.kind = Kind::kPub;
  op.pub.subject = {begin, static_cast<size_t>(blank - begin)};
  op.pub.reply = reply;
  op.pub.message = {message, size};
  op.pub.header_bytes = 0;
  bytes.remove_prefix(static_cast<size_t>(message + size + kLineEnd.size() - bytes.data()));
  return true;
}

/// Cuts a line (without its end) off `bytes`, after what gather_ holds of it; or stores the piece.
/// @return false when more bytes are needed. A line known to be bad gives an error at once.
bool Parser::gather_line(std::string_view& bytes, Operation& op, std::string_view& line) {
  op.kind = Kind::kIgnored;
  const size_t max_line = limits_.max_control_line + kLineSlack;
  // More than a whole line at its longest, with "\r", need not be looked at.
  const size_t looked = std::min(bytes.size(), max_line + kLineEnd.size());
  const auto* newline = static_cast<const char*>(std::memchr(bytes.data(), '\n', looked));
  const size_t taken = newline == nullptr ? looked : static_cast<size_t>(newline - bytes.data());
  line = bytes.substr(0, taken);
  if (!gather_.empty() || newline == nullptr) {
    gather_.append(line);
    line = gather_;
  }
  bytes.remove_prefix(newline == nullptr ? taken : taken + 1);
  if (newline != nullptr) line = without_cr(line);

  const char first = line.empty() ? '\n' : line.front();
  if (limits_.connect_first && upper(first) != 'C') return fail(WireError::kNotConnect, op);
  const VerbRule* rule = nullptr;
  const VerbCheck check = find_verb(line, rule);
  if (check == VerbCheck::kUnknown || (check == VerbCheck::kPart && newline != nullptr)) {
    return fail(WireError::kUnknownOperation, op);
  }
  const std::string_view counted = newline == nullptr ? without_cr(line) : line;
  if (counted.size() > max_line) return fail(WireError::kControlLineTooLong, op);
  if (rule != nullptr &&
      skip_blanks(counted.substr(rule->name.size())).size() > limits_.max_control_line) {
    return fail(WireError::kControlLineTooLong, op);
  }
  return newline != nullptr;
}

/// The operation of a whole line. @return false when its payload is still to come.
bool Parser::read_line(std::string_view line, std::string_view& bytes, Operation& op) {
  const VerbRule* rule = nullptr;
  SLUICE_CHECK(find_verb(line, rule) == VerbCheck::kWhole);
  const std::string_view args = skip_blanks(line.substr(rule->name.size()));
  spent_ = !gather_.empty();
  switch (rule->verb) {
    case Verb::kPub:
      return read_pub(line, args, false, bytes, op);
    case Verb::kHpub:
      return read_pub(line, args, true, bytes, op);
    case Verb::kSub: {
      const Words words = split(args, is_blank_or_cr);
      if (words.count != 2 && words.count != 3) return fail(WireError::kBadArguments, op);
      op.kind = Kind::kSub;
      op.sub.subject = words.at[0];
      op.sub.queue = words.count == 3 ? words.at[1] : std::string_view{};
      op.sub.sid = words.at[words.count - 1];
      return true;
    }
    case Verb::kUnsub: {
      const Words words = split(args, is_blank_or_cr);
      if (words.count != 1 && words.count != 2) return fail(WireError::kBadArguments, op);
      size_t max = 0;
      if (words.count == 2 && !parse_size(words.at[1], max)) max = 0;
      op.kind = Kind::kUnsub;
      op.unsub = {.sid = words.at[0], .max = max};
      return true;
    }
    case Verb::kPing:
      op.kind = Kind::kPing;
      return true;
    case Verb::kPong:
      op.kind = Kind::kPong;
      return true;
    case Verb::kConnect:
      op.kind = Kind::kConnect;
      op.json = args;
      return true;
    case Verb::kErr:
      return fail(WireError::kPeerError, op);
    case Verb::kInfo:
    case Verb::kOk:
      spent_ = false;  // next() clears the buffer and goes on
      op.kind = Kind::kIgnored;
      return true;
  }
  return true;
}

bool Parser::read_pub(std::string_view line, std::string_view args, bool with_header,
                      std::string_view& bytes, Operation& op) {
  const Words words = split(args, is_blank);
  const size_t numbers = with_header ? 2 : 1;
  if (words.count != numbers + 1 && words.count != numbers + 2)
    return fail(WireError::kBadArguments, op);
  size_t size = 0;
  size_t header = 0;
  if (with_header && (!limits_.headers || !parse_size(words.at[words.count - 2], header))) {
    return fail(WireError::kBadArguments, op);
  }
  if (!parse_size(words.at[words.count - 1], size) || header > size)
    return fail(WireError::kBadArguments, op);
  op.pub.subject = words.at[0];
  op.pub.reply = words.count == numbers + 2 ? words.at[1] : std::string_view{};
  op.pub.header_bytes = header;
  if (size > limits_.max_payload) {
    op.size = size;
    op.pub.header_bytes = header <= bytes.size() ? header : 0;
    op.pub.message = bytes.substr(0, op.pub.header_bytes);
    return fail(WireError::kPayloadTooLarge, op);
  }
  return take_message(line, size, bytes, op);
}

/// Tells the message when it has come whole, else moves line and message into gather_.
bool Parser::take_message(std::string_view line, size_t size, std::string_view& bytes,
                          Operation& op) {
  if (bytes.size() > size && bytes[size] != '\r') return fail(WireError::kUnknownOperation, op);
  if (bytes.size() >= size + kLineEnd.size()) {
    if (bytes[size + 1] != '\n') return fail(WireError::kUnknownOperation, op);
    op.kind = Kind::kPub;
    op.pub.message = bytes.substr(0, size);
    bytes.remove_prefix(size + kLineEnd.size());
    return true;
  }
  const auto offset = [&](std::string_view field) {
    return field.empty() ? 0 : static_cast<size_t>(field.data() - line.data());
  };
  pending_ = {.subject_at = offset(op.pub.subject),
              .subject_bytes = op.pub.subject.size(),
              .reply_at = offset(op.pub.reply),
              .reply_bytes = op.pub.reply.size(),
              .header_bytes = op.pub.header_bytes,
              .message_at = line.size(),
              .message_bytes = size};
  if (gather_.empty()) {
    gather_.reserve(line.size() + size + kLineEnd.size());
    gather_.append(line);
  } else {
    gather_.resize(line.size());  // it held the line, and perhaps "\r"
    gather_.reserve(line.size() + size + kLineEnd.size());
  }
  gather_.append(bytes);
  bytes = {};
  spent_ = false;
  in_payload_ = true;
  return false;
}

/// @return false when more bytes are needed.
bool Parser::gather_payload(std::string_view& bytes, Operation& op) {
  const size_t end = pending_.message_at + pending_.message_bytes;
  const size_t taken = std::min(bytes.size(), end + kLineEnd.size() - gather_.size());
  gather_.append(bytes.substr(0, taken));
  bytes.remove_prefix(taken);
  if (gather_.size() > end && gather_[end] != '\r') return fail(WireError::kUnknownOperation, op);
  if (gather_.size() < end + kLineEnd.size()) return false;
  if (gather_[end + 1] != '\n') return fail(WireError::kUnknownOperation, op);
  in_payload_ = false;
  spent_ = true;
  const std::string_view all = gather_;
  op.kind = Kind::kPub;
  op.pub = {.subject = all.substr(pending_.subject_at, pending_.subject_bytes),
            .reply = all.substr(pending_.reply_at, pending_.reply_bytes),
            .message = all.substr(pending_.message_at, pending_.message_bytes),
            .header_bytes = pending_.header_bytes};
  return true;
}

}  // namespace sluice
