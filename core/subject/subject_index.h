// What is stored, by subject: literal subject → V, in byte order, lean in memory.
//
// A radix tree on bytes (subject_radix.h) whose leaves hold the key and the value in one block:
// for short values well under 100 bytes a subject.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <string_view>
#include <utility>

#include "subject/subject_radix.h"

namespace sluice {

/// Not thread safe. V: default constructible. The address of a value is stable until its subject is
/// erased. Any bytes can be a key.
template <class V>
class SubjectIndex {
 public:
  SubjectIndex() : tree_(kValueBytes) {}
  ~SubjectIndex() { clear(); }
  SubjectIndex(SubjectIndex&& other) noexcept : tree_(std::move(other.tree_)) {}
  SubjectIndex& operator=(SubjectIndex&& other) noexcept {
    if (this != &other) {
      clear();
      tree_ = std::move(other.tree_);
    }
    return *this;
  }
  SubjectIndex(const SubjectIndex&) = delete;
  SubjectIndex& operator=(const SubjectIndex&) = delete;

  V* find(std::string_view subject) {
    SubjectRadix::Leaf* leaf = tree_.find(subject);
    return leaf == nullptr ? nullptr : value_of(leaf);
  }
  const V* find(std::string_view subject) const {
    return const_cast<SubjectIndex*>(this)->find(subject);
  }

  /// A look-up is about to come: fetches where it begins into the processor's cache.
  void prefetch() const { tree_.prefetch(); }

  V& get_or_insert(std::string_view subject) {
    const auto [leaf, fresh] = tree_.find_or_insert(subject);
    V* value = value_of(leaf);
    if (fresh) std::construct_at(value);
    return *value;
  }

  bool erase(std::string_view subject) {
    SubjectRadix::Leaf* leaf = tree_.take(subject);
    if (leaf == nullptr) return false;
    destroy(leaf);
    return true;
  }

  void clear() {
    tree_.take_all([this](SubjectRadix::Leaf* leaf) { destroy(leaf); });
  }

  size_t size() const { return tree_.size(); }
  bool empty() const { return tree_.size() == 0; }
  /// Bytes asked of the allocator by the tree itself; what a V owns is not in it.
  size_t memory_bytes() const { return tree_.memory_bytes(); }

  /// Calls visit(subject, V&) -> bool for each subject that `filter` matches, in byte order, until
  /// it returns false. Filter "" or ">" = all. `visit` may change values, not the index; the
  /// subject's view is good for that call.
  template <class F>
  void each_match(std::string_view filter, F&& visit) {
    SubjectRadix::Walk walk(tree_, filter);
    while (SubjectRadix::Leaf* leaf = walk.next()) {
      if (!visit(leaf->key(), *value_of(leaf))) return;
    }
  }
  /// The same in no order, faster where `filter` has a wildcard before its end.
  template <class F>
  void each_match_unordered(std::string_view filter, F&& visit) {
    SubjectRadix::Sweep sweep(tree_, filter);
    while (SubjectRadix::Leaf* leaf = sweep.next()) {
      if (!visit(leaf->key(), *value_of(leaf))) return;
    }
  }
  template <class F>
  void each_match(std::string_view filter, F&& visit) const {
    const_cast<SubjectIndex*>(this)->each_match(
        filter, [&](std::string_view subject, const V& value) { return visit(subject, value); });
  }

 private:
  static_assert(alignof(V) <= 8);
  static constexpr size_t kValueBytes =
      (sizeof(V) + 1) / 2 * 2;  // the leaf after it is aligned to 2

  static V* value_of(SubjectRadix::Leaf* leaf) {
    return std::launder(reinterpret_cast<V*>(reinterpret_cast<std::byte*>(leaf) - kValueBytes));
  }
  void destroy(SubjectRadix::Leaf* leaf) {
    std::destroy_at(value_of(leaf));
    tree_.free_leaf(leaf);
  }

  SubjectRadix tree_;
};

}  // namespace sluice
