// Takes the value by which messages are sampled out of body, header or subject.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "replicator/options.h"

namespace sluice {

struct Inspected {
  std::string value;    ///< empty = the message has none
  bool forced = false;  ///< has the force field, whatever its value
};

/// Not thread safe.
class Inspector {
 public:
  /// kUnsupported for a path that uses more than keys and array places: "a.b", "list.0.name", "with\.dot".
  static Result<Inspector> make(const InspectOptions& options);

  Inspected look(std::string_view subject, std::string_view headers, std::string_view payload) const;

 private:
  using Path = std::vector<std::string>;
  Inspector() = default;

  Path field_;
  Path force_;
  std::string header_;
  int32_t token_ = 0;
};

}  // namespace sluice
