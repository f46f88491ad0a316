// The settings of a copy that change subjects.
#pragma once

#include "replicator/options.h"
#include "subject/subject_rewrite.h"

namespace sluice {

inline SubjectRewriteRules rewrite_rules(const StreamCopyOptions& copy) {
  return {copy.target_subject_prefix, copy.target_subject_remove, copy.subject_transforms};
}

}  // namespace sluice
