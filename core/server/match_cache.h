// The subscriptions that a subject reaches, remembered.
//
// The subject's hash names a set of four lists, one cache line; a list belongs to one subject and knows
// the generation of the tree it was computed at. A stale or replaced list is computed again in place,
// reusing its memory, so that a busy server neither flushes nor allocates. Of 1,000 subjects in turn four
// in a set lose none; with one list a slot a fifth of them shared theirs and were matched again each time.
//
// A subject enters when it misses again and is one of the last few that missed at its set. Most subjects
// of a JetStream server come once (inboxes, acknowledgements): they are computed into a spare list and
// touch only the set's line.
// Remembering them all cost 10 to 12 % of the CPU of pipelined stream publishes and fetches.
//
// Many of those are decided by how they begin: no subscription asks for more of an acknowledgement than
// stream and consumer. The list of the last such beginning serves all that share it, for one comparison.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/subscription.h"
#include "subject/subject_tree.h"

namespace sluice {

using SubscriptionTree = SubjectTree<Subscription*>;

/// A subject, short ones in place: to compare one costs no line of their own.
class KeptSubject {
 public:
  void set(std::string_view subject) {
    length_ = static_cast<uint32_t>(subject.size());
    if (subject.size() <= kInPlace_bytes)
      std::copy(subject.begin(), subject.end(), in_place_.begin());
    else if (longer_ != nullptr)
      longer_->assign(subject);
    else
      longer_ = std::make_unique<std::string>(subject);
  }
  std::string_view view() const {
    return length_ <= kInPlace_bytes ? std::string_view(in_place_.data(), length_) : std::string_view(*longer_);
  }

 private:
  static constexpr size_t kInPlace_bytes = 28;
  uint32_t length_ = 0;
  std::array<char, kInPlace_bytes> in_place_{};
  std::unique_ptr<std::string> longer_;
};

struct alignas(64) MatchList {
  struct Group {
    std::string_view name;  ///< the queue of its first member
    std::vector<Subscription*> members;
  };
  // What a delivery to one subscriber looks at comes first, in one cache line.
  uint64_t generation = 0;
  uint32_t users = 0;  ///< deliveries that are walking it: it must not change meanwhile
  bool conditional = false;  ///< a plain subscription is there whose interest must be asked for
  /// Groups in use; those behind them only keep their memory.
  size_t group_count = 0;
  Subscription* only = nullptr;  ///< plain's, when it holds just one
  KeptSubject subject;  ///< of MatchCache's beginning: what all that it is good for begin with
  std::vector<Subscription*> plain;
  std::vector<Group> groups;

  bool empty() const { return plain.empty() && group_count == 0; }
  const Group* group(std::string_view name) const {
    for (size_t i = 0; i < group_count; ++i) {
      if (groups[i].name == name) return &groups[i];
    }
    return nullptr;
  }
};

/// Not thread safe.
class MatchCache {
 public:
  static constexpr size_t kSets = 1024;
  static constexpr size_t kWays = 4;  ///< lists of a set
  static constexpr size_t kMaxSubject_bytes = 256;  ///< longer ones are computed each time
  static constexpr size_t kMaxRemembered =
      1024 * 1024;  ///< subscriptions in all lists; then all is dropped

  /// The list is good until the next find() or change of the tree, and while `users` > 0 even then
  /// (its subscriptions may be removed() ones).
  MatchList& find(std::string_view subject, SubscriptionTree& tree);
  /// Frees lists that were replaced while in use. Only when no delivery is under way.
  void release_retired() {
    if (!retired_.empty()) retired_.clear();
  }

  /// Subscribers of a remembered subject.
  struct Fanout {
    size_t subjects = 0;
    size_t most = 0;
    double mean = 0;
  };
  /// Walks all sets.
  Fanout fanout() const;
  uint64_t hits() const { return hits_; }
  uint64_t misses() const { return misses_; }

 private:
  struct alignas(64) Set {
    std::array<uint32_t, kWays> hashes{};  ///< of the lists' subjects: a foreign list is not even looked at
    std::array<std::unique_ptr<MatchList>, kWays> lists;
    std::array<uint16_t, 6> missed{};  ///< tags of the last subjects that missed here
    uint8_t next_missed = 0;           ///< where the next of them stands
    uint8_t oldest = 0;                ///< the way that is replaced next
    bool missed_before(uint32_t hash);
  };
  static_assert(sizeof(Set) == 64);

  bool begins_as_known(std::string_view subject, const SubscriptionTree& tree) const;
  std::unique_ptr<MatchList>& way_for(Set& set, uint32_t hash, std::string_view subject);
  MatchList& once(std::string_view subject, SubscriptionTree& tree);
  size_t fill(MatchList& list, std::string_view subject, SubscriptionTree& tree);
  void drop_all();

  std::vector<Set> sets_;  ///< made at the first look-up: there may be many accounts
  std::vector<std::unique_ptr<MatchList>> retired_;
  /// For subjects that are not remembered: as many as deliveries of such were ever nested.
  std::vector<std::unique_ptr<MatchList>> spares_;
  std::unique_ptr<MatchList> beginning_ = std::make_unique<MatchList>();
  size_t remembered_ = 0;
  uint64_t hits_ = 0;
  uint64_t misses_ = 0;
};

}  // namespace sluice
