// What was published at the source, what was seen at the target, and whether that fits together.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time_format.h"
#include "client/stream_client.h"
#include "replicator/position.h"
#include "sim/sim_random.h"
#include "simulate/site_config.h"

namespace sluice::simulate {

/// Sequences count within one life of the source stream, which is known by when it was made.
struct SourcePlace {
  WallNanos life = 0;
  uint64_t seq = 0;
  auto operator<=>(const SourcePlace&) const = default;
};

class SiteRecord {
 public:
  struct Sent {
    std::string subject, headers, payload;
    std::optional<SourcePlace> place{};  ///< as acknowledged, or as read
  };
  struct Copy {
    uint64_t number = 0;
    SourcePlace place;
    uint64_t target_seq = 0;
    std::string subject;
  };
  /// What is expected of the whole, beyond the messages themselves.
  struct Ending {
    CopyPosition position;
    WallNanos life = 0;             ///< of the source stream at the end
    uint64_t source_last = 0;
    uint64_t begun_anew = 0;        ///< times that messages may have come once more
    bool source_shortened = false;  ///< then what an old connection brings late to a shared target may come behind newer ones
    uint64_t target_purges = 0;     ///< what was there is written again where nobody heard of it
  };

  explicit SiteRecord(const SiteConfig& config) : config_(config) {}

  /// Makes the next message. @return its number.
  uint64_t make(sim::SimRandom& random);
  const Sent& sent(uint64_t number) const { return sent_.at(number); }
  size_t made() const { return sent_.size(); }
  size_t copies() const { return copies_.size(); }
  /// A life of the source begins, in this order.
  void add_life(WallNanos created) { lives_.push_back(created); }
  void acknowledged(uint64_t number, SourcePlace place);
  uint64_t make_foreign() { return ++foreign_made_; }
  void foreign_acknowledged(uint64_t number) { foreign_acked_.insert(number); }
  void source_holds(const StoredCopy& message, WallNanos life);
  void target_holds(const StoredCopy& message);

  /// Empty = all is as it must be; else the first thing that is not.
  std::string fault() const { return fault_; }
  void check(const Ending& ending);

 private:
  void claim(const std::string& what) {
    if (fault_.empty()) fault_ = what;
  }
  std::optional<uint64_t> number_of(std::string_view headers, std::string_view payload) const;
  void place_is(uint64_t number, SourcePlace place, const char* who);
  void check_order(uint64_t begun_anew, bool source_shortened);
  void check_all_there(const Ending& ending);
  void check_ledger(const Ending& ending);

  const SiteConfig& config_;
  std::map<uint64_t, Sent> sent_;
  std::map<SourcePlace, uint64_t> at_;
  std::vector<WallNanos> lives_;
  std::map<uint64_t, SourcePlace> at_source_;  ///< at the end
  std::vector<Copy> copies_;
  std::map<uint64_t, uint64_t> copied_times_;
  uint64_t foreign_made_ = 0;
  std::set<uint64_t> foreign_acked_;
  std::map<uint64_t, uint64_t> foreign_seen_;
  std::string fault_;
};

}  // namespace sluice::simulate
