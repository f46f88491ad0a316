#include "server/match_cache.h"

#include <algorithm>
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
  if (slots_.empty()) [[unlikely]] slots_ = std::vector<Slot>(kSlots);
  const uint32_t hash = hash_token(subject);
  Slot& slot = slots_[hash % kSlots];
  MatchList* known = slot.list_hash == hash ? slot.list.get() : nullptr;
  if (known != nullptr && known->subject != subject) known = nullptr;
  if (known != nullptr && known->generation == tree.generation()) {
    ++hits_;
    return *known;
  }
  // A known one came again; any other must have been the last to miss here as well.
  if (known == nullptr && std::exchange(slot.missed_hash, hash) != hash) return once(subject, tree);
  ++misses_;
  if (slot.list != nullptr) remembered_ -= size_of(*slot.list);
  if (slot.list != nullptr && slot.list->users > 0) retired_.push_back(std::move(slot.list));
  if (slot.list == nullptr) slot.list = std::make_unique<MatchList>();
  slot.list_hash = hash;
  fill(*slot.list, subject, tree);
  remembered_ += size_of(*slot.list);
  if (remembered_ > kMaxRemembered) {
    // What was just found stays alive for the caller.
    retired_.push_back(std::move(slot.list));
    drop_all();
    return *retired_.back();
  }
  return *slot.list;
}

/// What the tree said of the list's subject is all that it would say of this one.
bool MatchCache::begins_as_known(std::string_view subject, const SubscriptionTree& tree) const {
  const std::string& known = beginning_->subject;
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
  list->subject.resize(deciding);
  std::swap(list, beginning_);
  return *beginning_;
}

/// @return as SubjectTree::match()
size_t MatchCache::fill(MatchList& list, std::string_view subject, SubscriptionTree& tree) {
  list.plain.clear();
  list.group_count = 0;
  list.conditional = false;
  list.subject = subject;
  list.generation = tree.generation();
  return tree.match(subject, [&list](Subscription* subscription) {
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
}

MatchCache::Fanout MatchCache::fanout() const {
  Fanout out;
  size_t sum = 0;
  for (const Slot& slot : slots_) {
    if (slot.list == nullptr) continue;
    size_t reached = slot.list->plain.size();
    for (size_t i = 0; i < slot.list->group_count; ++i)
      reached += slot.list->groups[i].members.size();
    ++out.subjects;
    sum += reached;
    out.most = std::max(out.most, reached);
  }
  if (out.subjects != 0) out.mean = static_cast<double>(sum) / static_cast<double>(out.subjects);
  return out;
}

void MatchCache::drop_all() {
  auto kept = std::move(retired_.back());
  retired_.pop_back();
  for (Slot& slot : slots_) {
    if (slot.list != nullptr && slot.list->users > 0) retired_.push_back(std::move(slot.list));
    slot = {};
  }
  retired_.push_back(std::move(kept));
  remembered_ = 0;
}

}  // namespace sluice
