// Subjects: dot-separated tokens; `*` stands for one token, `>` (last only) for one or more.
//
// Wildcards count only as whole tokens: "foo.*bar" is a literal. All functions compare bytes and
// know no character set. They take any bytes; what is not a subject simply matches nothing.
#pragma once

#include <cstddef>
#include <string_view>

namespace sluice {

/// Walks the tokens from left to right; "" has none, "a." has "a" and "".
class SubjectTokens {
 public:
  explicit SubjectTokens(std::string_view subject) : rest_(subject), more_(!subject.empty()) {}

  /// @return false when there are no more tokens.
  bool next(std::string_view& token) {
    if (!more_) return false;
    const size_t dot = rest_.find('.');
    if (dot == std::string_view::npos) {
      token = rest_;
      more_ = false;
    } else {
      token = rest_.substr(0, dot);
      rest_.remove_prefix(dot + 1);
    }
    return true;
  }
  /// Whether next() would give another token.
  bool more() const { return more_; }

 private:
  std::string_view rest_;
  bool more_;
};

size_t token_count(std::string_view subject);

/// Wildcards allowed; no empty token, no blank (space, \t, \r, \n, \f), `>` last only.
bool is_valid_subject(std::string_view subject);
/// The form SUB asks for, which is wider: only the tokens are checked, blanks are not.
bool has_valid_tokens(std::string_view subject);
/// is_valid_subject and no wildcard token: a message can be published to it.
bool is_valid_literal(std::string_view subject);
bool has_wildcards(std::string_view subject);
/// "", or a dot where it begins, where it ends, or behind another.
bool has_empty_token(std::string_view subject);

/// `literal` is taken token by token as it stands: a `*` in it is matched by `*` and `>` of the
/// filter, but matches no other token. A literal with an empty token matches nothing.
bool subject_matches(std::string_view filter, std::string_view literal);
/// Some literal exists that both match.
bool subjects_collide(std::string_view a, std::string_view b);
/// Every literal that `narrow` matches, `wide` matches too.
bool is_subset(std::string_view narrow, std::string_view wide);

/// The bytes with which each literal matched by `filter` begins: up to its first wildcard token,
/// the dot before it included. "" for "", "*" and ">".
std::string_view literal_prefix(std::string_view filter);

}  // namespace sluice
