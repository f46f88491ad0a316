// What becomes of the subject of a message that is copied to another stream.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "subject/transform.h"

namespace sluice {

/// Plain data; empty = subjects stay as they are.
struct SubjectRewriteRules {
  std::string prefix{};
  std::string remove{};
  /// Source pattern and destination.
  std::vector<std::pair<std::string, std::string>> transforms{};
  bool empty() const { return prefix.empty() && remove.empty() && transforms.empty(); }
};

/// First the transforms (the first that matches), then prefix and removal as Stream Replicator does
/// them: `prefix.subject`, then every occurrence of the removed text goes, wherever it stands, and
/// `..` becomes `.`.
class SubjectRewrite {
 public:
  SubjectRewrite() = default;
  /// kInvalidArgument for a transform that can't be.
  static Result<SubjectRewrite> make(const SubjectRewriteRules& rules);

  /// @param dice a fresh random number; only transforms by chance look at it.
  std::string of_message(std::string_view subject, uint64_t dice) const;
  /// Of a subject that a stream listens on, wildcards and all. Transforms map messages, not patterns: with
  /// them the target stream has to be made by hand.
  std::string of_pattern(std::string_view subject) const;
  bool has_transforms() const { return !transforms_.empty(); }
  /// Whether of_message() looks at its dice.
  bool uses_random() const;
  bool keeps_subjects() const { return transforms_.empty() && prefix_.empty() && remove_.empty(); }

 private:
  std::string prefix_and_remove(std::string_view subject, bool always_collapse) const;

  std::string prefix_;
  std::string remove_;
  std::vector<SubjectTransform> transforms_;
};

}  // namespace sluice
