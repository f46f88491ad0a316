// What stands in the files that a section names: so that a reload sees a secret or a certificate with new content.
#pragma once

#include <string>

#include "config/field.h"
#include "config/yaml.h"

namespace sluice {

/// A text that differs when the content of a file differs that `section` names by a key for secrets (`…_file`), certificates
/// (`cert`, `key`, `ca`) or `credentials`. Files that can't be read count as missing. It holds digests, no content.
std::string named_files_text(const ReadContext& context, const YamlNode& section);

/// Warns of each such file that can't be read, at the place that names it. Of `cert`, `key` and `ca` those in a `tls` section count.
void warn_of_unreadable_files(ReadContext& context, const YamlNode& root);

}  // namespace sluice
