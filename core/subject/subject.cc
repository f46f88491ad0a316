#include "subject/subject.h"

#include <algorithm>
#include <cstdint>

#include "base/endian.h"

namespace sluice {
namespace {

constexpr std::string_view kBlanks = " \t\r\n\f";

bool is_wildcard(std::string_view token) { return token == "*" || token == ">"; }

}  // namespace

size_t token_count(std::string_view subject) {
  if (subject.empty()) return 0;
  return 1 + static_cast<size_t>(std::count(subject.begin(), subject.end(), '.'));
}

bool has_valid_tokens(std::string_view subject) {
  SubjectTokens tokens(subject);
  std::string_view token;
  while (tokens.next(token)) {
    if (token.empty() || (token == ">" && tokens.more())) return false;
  }
  return !subject.empty();
}

bool is_valid_subject(std::string_view subject) {
  return has_valid_tokens(subject) && subject.find_first_of(kBlanks) == std::string_view::npos;
}

bool is_valid_literal(std::string_view subject) {
  return is_valid_subject(subject) && !has_wildcards(subject);
}

bool has_wildcards(std::string_view subject) {
  for (size_t at = subject.find_first_of("*>"); at != std::string_view::npos;
       at = subject.find_first_of("*>", at + 1)) {
    const bool starts_token = at == 0 || subject[at - 1] == '.';
    const bool ends_token = at + 1 == subject.size() || subject[at + 1] == '.';
    if (starts_token && ends_token) return true;
  }
  return false;
}

bool has_empty_token(std::string_view subject) {
  if (subject.empty() || subject.front() == '.' || subject.back() == '.') return true;
  const char* at = subject.data();
  size_t left = subject.size();
  uint64_t behind_dot = 0;
  for (; left >= 8; left -= 8, at += 8) {
    // The highest bit of each byte that is a dot, and of each byte behind one.
    const uint64_t word = load_le64(at) ^ 0x2e2e'2e2e'2e2e'2e2e;
    const uint64_t dots = ~(((word & 0x7f7f'7f7f'7f7f'7f7f) + 0x7f7f'7f7f'7f7f'7f7f) | word) & 0x8080'8080'8080'8080;
    if ((dots & (dots << 8 | behind_dot)) != 0) return true;
    behind_dot = dots >> 56;
  }
  for (; left > 0; --left, ++at) {
    const uint64_t dot = *at == '.' ? 0x80 : 0;
    if ((dot & behind_dot) != 0) return true;
    behind_dot = dot;
  }
  return false;
}

bool subject_matches(std::string_view filter, std::string_view literal) {
  SubjectTokens filter_tokens(filter);
  SubjectTokens literal_tokens(literal);
  std::string_view want;
  std::string_view have;
  while (filter_tokens.next(want)) {
    if (!literal_tokens.next(have) || have.empty()) return false;
    if (want == ">" && !filter_tokens.more()) {
      while (literal_tokens.next(have)) {
        if (have.empty()) return false;
      }
      return true;
    }
    if (want != "*" && want != have) return false;
  }
  return !filter.empty() && !literal_tokens.more();
}

bool subjects_collide(std::string_view a, std::string_view b) {
  SubjectTokens a_tokens(a);
  SubjectTokens b_tokens(b);
  std::string_view x;
  std::string_view y;
  while (true) {
    const bool has_x = a_tokens.next(x);
    const bool has_y = b_tokens.next(y);
    if (!has_x || !has_y) return has_x == has_y && !a.empty();
    if (x.empty() || y.empty()) return false;
    if (x == ">" || y == ">") return true;
    if (x != "*" && y != "*" && x != y) return false;
  }
}

bool is_subset(std::string_view narrow, std::string_view wide) {
  SubjectTokens narrow_tokens(narrow);
  SubjectTokens wide_tokens(wide);
  std::string_view have;
  std::string_view want;
  while (wide_tokens.next(want)) {
    if (!narrow_tokens.next(have) || have.empty()) return false;
    if (want == ">") return true;
    if (have == ">") return false;
    if (want != "*" && want != have) return false;
  }
  return !wide.empty() && !narrow_tokens.more();
}

std::string_view literal_prefix(std::string_view filter) {
  SubjectTokens tokens(filter);
  std::string_view token;
  while (tokens.next(token)) {
    if (is_wildcard(token))
      return filter.substr(0, static_cast<size_t>(token.data() - filter.data()));
  }
  return filter;
}

}  // namespace sluice
