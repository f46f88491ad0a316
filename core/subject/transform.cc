#include "subject/transform.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "subject/subject.h"

namespace sluice {
namespace {

constexpr std::string_view kInvalid = "invalid transform";
constexpr std::string_view kUnknownFunction = "unknown function";
constexpr std::string_view kOutOfRange = "wildcard index out of range";
constexpr std::string_view kTooFew = "not enough arguments passed to the function";
constexpr std::string_view kTooMany = "too many arguments passed to the function";
constexpr std::string_view kBadArgument = "function argument is invalid or in the wrong format";

std::unexpected<Error> wrong(std::string_view what, std::string_view where = {}) {
  return fail(Errc::kInvalidArgument, fmt::format("invalid mapping destination: {}{}{}", what,
                                                  where.empty() ? "" : " in ", where));
}
std::unexpected<Error> invalid_subject() { return fail(Errc::kInvalidArgument, "invalid subject"); }

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r'; }

std::string_view without_blanks(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

bool looks_like_function(std::string_view token) {
  return token.size() > 4 && token.starts_with("{{") && token.ends_with("}}");
}

/// Commas separate; blanks after a comma belong to it.
std::vector<std::string_view> split_arguments(std::string_view text) {
  std::vector<std::string_view> out;
  for (;;) {
    const size_t comma = text.find(',');
    out.push_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return out;
    text.remove_prefix(comma + 1);
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  }
}

std::optional<int64_t> parse_number(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool parse_into(std::string_view text, int32_t& out) {
  const auto value = parse_number(text);
  if (!value || *value > std::numeric_limits<int32_t>::max() ||
      *value < std::numeric_limits<int32_t>::min())
    return false;
  out = static_cast<int32_t>(*value);
  return true;
}

/// Indices below 1 stand for the subject's first token, as in the reference.
bool parse_into(std::string_view text, std::vector<size_t>& out) {
  const auto value = parse_number(text);
  if (value) out.push_back(*value < 1 ? 0 : static_cast<size_t>(*value));
  return value.has_value();
}

/// `name` is the lower-case `pattern`, whose words (apart by a blank) may begin with a capital.
bool is_named(std::string_view name, std::string_view pattern) {
  bool begins_word = true;
  for (const char c : pattern) {
    if (c == ' ') {
      begins_word = true;
      continue;
    }
    if (name.empty()) return false;
    const char capital = static_cast<char>(c - 'a' + 'A');
    if (name.front() != c && !(begins_word && name.front() == capital)) return false;
    name.remove_prefix(1);
    begins_word = false;
  }
  return name.empty();
}

/// FNV-1a, 32 bits.
class Fnv {
 public:
  void add(std::string_view bytes) {
    for (const char c : bytes) hash_ = (hash_ ^ static_cast<unsigned char>(c)) * 16'777'619U;
  }
  uint32_t value() const { return hash_; }

 private:
  uint32_t hash_ = 2'166'136'261U;
};

void append_number(std::string& out, uint64_t value) {
  std::array<char, 20> text;
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  out.append(text.data(), end);
}

/// Spreads one dice over several functions (the finaliser of splitmix64).
uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

/// Where an empty delimiter cuts: after each UTF-8 character.
size_t next_cut(std::string_view token) {
  size_t at = 1;
  while (at < token.size() && (static_cast<unsigned char>(token[at]) & 0xc0) == 0x80) ++at;
  return at;
}

/// Empty parts vanish; a token of nothing but delimiters stays whole, or the subject would get an
/// empty token.
void write_split(std::string_view token, std::string_view delimiter, std::string& out) {
  const size_t start = out.size();
  for (std::string_view rest = token; !rest.empty();) {
    const size_t end = delimiter.empty() ? next_cut(rest) : std::min(rest.find(delimiter), rest.size());
    if (end > 0) {
      if (out.size() > start) out += '.';
      out += rest.substr(0, end);
    }
    rest.remove_prefix(std::min(end + delimiter.size(), rest.size()));
  }
  if (out.size() == start) out += token;
}

/// Parts of `size` bytes, but the first has `first`.
void write_slices(std::string_view token, size_t first, size_t size, std::string& out) {
  out += token.substr(0, first);
  for (size_t at = first; at < token.size(); at += size) {
    out += '.';
    out += token.substr(at, size);
  }
}

}  // namespace

const SubjectTransform::Function SubjectTransform::kFunctions[] = {
    {"wildcard", Kind::kWildcard},
    {"partition", Kind::kPartition},
    {"random", Kind::kRandom},
    {"split", Kind::kSplit},
    {"split from left", Kind::kSplitFromLeft},
    {"split from right", Kind::kSplitFromRight},
    {"slice from left", Kind::kSliceFromLeft},
    {"slice from right", Kind::kSliceFromRight},
    {"left", Kind::kLeft},
    {"right", Kind::kRight},
};

struct SubjectTransform::Call {
  std::string_view token;  ///< the whole one, for complaints
  Kind kind;
  std::vector<std::string_view> arguments;
};

/// What of a subject the pieces need. Left uninitialised: most subjects fill only a little of it.
struct SubjectTransform::Matched {
  struct Token {
    const char* data;
    size_t size;
    std::string_view text() const { return {data, size}; }
  };
  std::array<Token, kMaxSubjectTokens + 1> tokens;  ///< [0] the first token, then the wildcards
  size_t count;
  std::string_view rest;
  void add(std::string_view token) { tokens[count++] = {token.data(), token.size()}; }
};

// -- compiling

Result<SubjectTransform> SubjectTransform::make(std::string_view source,
                                                std::string_view destination) {
  if (source.empty()) source = ">";
  SubjectTransform out;
  out.source_ = source;
  out.keeps_subject_ = destination.empty() || (source == ">" && destination == ">");
  if (destination.empty()) {
    if (!is_valid_subject(source)) return invalid_subject();
    return out;
  }
  if (auto status = check_tokens(destination); !status) return std::unexpected(status.error());
  size_t wildcards = 0;
  std::string_view token;
  for (SubjectTokens tokens(source); tokens.next(token);) wildcards += token == "*" ? 1 : 0;
  const bool source_rest = token == ">";
  bool destination_star = false;
  for (SubjectTokens tokens(destination); tokens.next(token);) destination_star |= token == "*";
  if (!is_valid_subject(source) || destination_star || source_rest != (token == ">") ||
      token_count(source) > kMaxSubjectTokens || token_count(destination) > kMaxSubjectTokens)
    return invalid_subject();
  for (SubjectTokens tokens(destination); tokens.next(token);) {
    if (auto status = out.add_token(token, wildcards, wildcards > 0 || source_rest); !status)
      return std::unexpected(status.error());
  }
  return out;
}

/// First pass, over the form of every token, so that complaints come in the reference's order.
Status SubjectTransform::check_tokens(std::string_view destination) {
  bool after_rest = false;
  std::string_view token;
  for (SubjectTokens tokens(destination); tokens.next(token);) {
    if (token.empty() || after_rest) return wrong(kInvalid, token);
    if (looks_like_function(token)) {
      if (!parse_call(token)) return wrong(kUnknownFunction, token);
      continue;
    }
    after_rest = token == ">";
    if (std::any_of(token.begin(), token.end(), is_blank)) return wrong(kInvalid);
  }
  return {};
}

/// Anything that is no function is text.
Result<SubjectTransform::Piece> SubjectTransform::parse_token(std::string_view token) {
  Piece piece;
  if (token.size() > 1 && token.front() == '$') {
    // Other things begin with $ as well: no error.
    if (parse_into(token.substr(1), piece.wildcards)) piece.kind = Kind::kWildcard;
    return piece;
  }
  if (!looks_like_function(token)) return piece;
  const auto call = parse_call(token);
  if (!call) return wrong(kUnknownFunction, token);
  piece.kind = call->kind;
  if (auto status = parse_arguments(*call, piece); !status) return std::unexpected(status.error());
  return piece;
}

/// nullopt when `token` names no function.
std::optional<SubjectTransform::Call> SubjectTransform::parse_call(std::string_view token) {
  const std::string_view inner = without_blanks(token.substr(2, token.size() - 4));
  const size_t open = inner.find('(');
  if (open == std::string_view::npos || !inner.ends_with(')')) return std::nullopt;
  const std::string_view name = without_blanks(inner.substr(0, open));
  const auto* found = std::find_if(std::begin(kFunctions), std::end(kFunctions),
                                   [name](const Function& f) { return is_named(name, f.name); });
  if (found == std::end(kFunctions)) return std::nullopt;
  return Call{token, found->kind,
              split_arguments(inner.substr(open + 1, inner.size() - open - 2))};
}

Status SubjectTransform::parse_arguments(const Call& call, Piece& piece) {
  const auto& args = call.arguments;
  if (piece.kind == Kind::kPartition) {
    if (!parse_into(args[0], piece.number)) return wrong(kBadArgument, call.token);
    for (size_t i = 1; i < args.size(); ++i)
      if (!parse_into(args[i], piece.wildcards)) return wrong(kBadArgument, call.token);
    return {};
  }
  if (piece.kind == Kind::kRandom) {
    if (args.size() != 1) return wrong(kTooFew, call.token);  // the reference's words for too many
    if (!parse_into(args[0], piece.number)) return wrong(kBadArgument, call.token);
    return {};
  }
  const size_t wanted = piece.kind == Kind::kWildcard ? 1 : 2;
  if (args.size() < wanted || (wanted == 1 && args.size() == 1 && args[0].empty()))
    return wrong(kTooFew, call.token);
  if (args.size() > wanted) return wrong(kTooMany, call.token);
  if (!parse_into(args[0], piece.wildcards)) return wrong(kBadArgument, call.token);
  if (piece.kind == Kind::kSplit) {
    if (args[1].find(' ') != std::string_view::npos) return wrong(kBadArgument, call.token);
    piece.text = args[1];
  } else if (wanted == 2 && !parse_into(args[1], piece.number)) {
    return wrong(kBadArgument, call.token);
  }
  return {};
}

Status SubjectTransform::add_token(std::string_view token, size_t wildcards_in_source,
                                   bool has_wildcards) {
  if (!pieces_.empty()) add_text(".");
  if (token == ">") {
    pieces_.push_back({.kind = Kind::kRest});
    return {};
  }
  auto piece = parse_token(token);
  if (!piece) return std::unexpected(piece.error());
  if (piece->kind == Kind::kText) {
    add_text(token);
    return {};
  }
  if (!has_wildcards) {
    if (piece->kind != Kind::kPartition && piece->kind != Kind::kRandom)
      return wrong(kOutOfRange, token);
    piece->wildcards.clear();
  }
  for (const size_t index : piece->wildcards)
    if (index > wildcards_in_source) return wrong(kOutOfRange, fmt::format("{}: [{}]", token, index));
  uses_random_ |= piece->kind == Kind::kRandom;
  cuts_tokens_ |= piece->kind != Kind::kPartition && piece->kind != Kind::kRandom &&
                  piece->kind != Kind::kWildcard;
  pieces_.push_back(*std::move(piece));
  return {};
}

void SubjectTransform::add_text(std::string_view text) {
  if (pieces_.empty() || pieces_.back().kind != Kind::kText) pieces_.emplace_back();
  pieces_.back().text += text;
}

// -- mapping

bool SubjectTransform::match(std::string_view subject, Matched& matched) const {
  SubjectTokens wanted(source_);
  SubjectTokens tokens(subject);
  std::string_view token;
  std::string_view want;
  bool in_rest = false;
  matched.count = 0;
  while (tokens.next(token)) {
    if (token.empty() || token == "*" || token == ">") return false;
    if (matched.count == 0) matched.add(token);
    if (in_rest) continue;
    if (!wanted.next(want)) return false;
    if (want == "*") {
      matched.add(token);
    } else if (want == ">") {
      in_rest = true;
      matched.rest = subject.substr(static_cast<size_t>(token.data() - subject.data()));
    } else if (want != token) {
      return false;
    }
  }
  return matched.count > 0 && !wanted.more();
}

bool SubjectTransform::map(std::string_view subject, uint64_t dice, std::string& out) const {
  Matched matched;
  if (!match(subject, matched)) return false;
  if (keeps_subject_) {
    out = subject;
    return true;
  }
  out.clear();
  for (const Piece& piece : pieces_) {
    write(piece, subject, matched, dice++, out);
    if (out.size() > kMaxMappedSubject_bytes) return false;
  }
  return !cuts_tokens_ || !has_wildcards(out);
}

void SubjectTransform::write(const Piece& piece, std::string_view subject, const Matched& matched,
                             uint64_t dice, std::string& out) const {
  const std::string_view token =
      piece.wildcards.empty() ? subject : matched.tokens[piece.wildcards[0]].text();
  const auto divisor = static_cast<uint32_t>(piece.number);  // negative ones wrap, as in the reference
  const bool inside = piece.number > 0 && static_cast<size_t>(piece.number) < token.size();
  // Lengths that do not lie inside the token leave it whole.
  const size_t length = inside ? static_cast<size_t>(piece.number) : token.size();
  switch (piece.kind) {
    case Kind::kText: out += piece.text; return;
    case Kind::kRest: out += matched.rest; return;
    case Kind::kWildcard: out += token; return;
    case Kind::kPartition: {
      Fnv key;
      if (piece.wildcards.empty()) key.add(subject);
      for (const size_t index : piece.wildcards) key.add(matched.tokens[index].text());
      append_number(out, divisor == 0 ? 0 : key.value() % divisor);
      return;
    }
    case Kind::kRandom:
      append_number(out, piece.number <= 0 ? 0 : mix(dice) % divisor);
      return;
    case Kind::kSplit: write_split(token, piece.text, out); return;
    case Kind::kSplitFromLeft: write_slices(token, length, token.size(), out); return;
    case Kind::kSplitFromRight:
      write_slices(token, inside ? token.size() - length : length, token.size(), out);
      return;
    case Kind::kSliceFromLeft: write_slices(token, length, length, out); return;
    case Kind::kSliceFromRight: {
      const size_t remainder = token.size() % length;
      write_slices(token, remainder == 0 ? length : remainder, length, out);
      return;
    }
    case Kind::kLeft: out += token.substr(0, length); return;
    case Kind::kRight: out += token.substr(token.size() - length); return;
  }
}

}  // namespace sluice
