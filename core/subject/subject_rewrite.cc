#include "subject/subject_rewrite.h"

#include <algorithm>

namespace sluice {
namespace {

std::string replace_all(std::string_view text, std::string_view what, std::string_view with) {
  std::string out;
  out.reserve(text.size());
  while (true) {
    const size_t at = text.find(what);
    out.append(text.substr(0, at));
    if (at == std::string_view::npos) return out;
    out.append(with);
    text.remove_prefix(at + what.size());
  }
}

}  // namespace

Result<SubjectRewrite> SubjectRewrite::make(const SubjectRewriteRules& rules) {
  SubjectRewrite rewrite;
  rewrite.prefix_ = rules.prefix;
  rewrite.remove_ = rules.remove;
  for (const auto& [source, destination] : rules.transforms) {
    auto transform = SubjectTransform::make(source, destination);
    if (!transform) return std::unexpected(transform.error());
    rewrite.transforms_.push_back(*std::move(transform));
  }
  return rewrite;
}

std::string SubjectRewrite::prefix_and_remove(std::string_view subject, bool always_collapse) const {
  std::string out = prefix_.empty() ? std::string(subject) : prefix_ + "." + std::string(subject);
  if (always_collapse) out = replace_all(out, "..", ".");
  if (!remove_.empty()) out = replace_all(replace_all(out, remove_, ""), "..", ".");
  return out;
}

std::string SubjectRewrite::of_message(std::string_view subject, uint64_t dice) const {
  if (keeps_subjects()) return std::string(subject);
  std::string mapped;
  for (const SubjectTransform& transform : transforms_) {
    if (transform.map(subject, dice, mapped)) {
      subject = mapped;
      break;
    }
  }
  if (prefix_.empty() && remove_.empty()) return std::string(subject);
  return prefix_and_remove(subject, true);
}

bool SubjectRewrite::uses_random() const { return std::ranges::any_of(transforms_, &SubjectTransform::uses_random); }

std::string SubjectRewrite::of_pattern(std::string_view subject) const {
  if (prefix_.empty() && remove_.empty()) return std::string(subject);
  return prefix_and_remove(subject, false);
}

}  // namespace sluice
