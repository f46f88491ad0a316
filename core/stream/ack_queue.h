// Answers of one stream that wait for the disk, in the order of their publishes.
//
// Everything that a publish decided stands here until its commit is durable: stored messages (with or
// without an answer), duplicates, and refusals that tell a state which is not on disk yet. So no answer
// overtakes another and none tells of what a crash could take back.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"

namespace sluice {

/// Where an answer goes: a reply subject, an in-process caller, or nowhere.
using OfferDone = std::move_only_function<void(std::string_view pub_ack)>;

class AckQueue {
 public:
  /// kText: the answer was worded when it was queued (refusals, counters, batches).
  enum class Kind : uint8_t { kStored, kDuplicate, kText };
  struct Entry {
    CommitNo commit;
    /// Stored: its own. Duplicate: the original's. Text: what becomes visible with it, or 0.
    StreamSeq seq{};
    uint32_t message_bytes = 0;
    uint32_t reply_bytes = 0;  ///< length of its reply subject; 0 = none
    Kind kind = Kind::kStored;
    bool has_done = false;
  };
  /// One answer taken out of the queue.
  struct Answer {
    Entry entry;
    std::string reply;
    std::string text;  ///< the body, when kText
    OfferDone done;
  };

  bool empty() const { return head_ == entries_.size(); }
  size_t count() const { return entries_.size() - head_; }
  size_t message_bytes() const { return message_bytes_; }

  void push(Entry entry, std::string_view reply, OfferDone done, std::string text = {});
  const Entry& front() const { return entries_[head_]; }
  std::span<const Entry> entries() const { return std::span(entries_).subspan(head_); }
  /// Takes the oldest out; `into` keeps its capacities.
  void pop(Answer& into);
  void clear();
  /// A push is about to come: fetches what it writes to into the processor's cache.
  void prefetch_push() const {
    __builtin_prefetch(entries_.data() + entries_.size(), 1);
    __builtin_prefetch(replies_.data() + replies_.size(), 1);
  }
  /// The same for a pop.
  void prefetch_pop() const {
    __builtin_prefetch(entries_.data() + head_);
    __builtin_prefetch(replies_.data() + replies_head_);
  }
  /// Where what few answers need begins.
  const void* cold() const { return &dones_; }

 private:
  // Both begin anew in the same memory whenever the queue has run empty: with many streams, few bytes of each.
  std::vector<Entry> entries_;  ///< from head_ on
  size_t head_ = 0;
  std::string replies_;  ///< reply subjects end to end, to spare an allocation for each publish
  size_t replies_head_ = 0;
  size_t message_bytes_ = 0;
  std::deque<OfferDone> dones_;
  std::deque<std::string> texts_;
};

}  // namespace sluice
