#include "config/nats_conf.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <deque>
#include <optional>

#include "base/limits.h"
#include "config/nats_conf_lexical.h"

namespace sluice {
namespace {

constexpr size_t kMaxFile_bytes = 1 * kMiB;
constexpr size_t kMaxFiles = 256;
constexpr int kMaxIncludeDepth = 16;
constexpr int kMaxVariableDepth = 16;
constexpr size_t kMaxNesting = 64;
constexpr size_t kMaxKeys = 10'000;  // of one map
/// Variables are copied: a few lines could otherwise stand for any number of values.
constexpr size_t kMaxValues = 100'000;
constexpr size_t kMaxText_bytes = 16 * kMiB;

/// What all files of one configuration share.
struct Shared {
  const ConfReader& reader;
  const Environment& environment;
  std::vector<std::string> files{};
  std::vector<std::string> open_variables{};  ///< of the environment, being parsed
  size_t values = 0;
  size_t text_bytes = 0;
  std::string error{};
};

class ConfParser {
 public:
  ConfParser(Shared& shared, std::string path, std::string_view text, int depth)
      : shared_(shared),
        path_(std::move(path)),
        text_(text),
        depth_(depth),
        file_(static_cast<uint32_t>(shared.files.empty() ? 0 : shared.files.size() - 1)) {}

  bool parse(ConfValue& root) {
    root.kind = ConfValue::Kind::kMap;
    if (text_.size() > kMaxFile_bytes) return fail_at("file is larger than 1 MiB");
    return read_members(root, true);
  }

 private:
  // Characters.
  bool at_end() const { return pos_ >= text_.size(); }
  char peek() const { return at_end() ? '\0' : text_[pos_]; }
  void step() {
    if (text_[pos_] == '\n') {
      line_start_ = pos_;
      ++line_;
    }
    ++pos_;
  }
  ConfPlace here() const { return {file_, line_, static_cast<int>(pos_ - line_start_)}; }
  std::string shown() const { return at_end() ? "EOF" : fmt::format("'{}'", peek()); }

  bool fail(std::string words) {
    if (shared_.error.empty()) shared_.error = std::move(words);
    return false;
  }
  bool fail_at(std::string_view words) {
    return fail(fmt::format("Parse error on line {}: '{}'", line_, words));
  }

  void skip_blanks() {
    while (!at_end() && is_conf_blank(peek())) step();
  }
  void skip_space() {
    while (!at_end() && (is_conf_blank(peek()) || is_conf_newline(peek()))) step();
  }
  bool skip_comment() {
    bool comment =
        peek() == '#' || (peek() == '/' && pos_ + 1 < text_.size() && text_[pos_ + 1] == '/');
    if (!comment) return false;
    while (!at_end() && peek() != '\n') step();
    return true;
  }
  void skip_space_and_comments() {
    do skip_space();
    while (!at_end() && skip_comment());
  }

  // Grammar.
  bool read_members(ConfValue& map, bool top);
  bool read_member(ConfValue& map, bool top);
  bool end_of_member(bool top);
  std::optional<std::string> read_key(ConfPlace& place);
  bool read_value(ConfValue& out);
  bool read_list(ConfValue& out);
  bool end_of_item();
  bool read_block(ConfValue& out);
  bool read_escape(std::string& out);
  bool read_double_quoted(std::string& out);
  bool read_single_quoted(std::string& out);
  bool read_bare(ConfValue& out);
  bool read_number(std::string_view token, ConfValue& out);
  bool read_variable(const std::string& name, ConfValue& out);
  bool read_from_environment(const std::string& name, ConfValue& out);
  bool read_include(ConfValue& map);
  bool put(ConfValue& map, std::string key, ConfValue value);
  bool count(const ConfValue& value);

