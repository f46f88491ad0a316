// The schedules that stand in one stream, by subject and by when they fire next.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "base/ids.h"
#include "base/time_format.h"

namespace sluice {

/// One a subject: the newest message there that is a schedule. As large as the stream has such messages.
/// Who removes a message from the store calls forget() or forget_below(). Loop thread only.
class Schedules {
 public:
  struct Entry {
    StreamSeq seq;
    WallNanos due = 0;
  };

  void put(std::string_view subject, StreamSeq seq, WallNanos due);
  /// Moves an existing one; nothing happens when there is none on `subject` older than `before`.
  void move(std::string_view subject, StreamSeq before, WallNanos due);
  void forget(StreamSeq seq);
  void forget_below(StreamSeq first_kept);
  std::optional<Entry> find(std::string_view subject) const;
  /// Subject and entry of the one that fires next.
  std::optional<std::pair<std::string, Entry>> next_due() const;
  size_t size() const { return by_subject_.size(); }

 private:
  using BySubject = std::map<std::string, Entry, std::less<>>;
  void erase(BySubject::iterator at);

  BySubject by_subject_;
  std::map<StreamSeq, std::string> subject_of_;
  std::set<std::pair<WallNanos, StreamSeq>> by_due_;
};

}  // namespace sluice
