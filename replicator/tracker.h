// What is known of each sampled value: when it was seen and copied last. Bounded: the value not seen for longest
// makes room.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "base/time_format.h"

namespace sluice {

struct TrackedItem {
  WallNanos seen = kZeroTime;
  WallNanos copied = kZeroTime;  ///< kZeroTime = never
  bool advised = false;          ///< its silence was told
  double size = 0;               ///< of the body seen last
};

/// Loop thread only.
class Tracker {
 public:
  explicit Tracker(size_t max_items) : max_items_(max_items) {}

  const TrackedItem* find(std::string_view value) const;
  /// Seen now. @return what was known before; nullopt = nothing.
  std::optional<TrackedItem> saw(std::string_view value, WallNanos now, double size);
  void copied(std::string_view value, WallNanos at);
  /// What another replicator or a state file knows: the later of both times stays, so that hearing one's own
  /// words again changes nothing.
  void merge(std::string_view value, const TrackedItem& item);
  /// As merge(), of what stands in the bucket: what is not newer here needs no writing there.
  void merge_saved(std::string_view value, const TrackedItem& item);
  /// Another one saw it expire.
  void forget(std::string_view value, const TrackedItem& item);

  /// From now on it is remembered which values changed.
  void note_changes() { notes_changes_ = true; }
  size_t changed_count() const { return changed_values_.size() + taken_values_.size(); }
  /// One of them, which counts as saved; none waits longer than the ones that changed after it was asked for last.
  std::optional<std::pair<std::string, TrackedItem>> take_changed();
  /// Could not be saved after all.
  void mark_changed(std::string_view value);

  struct Silence {
    std::function<void(std::string_view, const TrackedItem&)> timed_out;  ///< longer than `warn`, told once
    std::function<void(std::string_view, const TrackedItem&)> expired;    ///< longer than `period`
  };
  /// Removes what was not seen for `period`; twice that is not even told any more.
  void scrub(WallNanos now, std::chrono::nanoseconds warn, std::chrono::nanoseconds period, const Silence& silence);

  size_t size() const { return items_.size(); }
  uint64_t evicted() const { return evicted_; }
  bool changed_since_save() const { return changed_; }
  void saved() { changed_ = false; }
  void each(const std::function<void(std::string_view, const TrackedItem&)>& visit) const;

 private:
  struct Entry {
    std::string value;
    TrackedItem item;
  };
  using Entries = std::list<Entry>;  // the least recently seen first

  Entries::iterator touch(std::string_view value);
  void drop(Entries::iterator entry);
  void changed(const Entry& entry);

  const size_t max_items_;
  Entries entries_;
  std::unordered_map<std::string_view, Entries::iterator> items_;  ///< keys view into entries_
  uint64_t evicted_ = 0;
  bool changed_ = false;
  bool disordered_ = false;  ///< merged behind others that were seen later
  bool notes_changes_ = false;
  std::unordered_set<std::string_view> changed_values_, taken_values_;  ///< views into entries_
};

/// Stream Replicator's state file: {"Items":{"h1":{"seen":…,"copied":…,"advised":true,"size":27}}}.
std::string encode_tracker(const Tracker& tracker);
/// Merges into `tracker`. @return kCorrupt for what is not one.
Status decode_tracker(std::string_view json, Tracker& tracker);
/// One item as it is gossiped, its value inside.
std::string encode_gossip(std::string_view value, const TrackedItem& item);
Status decode_gossip(std::string_view json, Tracker& tracker);
/// One item as the bucket keeps it: as it is gossiped, and whether it has expired.
std::string encode_saved(std::string_view value, const TrackedItem& item, bool expired);
Status decode_saved(std::string_view json, Tracker& tracker);

}  // namespace sluice