  Shared& shared_;
  std::string path_;
  std::string_view text_;
  int depth_;
  uint32_t file_;
  size_t pos_ = 0;
  int line_ = 1;
  size_t line_start_ = 0;
  std::vector<ConfValue*> scopes_;  ///< maps around the place, outermost first
  size_t nesting_ = 0;
};

bool ConfParser::read_members(ConfValue& map, bool top) {
  if (++nesting_ > kMaxNesting) return fail_at("Nested too deep.");
  scopes_.push_back(&map);
  for (;;) {
    skip_space_and_comments();
    if (at_end()) {
      if (!top) return fail_at("Unexpected EOF processing map.");
      break;
    }
    if (top && (peek() == '{' || peek() == '}')) {  // JSON's outer braces mean nothing
      step();
      continue;
    }
    if (!top && peek() == '}') {
      step();
      break;
    }
    if (!read_member(map, top) || !end_of_member(top)) return false;
  }
  scopes_.pop_back();
  --nesting_;
  return true;
}

bool ConfParser::read_member(ConfValue& map, bool top) {
  ConfPlace place;
  const bool quoted = peek() == '"' || peek() == '\'';
  auto key = read_key(place);
  if (!key) return false;
  if (!quoted && is_conf_blank(peek()) && to_conf_lower(*key) == "include")
    return read_include(map);
  skip_space();
  if (at_end()) return fail_at(top ? "Unexpected EOF." : "Unexpected EOF processing map.");
  if (is_conf_separator(peek())) step();
  skip_blanks();
  if (!at_end() && is_conf_newline(peek())) {
    step();
    return fail_at("Expected value but found new line");
  }
  if (!top && peek() == ',') return fail_at("Unexpected map value terminator ','.");
  ConfValue value;
  if (!read_value(value)) return false;
  value.place = place;
  return put(map, std::move(*key), std::move(value));
}

bool ConfParser::end_of_member(bool top) {
  skip_blanks();
  if (skip_comment() || at_end() || is_conf_newline(peek())) return true;
  if (peek() == ',' || peek() == ';') {
    step();
    return true;
  }
  if (peek() == '}') return true;  // the map's end, or nothing at the top
  if (top) {
    return fail_at(fmt::format(
        "Expected a top-level value to end with a new line, comment or EOF, but got {} instead.",
        shown()));
  }
  return fail_at(fmt::format(
      R"(Expected a map value terminator "," or a map terminator "}}", but got {} instead.)",
      shown()));
}

std::optional<std::string> ConfParser::read_key(ConfPlace& place) {
  if (is_conf_separator(peek())) {
    fail_at(fmt::format("Unexpected key separator '{}'", peek()));
    return std::nullopt;
  }
  std::string key;
  if (peek() == '"' || peek() == '\'') {
    const char quote = peek();
    step();
    place = here();
    while (!at_end() && peek() != quote) {
      key += peek();
      step();
    }
    if (at_end()) {
      fail_at("Unexpected EOF.");
      return std::nullopt;
    }
    step();
    return key;
  }
  place = here();
  while (!at_end() && !is_conf_blank(peek()) && !is_conf_newline(peek()) &&
         !is_conf_separator(peek())) {
    key += peek();
    step();
  }
  return key;
}

bool ConfParser::read_value(ConfValue& out) {
  out.place = here();
  if (++shared_.values > kMaxValues) return fail_at("Too many values.");
  switch (peek()) {
    case '[':
      step();
      out.place = here();  // behind the bracket, as the reference counts
      return read_list(out);
    case '{':
      step();
      out.place = here();
      out.kind = ConfValue::Kind::kMap;
      return read_members(out, false);
    case '(':
      step();
      return read_block(out);
    case '"':
      step();
      return read_double_quoted(out.text);
    case '\'':
      step();
      return read_single_quoted(out.text);
    case '.':
      return fail_at("Floats must start with a digit");
    default:
      return read_bare(out);
  }
}

bool ConfParser::read_list(ConfValue& out) {
  out.kind = ConfValue::Kind::kList;
  if (++nesting_ > kMaxNesting) return fail_at("Nested too deep.");
  for (;;) {
    skip_space_and_comments();
    if (at_end()) return end_of_item();
    if (peek() == ',') return fail_at("Unexpected array value terminator ','.");
    if (peek() == ']') break;
    ConfValue item;
    if (!read_value(item) || !end_of_item()) return false;
    out.items.push_back(std::move(item));
  }
  step();
  --nesting_;
  return true;
}

bool ConfParser::end_of_item() {
  skip_blanks();
  if (!at_end()) {
    if (skip_comment() || is_conf_newline(peek()) || peek() == ']') return true;
    if (peek() == ',') {
      step();
      return true;
    }
  }
  return fail_at(fmt::format(
      R"(Expected an array value terminator "," or an array terminator "]", but got {} instead.)",
      shown()));
}

