// What becomes of a source subject at the target.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "replicator/options.h"
#include "subject/transform.h"

namespace sluice {

/// First the transforms (the first that matches), then prefix and removal as Stream Replicator does
/// them: `prefix.subject`, then every occurrence of the removed text goes, wherever it stands, and
/// `..` becomes `.`.
class SubjectRewrite {
 public:
  SubjectRewrite() = default;
  /// kInvalidArgument for a transform that can't be.
  static Result<SubjectRewrite> make(const StreamCopyOptions& options);

  /// @param dice a fresh random number; only transforms by chance look at it.
  std::string of_message(std::string_view subject, uint64_t dice) const;
  /// Of a subject that a stream listens on, wildcards and all. Transforms map messages, not patterns: with
  /// them the target stream has to be made by hand.
  std::string of_pattern(std::string_view subject) const;
  bool has_transforms() const { return !transforms_.empty(); }
  bool keeps_subjects() const { return transforms_.empty() && prefix_.empty() && remove_.empty(); }

 private:
  std::string prefix_and_remove(std::string_view subject, bool always_collapse) const;

  std::string prefix_;
  std::string remove_;
  std::vector<SubjectTransform> transforms_;
};

}  // namespace sluice
