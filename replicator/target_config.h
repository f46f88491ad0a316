// The target stream's configuration, made from the source's: a fixed list of fields goes along, nothing else
// (replicas, placement, mirrors, republishing are matters of the site).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "replicator/options.h"
#include "subject/subject_rewrite.h"

namespace sluice {

/// Body of STREAM.CREATE. @param source_info  the reply of STREAM.INFO.
/// @return kCorrupt for what is no stream info; kInvalidArgument for a source without subjects of its own
///   (a mirror): such a target has to be made by hand.
Result<std::string> target_config(std::string_view source_info, const StreamCopyOptions& options,
                                  const SubjectRewrite& rewrite);

struct ConfigDifference {
  std::string field;
  std::string source;  ///< JSON of what the target should have; "" = nothing
  std::string target;
};
/// Where the target differs from what target_config() would make, in the list's order.
std::vector<ConfigDifference> config_differences(std::string_view source_info, std::string_view target_info,
                                                 const StreamCopyOptions& options, const SubjectRewrite& rewrite);
/// Body of STREAM.UPDATE that takes these differences away.
Result<std::string> updated_config(std::string_view target_info, const std::vector<ConfigDifference>& differences);

}  // namespace sluice
