// An account's mappings of what its clients publish: the first whose source matches gives the
// subject a new form, chosen by weight.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "io/random.h"
#include "server/account_options.h"
#include "subject/transform.h"

namespace sluice {

enum class MappingOutcome : uint8_t {
  kUnchanged,
  kMapped,   ///< the new subject is in `out`
  kDropped,  ///< the weights leave a share to nobody
};

/// Fixed after make(). Sources are tried in the order in which they were given; a source given twice
/// counts with what was given last. Not chained.
class SubjectMappings {
 public:
  /// @param cluster the server's cluster name; destinations scoped to it replace the others
  /// @return kInvalidArgument in the reference's words: "total weight needs to be <= 100" …
  static Result<SubjectMappings> make(const std::vector<MappingOptions>& mappings,
                                      std::string_view cluster);

  MappingOutcome map(std::string_view subject, Random& random, std::string& out) const;
  /// One of the sources matches: even what stays the same was mapped.
  bool covers(std::string_view subject) const { return rule_of(subject) != nullptr; }
  /// What a server says of them; "source" → "destination", the first of each.
  size_t size() const { return rules_.size(); }
  bool empty() const { return rules_.empty(); }

 private:
  struct Destination {
    uint32_t up_to = 0;  ///< sum of the weights up to and with this one
    bool same = false;   ///< the subject as it is
    std::optional<SubjectTransform> transform;
  };
  struct Rule {
    std::string source;
    bool literal = false;
    std::vector<Destination> destinations;
  };
  const Rule* rule_of(std::string_view subject) const;
  static Result<Rule> make_rule(const MappingOptions& mapping, std::string_view cluster);

  std::vector<Rule> rules_;
};

}  // namespace sluice
