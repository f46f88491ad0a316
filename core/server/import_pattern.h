// How the subjects of an export are called in the account that imports it.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "subject/transform.h"

namespace sluice {

/// Both directions of a renaming that loses nothing: "svc.*.*" as "local.$2.$1".
struct ImportPattern {
  std::string there;  ///< the exporter's subject, with its wildcards
  std::string here;   ///< the importer's, with plain wildcards
  bool same = false;  ///< nothing is renamed
  SubjectTransform to_there;
  SubjectTransform to_here;

  /// @param there valid subject
  /// @param here  "" = the same; wildcards may be `*` or `$n` / `{{wildcard(n)}}`, n-th of `there`
  /// @return kInvalidArgument, in the reference's words where it has some.
  static Result<ImportPattern> make(std::string_view there, std::string_view here);
};

}  // namespace sluice
