// What the earlier messages of one atomic batch would have changed, for the checks on the later ones.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>

namespace sluice {

/// Lives for the commit of one batch.
struct BatchStage {
  struct Subject {
    uint64_t count = 0;   ///< messages on it by then, stored ones included; discard-new streams only
    std::string headers;  ///< of the newest message staged on it; counter streams only
    std::string payload;
  };
  std::map<std::string, Subject, std::less<>> subjects;
  std::set<std::string, std::less<>> msg_ids;
  size_t count = 0;
  bool rolled_up = false;  ///< it began by rolling up the whole stream
  /// Growth of the stream by what is staged, what it replaces taken off.
  int64_t messages = 0;
  int64_t bytes = 0;

  bool has(std::string_view subject) const { return subjects.contains(subject); }
};

}  // namespace sluice
