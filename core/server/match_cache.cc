#include "server/match_cache.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "subject/subject.h"

namespace sluice {
namespace {

size_t size_of(const MatchList& list) {
  size_t count = list.plain.size();
  for (size_t i = 0; i < list.group_count; ++i) count += list.groups[i].members.size();
  return count;
}

}  // namespace

MatchList& MatchCache::find(std::string_view subject, SubscriptionTree& tree) {
  if (begins_as_known(subject, tree)) {
    ++hits_;
    return *beginning_;
  }
  if (subject.size() > kMaxSubject_bytes) return once(subject, tree);
  if (sets_.empty()) [[unlikely]] sets_ = std::vector<Set>(kSets);
  const uint32_t hash = hash_token(subject);
  Set& set = sets_[hash % kSets];
  MatchList* known = nullptr;
  for (size_t way = 0; way < kWays; ++way) {
    if (set.hashes[way] != hash || set.lists[way] == nullptr || set.lists[way]->subject.view() != subject) continue;
    known = set.lists[way].get();
    if (known->generation != tree.generation()) break;
    ++hits_;
    return *known;
  }
  // A known one came again; any other must have missed here lately.
  if (known == nullptr && !set.missed_before(hash)) return once(subject, tree);
  ++misses_;
  std::unique_ptr<MatchList>& list = way_for(set, hash, subject);
  if (list != nullptr) remembered_ -= size_of(*list);
  if (list != nullptr && list->users > 0) retired_.push_back(std::move(list));
  if (list == nullptr) list = std::make_unique<MatchList>();
  fill(*list, subject, tree);
  remembered_ += size_of(*list);
  if (remembered_ > kMaxRemembered) {
    // What was just found stays alive for the caller.
    retired_.push_back(std::move(list));
    drop_all();
    return *retired_.back();
  }
  return *list;
}

/// Whether it is one of the last that missed; it is from now on.
bool MatchCache::Set::missed_before(uint32_t hash) {
  const auto tag = static_cast<uint16_t>(hash >> 16);  // the lower bits chose the set
  if (std::find(missed.begin(), missed.end(), tag) != missed.end()) return true;
  missed[next_missed] = tag;
  next_missed = static_cast<uint8_t>((next_missed + 1) % missed.size());
  return false;
}

/// Where the subject's list stands, or shall stand: its own way, a free one, or the one that was taken longest ago.
std::unique_ptr<MatchList>& MatchCache::way_for(Set& set, uint32_t hash, std::string_view subject) {
  size_t at = kWays;
  for (size_t way = 0; way < kWays; ++way) {
    const MatchList* list = set.lists[way].get();
    if (list != nullptr && set.hashes[way] == hash && list->subject.view() == subject) return set.lists[way];
    if (list == nullptr && at == kWays) at = way;
  }
  if (at == kWays) at = set.oldest++ % kWays;
  set.hashes[at] = hash;
  return set.lists[at];
}

/// What the tree said of the list's subject is all that it would say of this one.
bool MatchCache::begins_as_known(std::string_view subject, const SubscriptionTree& tree) const {
  const std::string_view known = beginning_->subject.view();
  return !known.empty() && subject.size() > known.size() && subject[known.size() - 1] == '.' &&
         beginning_->generation == tree.generation() && subject.starts_with(known) &&
         !has_empty_token(subject.substr(known.size()));
}

/// Computes into a list that nobody walks.
MatchList& MatchCache::once(std::string_view subject, SubscriptionTree& tree) {
  ++misses_;
  const auto spare = std::find_if(spares_.begin(), spares_.end(), [](const auto& list) { return list->users == 0; });
  auto& list = spare != spares_.end() ? *spare : spares_.emplace_back(std::make_unique<MatchList>());
  const size_t deciding = fill(*list, subject, tree);
  const bool shared = deciding != 0 && deciding != std::string_view::npos;
  if (!shared || beginning_->users > 0) return *list;
  list->subject.set(subject.substr(0, deciding));
  std::swap(list, beginning_);
  return *beginning_;
}

/// @return as SubjectTree::match()
size_t MatchCache::fill(MatchList& list, std::string_view subject, SubscriptionTree& tree) {
  list.plain.clear();
  list.group_count = 0;
  list.conditional = false;
  list.only = nullptr;
  list.subject.set(subject);
  list.generation = tree.generation();
  const size_t deciding = tree.match(subject, [&list](Subscription* subscription) {
    const std::string_view queue = subscription->queue();
    if (queue.empty()) {
      list.plain.push_back(subscription);
      list.conditional = list.conditional || subscription->conditional();
      return;
    }
    for (size_t i = 0; i < list.group_count; ++i) {
      if (list.groups[i].name != queue) continue;
      list.groups[i].members.push_back(subscription);
      return;
    }
    if (list.group_count == list.groups.size()) list.groups.emplace_back();
    MatchList::Group& fresh = list.groups[list.group_count++];
    fresh.name = queue;
    fresh.members.assign(1, subscription);
  });
  if (list.plain.size() == 1) list.only = list.plain.front();
  return deciding;
}

MatchCache::Fanout MatchCache::fanout() const {
  Fanout out;
  size_t sum = 0;
  for (const Set& set : sets_) {
    for (const auto& list : set.lists) {
      if (list == nullptr) continue;
      const size_t reached = size_of(*list);
      ++out.subjects;
      sum += reached;
      out.most = std::max(out.most, reached);
    }
  }
  if (out.subjects != 0) out.mean = static_cast<double>(sum) / static_cast<double>(out.subjects);
  return out;
}

void MatchCache::drop_all() {
  auto kept = std::move(retired_.back());
  retired_.pop_back();
  for (Set& set : sets_) {
    for (auto& list : set.lists) {
      if (list != nullptr && list->users > 0) retired_.push_back(std::move(list));
    }
    set = {};
  }
  retired_.push_back(std::move(kept));
  remembered_ = 0;
}

}  // namespace sluice
