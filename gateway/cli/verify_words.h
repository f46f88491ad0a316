// What `sluice verify` is asked, by options or by the configuration of a copy.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "gateway/cli/verify_side.h"
#include "subject/subject_rewrite.h"

namespace sluice {

struct VerifyWords {
  std::string stream;
  std::string target_stream;
  std::vector<std::string> filters;
  VerifySideWords source, target;
  std::string config_path;
  std::string copy;  ///< its name there
  SubjectRewriteRules rewrite;
  std::vector<std::string> transforms;  ///< "<source>=<destination>"
  std::string replicator, worker;
  uint32_t hops = 0;
  uint32_t max_hops = 0;
  bool ignore_subjects = false;
  bool sampled = false;
  bool exact = false;
  bool json = false;
  std::string heal;  ///< empty, kHealMissing or kHealReplace
  bool dry_run = false;
};
inline constexpr const char* kHealMissing = "missing";
inline constexpr const char* kHealReplace = "replace";

/// Settles what the options say together: the configured copy's settings where no option stands against them, transforms.
/// kInvalidArgument, with words, for what can't be.
Status settle(VerifyWords& words);

}  // namespace sluice
