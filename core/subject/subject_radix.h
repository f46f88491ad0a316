// The radix tree behind SubjectIndex: byte strings → blocks of memory, in byte order.
//
// A Patricia tree: an inner node names only the position where the keys below it differ, and the
// full key stands in the leaf, so nodes stay small and no path is copied.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "subject/block_pool.h"

namespace sluice {

class SubjectRadix {
 public:
  /// The key of one entry. Its bytes follow it in memory; the value's bytes stand before it.
  struct Leaf {
    uint16_t length;
    std::string_view key() const { return {reinterpret_cast<const char*>(this + 1), length}; }
  };
  struct Node;
  class Walk;
  class Sweep;

  /// @param value_bytes room kept before each leaf, a multiple of 2. The block that value and leaf
  ///   share is aligned to 8.
  explicit SubjectRadix(size_t value_bytes) : value_bytes_(value_bytes) {}
  /// Moving leaves the other one empty. The owner must take_all() before the tree goes: the values
  /// are its own.
  SubjectRadix(SubjectRadix&& other) noexcept
      : root_(std::exchange(other.root_, 0)),
        size_(std::exchange(other.size_, 0)),
        memory_bytes_(std::exchange(other.memory_bytes_, 0)),
        value_bytes_(other.value_bytes_),
        blocks_(std::move(other.blocks_)) {}
  SubjectRadix& operator=(SubjectRadix&& other) noexcept {
    std::swap(root_, other.root_);
    std::swap(size_, other.size_);
    std::swap(memory_bytes_, other.memory_bytes_);
    std::swap(blocks_, other.blocks_);
    return *this;
  }

  /// Fetches the root into the processor's cache: the only entry with its value, or the first node.
  void prefetch() const {
    const char* root = reinterpret_cast<const char*>(root_ & ~Ref{1});
    __builtin_prefetch(root - ((root_ & 1) != 0 ? value_bytes_ : 0));
    __builtin_prefetch(root);
  }
  Leaf* find(std::string_view key) const;
  /// @return the leaf and whether it is new; a new one's value bytes are not initialised.
  std::pair<Leaf*, bool> find_or_insert(std::string_view key);
  /// Takes the key out; the caller ends the value, then calls free_leaf. nullptr when absent.
  Leaf* take(std::string_view key);
  void free_leaf(Leaf* leaf);
  /// Empties the tree; `each(Leaf*)` for every leaf, to be freed there.
  template <class F>
  void take_all(F&& each) {
    for (Leaf* leaf : take_leaves()) each(leaf);
    blocks_.release_all();
  }

  size_t size() const { return size_; }
  size_t memory_bytes() const { return memory_bytes_; }

 private:
  /// 0 = nothing; bit 0 set = Leaf; else Node.
  using Ref = uintptr_t;

  Leaf* nearest_leaf(std::string_view key) const;
  Leaf* new_leaf(std::string_view key);
  void add_child(Ref& slot, std::string_view key, size_t depth, Leaf* leaf);
  void split(Ref& slot, std::string_view old_key, size_t depth, Leaf* leaf);
  void remove_entry(Ref& slot, int byte);
  Node* new_node(size_t depth, size_t capacity);
  void free_node(Node* node);
  Node* resize(Node* node, size_t capacity);
  std::vector<Leaf*> take_leaves();

  Ref root_ = 0;
  size_t size_ = 0;
  size_t memory_bytes_ = 0;
  size_t value_bytes_;
  BlockPool blocks_;
};

/// The leaves that a filter matches, in byte order. Jumps over what shares a mismatch, and descends along
/// literal tokens: behind a wildcard each costs a look-up, not a walk of what lies beside it. The tree
/// must not change meanwhile.
class SubjectRadix::Walk {
 public:
  /// Filter "" or ">" = all. `filter` must outlive the walk.
  Walk(const SubjectRadix& tree, std::string_view filter);
  /// nullptr at the end.
  Leaf* next();

 private:
  struct Frame {
    Node* node;
    size_t next;  ///< 0 = the key that ends here, then the children
    size_t last;
  };
  Leaf* step();
  void enter(Node* node);
  void descend(std::string_view wanted, size_t wanted_at);

  std::string_view filter_;
  size_t known_ = 0;  ///< bytes that all keys below share with the filter
  bool all_;
  Leaf* single_ = nullptr;
  std::vector<Frame> frames_;
};

/// The leaves that a filter matches, in no order. What lies in memory far apart is fetched for many subtrees at a time
/// instead of one after another: behind a wildcard several times faster than a Walk. The tree must not change meanwhile.
class SubjectRadix::Sweep {
 public:
  /// Filter "" or ">" = all. `filter` must outlive the sweep.
  Sweep(const SubjectRadix& tree, std::string_view filter);
  /// nullptr at the end.
  Leaf* next();

 private:
  /// A subtree whose keys may match: their first `known` bytes took the filter up to `wants`.
  struct Branch {
    Ref ref = 0;
    Ref peek = 0;  ///< on the way to a leaf below that tells the bytes up to the node's depth; 0 = not needed
    uint32_t known = 0;
    uint32_t wants = 0;   ///< the filter's next byte, or the wildcard that the token in hand meets
    bool inside = false;  ///< that token has a byte already
    bool sure = true;     ///< no byte was taken on trust
  };
  static constexpr size_t kAhead = 16;  ///< some more than a core's outstanding cache misses

  bool star_at(size_t wants) const;
  bool rest_at(size_t wants) const { return tail_ && wants + 1 == filter_.size(); }
  bool read(Branch& branch, std::string_view bytes) const;
  bool complete(const Branch& branch) const;
  bool matches(const Branch& branch) const;
  void fetch(const Branch& branch);
  bool reach_node(Branch& branch);
  void open_children(const Branch& branch);

  std::string_view filter_;
  size_t value_bytes_;
  bool tail_;  ///< ends with ">"
  size_t last_literal_ = 0;  ///< from here on the filter has no wildcard
  std::vector<Branch> open_;
  std::array<Branch, kAhead> ahead_;  ///< fetched; a ring
  size_t first_ = 0;
  size_t count_ = 0;
};

}  // namespace sluice