/// Raw text up to a line that starts with ')' and ends right behind it.
bool ConfParser::read_block(ConfValue& out) {
  while (!at_end()) {
    const bool line_begins = pos_ > 0 && text_[pos_ - 1] == '\n';
    if (peek() == ')' && line_begins && (pos_ + 1 == text_.size() || text_[pos_ + 1] == '\n')) {
      step();
      return true;
    }
    out.text += peek();
    step();
  }
  return fail_at("Unexpected EOF processing block.");
}

/// Behind a backslash.
bool ConfParser::read_escape(std::string& out) {
  const char c = peek();
  if (at_end()) return fail_at("Unexpected EOF.");
  if (c == 'x') {
    const std::string_view digits = text_.substr(pos_ + 1, 2);
    unsigned value = 0;
    auto [end, bad] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (digits.size() != 2 || bad != std::errc() || end != digits.data() + 2) {
      return fail_at(
          fmt::format("Expected two hexadecimal digits after '\\x', but got '{}'", digits));
    }
    out += static_cast<char>(value);
    step();
    step();
    step();
    return true;
  }
  switch (c) {
    case 't':
      out += '\t';
      break;
    case 'n':
      out += '\n';
      break;
    case 'r':
      out += '\r';
      break;
    case '"':
      out += '"';
      break;
    case '\\':
      out += '\\';
      break;
    default:
      return fail_at(fmt::format(
          "Invalid escape character '{}'. Only the following escape characters are allowed: "
          R"(\xXX, \t, \n, \r, \", \\.)",
          c));
  }
  step();
  return true;
}

bool ConfParser::read_double_quoted(std::string& out) {
  while (!at_end() && peek() != '"') {
    const char c = peek();
    step();
    if (c != '\\') {
      out += c;
    } else if (!read_escape(out)) {
      return false;
    }
  }
  if (at_end()) return fail_at("Unexpected EOF.");
  step();
  return true;
}

bool ConfParser::read_single_quoted(std::string& out) {
  while (!at_end() && peek() != '\'') {
    out += peek();
    step();
  }
  if (at_end()) return fail_at("Unexpected EOF.");
  step();
  return true;
}

/// A word without quotes: number, switch, variable or text.
bool ConfParser::read_bare(ConfValue& out) {
  std::string word;
  bool escaped = false;
  while (!at_end() && !ends_conf_word(peek())) {
    const char c = peek();
    step();
    if (c != '\\') {
      word += c;
      continue;
    }
    escaped = true;
    if (!read_escape(word)) return false;
  }
  if (!escaped && !word.empty()) {
    if (std::isdigit(static_cast<unsigned char>(word[0])) || word[0] == '-') {
      return read_number(word, out);
    }
    if (word[0] == '$') return read_variable(word.substr(1), out);
    if (auto flag = conf_flag(word)) {
      out.kind = ConfValue::Kind::kFlag;
      out.flag = *flag;
      return true;
    }
  }
  out.text = std::move(word);
  return true;
}

bool ConfParser::read_number(std::string_view token, ConfValue& out) {
  if (token[0] == '-' &&
      (token.size() == 1 || !std::isdigit(static_cast<unsigned char>(token[1])))) {
    return fail_at(token.size() == 1 ? "Expected a digit but got EOF."
                                     : fmt::format("Expected a digit but got '{}'.", token[1]));
  }
  const ConfNumber number = read_conf_number(token);
  switch (number.kind) {
    case ConfNumber::Kind::kInteger:
      out.kind = ConfValue::Kind::kInteger;
      out.integer = number.integer;
      return true;
    case ConfNumber::Kind::kReal:
      out.kind = ConfValue::Kind::kReal;
      out.real = number.real;
      return true;
    case ConfNumber::Kind::kOutOfRange:
      return fail(fmt::format("integer '{}' is out of the range", token));
    case ConfNumber::Kind::kNone:
      break;  // "5s", "127.0.0.1"
  }
  out.text = token;
  return true;
}

bool ConfParser::read_variable(const std::string& name, ConfValue& out) {
  const ConfPlace place = out.place;
  if (name.starts_with("2a$")) {  // a bcrypt hash
    out.text = "$" + name;
    return true;
  }
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    for (ConfEntry& entry : (*scope)->entries) {
      if (entry.key != name) continue;
      entry.used_as_variable = true;
      if (!count(entry.value)) return false;
      ConfValue copy = entry.value;
      out = std::move(copy);
      out.place = place;
      return true;
    }
  }
  if (!read_from_environment(name, out)) return false;
  out.place = place;
  return true;
}

