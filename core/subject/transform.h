// Subject transforms: a source pattern and a destination that says what becomes of a matching subject
// (ADR-30, ADR-36). Destination tokens are text, `$n`, a final `>` (the rest), or one function:
//
//   {{wildcard(n)}}  {{partition(N[,n…])}}  {{random(N)}}  {{split(n,delimiter)}}  {{left(n,k)}}
//   {{right(n,k)}}  {{splitFromLeft(n,k)}}  {{splitFromRight(n,k)}}  {{sliceFromLeft(n,k)}}
//   {{sliceFromRight(n,k)}}
//
// n counts the source's `*` from 1; k counts bytes. Words begin in either case; blanks are tolerated
// around names and numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace sluice {

/// A mapped subject is never longer than this.
inline constexpr size_t kMaxMappedSubject_bytes = 32'768;

/// Compiled once, then asked for each message. Does not change after make().
class SubjectTransform {
 public:
  /// @param source "" = ">"
  /// @param destination "" = matching subjects stay as they are
  /// @return kInvalidArgument in the reference's words, such as "invalid mapping destination: wildcard
  ///   index out of range in {{wildcard(3)}}: [3]". Source and destination have at most
  ///   kMaxSubjectTokens tokens.
  static Result<SubjectTransform> make(std::string_view source, std::string_view destination);

  /// Nothing is ever changed by it.
  bool keeps_subject() const { return keeps_subject_; }
  /// Whether map() looks at its dice.
  bool uses_random() const { return uses_random_; }

  /// Writes to `out` what `subject` becomes; allocates nothing but room in `out`.
  /// @param dice a fresh random number, when uses_random()
  /// @return false when `subject` is no literal that the source matches, or when the result would hold
  ///   a wildcard token or be longer than kMaxMappedSubject_bytes; `out` is then of no meaning.
  bool map(std::string_view subject, uint64_t dice, std::string& out) const;

 private:
  enum class Kind : uint8_t {
    kText,
    kRest,  ///< what the source's `>` matched
    kWildcard,
    kPartition,
    kRandom,
    kSplit,
    kSplitFromLeft,
    kSplitFromRight,
    kSliceFromLeft,
    kSliceFromRight,
    kLeft,
    kRight,
  };
  struct Piece {
    Kind kind = Kind::kText;
    std::string text{};                ///< kText, dots included; kSplit: the delimiter
    int32_t number = 0;                ///< N or k
    std::vector<size_t> wildcards{};   ///< 0 = the subject's first token
  };
  struct Function {
    std::string_view name;  ///< lower case, words apart: "split from left"
    Kind kind;
  };
  struct Call;
  struct Matched;

  static const Function kFunctions[];

  SubjectTransform() = default;
  static Status check_tokens(std::string_view destination);
  static Result<Piece> parse_token(std::string_view token);
  static std::optional<Call> parse_call(std::string_view token);
  static Status parse_arguments(const Call& call, Piece& piece);
  Status add_token(std::string_view token, size_t wildcards_in_source, bool has_wildcards);
  void add_text(std::string_view text);
  bool match(std::string_view subject, Matched& matched) const;
  void write(const Piece& piece, std::string_view subject, const Matched& matched, uint64_t dice,
             std::string& out) const;

  std::string source_;
  std::vector<Piece> pieces_;
  bool keeps_subject_ = false;
  bool uses_random_ = false;
  bool cuts_tokens_ = false;  ///< a function that may leave a lone `*` or `>`
};

}  // namespace sluice
