#include "server/import_pattern.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <vector>

#include "subject/subject.h"

namespace sluice {
namespace {

/// "$2", "{{wildcard(2)}}" → 2.
std::optional<size_t> placeholder(std::string_view token) {
  std::string_view digits;
  if (token.starts_with('$')) {
    digits = token.substr(1);
  } else if (token.starts_with("{{") && token.ends_with(")}}")) {
    const size_t open = token.find('(');
    std::string name(token.substr(2, open - 2));
    for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    if (open == std::string_view::npos || name != "wildcard") return std::nullopt;
    digits = token.substr(open + 1, token.size() - open - 4);
  }
  size_t number = 0;
  const auto [end, bad] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (digits.empty() || bad != std::errc() || end != digits.data() + digits.size())
    return std::nullopt;
  return number;
}

void add_token(std::string& subject, std::string_view token) {
  if (!subject.empty()) subject += '.';
  subject += token;
}

/// The tokens of `pattern` with its k-th `*` written as "$numbers[k]".
std::string with_numbers(std::string_view pattern, const std::vector<size_t>& numbers) {
  std::string out;
  size_t wildcard = 0;
  SubjectTokens tokens(pattern);
  for (std::string_view token; tokens.next(token);)
    add_token(out, token == "*" ? fmt::format("${}", numbers[wildcard++]) : std::string(token));
  return out;
}

std::unexpected<Error> refused(std::string_view why, std::string_view where) {
  return fail(Errc::kInvalidArgument, fmt::format("invalid mapping destination: {} in {}", why, where));
}

}  // namespace

Result<ImportPattern> ImportPattern::make(std::string_view there, std::string_view here) {
  if (!is_valid_subject(there)) return fail(Errc::kInvalidArgument, "invalid subject");
  if (here.empty()) here = there;
  size_t wildcards = 0;
  SubjectTokens theirs(there);
  for (std::string_view token; theirs.next(token);) wildcards += token == "*" ? 1 : 0;

  std::string local;
  std::vector<size_t> numbers;  // of each local wildcard: which of theirs it is
  SubjectTokens ours(here);
  for (std::string_view token; ours.next(token);) {
    const auto number = placeholder(token);
    if (!number && token.find("{{") != std::string_view::npos)
      return refused("the only mapping function allowed for import transforms is {{Wildcard()}}",
                     token);
    if (number && (*number == 0 || *number > wildcards))
      return refused("wildcard index out of range", token);
    if (number) numbers.push_back(*number);
    if (token == "*") numbers.push_back(numbers.size() + 1);
    add_token(local, number ? "*" : token);
  }
  if (!is_valid_subject(local)) return fail(Errc::kInvalidArgument, "invalid subject");
  std::vector<size_t> used = numbers;
  std::ranges::sort(used);
  used.erase(std::unique(used.begin(), used.end()), used.end());
  if (used.size() != wildcards || numbers.size() != wildcards)
    return refused("not using all of the token wildcard(s)", here);
  if (there.ends_with('>') != local.ends_with('>'))
    return refused("not using all of the token wildcard(s)", here);

  std::vector<size_t> reverse(wildcards);
  for (size_t i = 0; i < numbers.size(); ++i) reverse[numbers[i] - 1] = i + 1;
  auto to_there = SubjectTransform::make(local, with_numbers(there, reverse));
  if (!to_there) return std::unexpected(to_there.error());
  auto to_here = SubjectTransform::make(there, with_numbers(local, numbers));
  if (!to_here) return std::unexpected(to_here.error());
  const bool same = local == there && std::ranges::is_sorted(numbers);
  return ImportPattern{std::string(there), std::move(local), same, std::move(*to_there),
                       std::move(*to_here)};
}

}  // namespace sluice