bool ConfParser::read_from_environment(const std::string& name, ConfValue& out) {
  auto& open = shared_.open_variables;
  if (std::find(open.begin(), open.end(), name) != open.end()) {
    return fail(fmt::format("variable reference cycle for '{}'", name));
  }
  auto text = name.find('\0') == std::string::npos ? shared_.environment(name) : std::nullopt;
  if (!text)
    return fail(
        fmt::format("variable reference for '{}' on line {} can not be found", name, line_));
  ConfValue parsed;
  open.push_back(name);
  ConfParser inner(shared_, path_, "", depth_);
  const std::string member = "value=" + *text;
  inner.text_ = member;
  const bool good = open.size() <= kMaxVariableDepth
                        ? inner.parse(parsed)
                        : fail_at("Variables refer to each other too deep.");
  open.pop_back();
  const ConfEntry* entry = parsed.find("value");
  if (!good || entry == nullptr) {
    shared_.error = fmt::format("variable reference for '{}' on line {} could not be parsed: {}",
                                name, line_, shared_.error);
    return false;
  }
  out = entry->value;
  return true;
}

bool ConfParser::read_include(ConfValue& map) {
  skip_blanks();
  std::string name;
  if (peek() == '"' || peek() == '\'') {
    const bool raw = peek() == '\'';
    step();
    if (!(raw ? read_single_quoted(name) : read_double_quoted(name))) return false;
  } else {
    while (!at_end() && !ends_conf_word(peek())) {
      name += peek();
      step();
    }
  }
  if (name.empty()) return fail_at("Expected a file name behind include.");
  const std::string path = included_path(path_, name);
  const auto broken = [&](const std::string& why) {
    return fail(fmt::format("error parsing include file '{}', {}", name, why));
  };
  if (depth_ >= kMaxIncludeDepth) return broken("files include each other too deep");
  if (shared_.files.size() >= kMaxFiles) return broken("too many files");
  auto text = shared_.reader(path);
  if (!text) return broken(text.error().detail);
  shared_.files.push_back(path);
  ConfValue included;
  ConfParser inner(shared_, path, *text, depth_ + 1);
  if (!inner.parse(included)) {
    const std::string why = std::exchange(shared_.error, {});
    return broken(why);
  }
  for (ConfEntry& entry : included.entries) {
    if (!put(map, entry.key, std::move(entry.value))) return false;
    for (ConfEntry& mine : map.entries) {
      if (mine.key == entry.key) mine.used_as_variable |= entry.used_as_variable;
    }
  }
  return true;
}

bool ConfParser::put(ConfValue& map, std::string key, ConfValue value) {
  for (ConfEntry& entry : map.entries) {
    if (entry.key != key) continue;
    entry.value = std::move(value);
    return true;
  }
  if (map.entries.size() >= kMaxKeys) return fail_at("Too many keys.");
  map.entries.push_back({std::move(key), std::move(value)});
  return true;
}

/// Before a value is copied. A map never holds itself, so this ends.
bool ConfParser::count(const ConfValue& value) {
  shared_.text_bytes += value.text.size();
  if (++shared_.values > kMaxValues || shared_.text_bytes > kMaxText_bytes) {
    return fail_at("Variables stand for too many values.");
  }
  for (const ConfValue& item : value.items) {
    if (!count(item)) return false;
  }
  for (const ConfEntry& entry : value.entries) {
    shared_.text_bytes += entry.key.size();
    if (!count(entry.value)) return false;
  }
  return true;
}

}  // namespace

const ConfEntry* ConfValue::find(std::string_view key) const {
  for (const ConfEntry& entry : entries) {
    if (entry.key == key) return &entry;
  }
  return nullptr;
}

Result<NatsConf> parse_nats_conf(const std::string& path, std::string_view text,
                                 const ConfReader& reader, const Environment& environment) {
  Shared shared{.reader = reader, .environment = environment};
  shared.files.push_back(path);
  NatsConf out;
  ConfParser parser(shared, path, text, 0);
  if (!parser.parse(out.root)) return fail(Errc::kInvalidArgument, shared.error);
  if (out.root.entries.empty()) {
    return fail(Errc::kInvalidArgument, path + ": config has no values or is empty");
  }
  out.files = std::move(shared.files);
  return out;
}

}  // namespace sluice
