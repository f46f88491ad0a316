#include "subject/subject_radix.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <utility>

#include "base/check.h"
#include "subject/subject.h"

namespace sluice {

/// `count` children sorted by byte; bytes and refs follow the struct in memory. The bytes first: small nodes have them on
/// the line of the struct.
struct SubjectRadix::Node {
  uint32_t depth;  ///< all keys below share [0, depth) and differ there
  uint16_t count;
  uint16_t capacity;
  Leaf* end;  ///< the key of exactly `depth` bytes

  unsigned char* bytes() { return reinterpret_cast<unsigned char*>(this + 1); }
  uintptr_t* refs() { return reinterpret_cast<uintptr_t*>(bytes() + refs_offset(capacity)); }
  static size_t refs_offset(size_t capacity) { return (capacity + 7) / 8 * 8; }

  uintptr_t* child(unsigned char byte) {
    const void* at = std::memchr(bytes(), byte, count);
    return at == nullptr ? nullptr : refs() + (static_cast<const unsigned char*>(at) - bytes());
  }
  size_t entries() const { return static_cast<size_t>(count) + (end == nullptr ? 0 : 1); }
};

namespace {

using Leaf = SubjectRadix::Leaf;
using Node = SubjectRadix::Node;

/// Most nodes tell two or three keys apart.
constexpr std::array<size_t, 10> kCapacities = {2, 3, 5, 8, 14, 24, 39, 67, 111, 256};
constexpr int kEnd = -1;  ///< names the entry of the key that ends at a node

bool is_leaf(uintptr_t ref) { return (ref & 1) != 0; }
Leaf* leaf_of(uintptr_t ref) { return reinterpret_cast<Leaf*>(ref & ~uintptr_t{1}); }
Node* node_of(uintptr_t ref) { return reinterpret_cast<Node*>(ref); }
uintptr_t ref_to(const Leaf* leaf) { return reinterpret_cast<uintptr_t>(leaf) | 1; }
uintptr_t ref_to(const Node* node) { return reinterpret_cast<uintptr_t>(node); }

size_t node_bytes(size_t capacity) { return sizeof(Node) + Node::refs_offset(capacity) + capacity * sizeof(uintptr_t); }

void put_child(Node* node, unsigned char byte, uintptr_t ref) {
  const size_t count = node->count;
  const size_t at = static_cast<size_t>(
      std::lower_bound(node->bytes(), node->bytes() + count, byte) - node->bytes());
  std::memmove(node->bytes() + at + 1, node->bytes() + at, count - at);
  std::memmove(node->refs() + at + 1, node->refs() + at, (count - at) * sizeof(uintptr_t));
  node->bytes()[at] = byte;
  node->refs()[at] = ref;
  ++node->count;
}

void put_entry(Node* node, std::string_view key, uintptr_t ref) {
  if (key.size() == node->depth) {
    SLUICE_CHECK(node->end == nullptr && is_leaf(ref));
    node->end = leaf_of(ref);
  } else {
    put_child(node, static_cast<unsigned char>(key[node->depth]), ref);
  }
}

Leaf* any_leaf(uintptr_t ref) {
  while (!is_leaf(ref)) {
    Node* node = node_of(ref);
    if (node->end != nullptr) return node->end;
    ref = node->refs()[0];
  }
  return leaf_of(ref);
}

size_t common_length(std::string_view a, std::string_view b) {
  const size_t shorter = std::min(a.size(), b.size());
  return static_cast<size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(shorter), b.begin()).first -
      a.begin());
}

/// What a filter says of one key, and of those that begin like it.
struct Verdict {
  bool matches = false;
  /// No key that begins with the first `length` bytes of the key matches either. Greater than the
  /// key's length: nothing is said of other keys.
  size_t length = 0;
  /// A matching key with the same first `length` - 1 bytes goes on with the filter's literal bytes from here, up to
  /// its next wildcard or end. npos: with more than one thing.
  size_t goes_on_at = std::string_view::npos;
};

/// @param known bytes that both have in common, up to the begin of a token
Verdict judge(std::string_view filter, std::string_view key, size_t known) {
  const Verdict unknown{.length = key.size() + 1};
  SubjectTokens wants(filter.substr(known));
  std::string_view want;
  size_t at = known;
  while (wants.next(want)) {
    if (want == ">" && !wants.more()) {
      if (subject_matches(">", key.substr(at))) return {.matches = true};
      return unknown;
    }
    const bool literal = want != "*";
    size_t same = want.size();
    size_t end = at;
    if (literal) {
      same = common_length(want, key.substr(at));
      end = at + same;
    } else {
      end = std::min(key.find('.', at), key.size());
      if (end == at) return unknown;
    }
    const bool whole = same == want.size() && (end == key.size() || key[end] == '.');
    if (whole && !wants.more() && end == key.size()) return {.matches = true};
    if (!whole || !wants.more() || end == key.size()) {
      const size_t in_filter = static_cast<size_t>(want.data() - filter.data()) + same;
      return {.length = end + 1, .goes_on_at = literal ? in_filter : std::string_view::npos};
    }
    at = end + 1;
  }
  return unknown;
}

/// From `at` to the next wildcard token, or to the end.
std::string_view literal_run(std::string_view filter, size_t at) {
  SubjectTokens tokens(filter);
  std::string_view token;
  while (tokens.next(token)) {
    const size_t start = static_cast<size_t>(token.data() - filter.data());
    if (start > at && (token == "*" || (token == ">" && !tokens.more()))) return filter.substr(at, start - at);
  }
  return filter.substr(at);
}

}  // namespace

SubjectRadix::Node* SubjectRadix::new_node(size_t depth, size_t capacity) {
  memory_bytes_ += node_bytes(capacity);
  return new (blocks_.take(node_bytes(capacity))) Node{.depth = static_cast<uint32_t>(depth),
                                                       .count = 0,
                                                       .capacity = static_cast<uint16_t>(capacity),
                                                       .end = nullptr};
}

void SubjectRadix::free_node(Node* node) {
  memory_bytes_ -= node_bytes(node->capacity);
  blocks_.release(node, node_bytes(node->capacity));
}

SubjectRadix::Leaf* SubjectRadix::find(std::string_view key) const {
  Ref ref = root_;
  if (ref == 0) return nullptr;
  while (!is_leaf(ref)) {
    Node* node = node_of(ref);
    if (key.size() <= node->depth) {
      if (key.size() < node->depth || node->end == nullptr) return nullptr;
      ref = ref_to(node->end);
      break;
    }
    const Ref* child = node->child(static_cast<unsigned char>(key[node->depth]));
    if (child == nullptr) return nullptr;
    ref = *child;
  }
  Leaf* leaf = leaf_of(ref);
  return leaf->key() == key ? leaf : nullptr;
}

/// A leaf that shares with `key` as many bytes as any does.
SubjectRadix::Leaf* SubjectRadix::nearest_leaf(std::string_view key) const {
  Ref ref = root_;
  while (!is_leaf(ref)) {
    Node* node = node_of(ref);
    const Ref* child = key.size() > node->depth
                           ? node->child(static_cast<unsigned char>(key[node->depth]))
                           : nullptr;
    if (child == nullptr) return any_leaf(ref);
    ref = *child;
  }
  return leaf_of(ref);
}

SubjectRadix::Leaf* SubjectRadix::new_leaf(std::string_view key) {
  SLUICE_CHECK(key.size() <= UINT16_MAX);
  const size_t bytes = value_bytes_ + sizeof(Leaf) + key.size();
  auto* block = static_cast<std::byte*>(blocks_.take(bytes));
  Leaf* leaf = new (block + value_bytes_) Leaf{.length = static_cast<uint16_t>(key.size())};
  if (!key.empty()) std::memcpy(leaf + 1, key.data(), key.size());
  memory_bytes_ += bytes;
  ++size_;
  return leaf;
}

void SubjectRadix::free_leaf(Leaf* leaf) {
  blocks_.release(reinterpret_cast<std::byte*>(leaf) - value_bytes_, value_bytes_ + sizeof(Leaf) + leaf->length);
}

std::pair<SubjectRadix::Leaf*, bool> SubjectRadix::find_or_insert(std::string_view key) {
  if (root_ == 0) {
    Leaf* leaf = new_leaf(key);
    root_ = ref_to(leaf);
    return {leaf, true};
  }
  Leaf* nearest = nearest_leaf(key);
  const std::string_view old_key = nearest->key();
  const size_t depth = common_length(key, old_key);
  if (depth == key.size() && depth == old_key.size()) return {nearest, false};

  Leaf* leaf = new_leaf(key);
  Ref* slot = &root_;
  while (!is_leaf(*slot) && node_of(*slot)->depth < depth) {
    slot = node_of(*slot)->child(static_cast<unsigned char>(key[node_of(*slot)->depth]));
    SLUICE_CHECK(slot != nullptr);
  }
  if (!is_leaf(*slot) && node_of(*slot)->depth == depth) {
    add_child(*slot, key, depth, leaf);
  } else {
    split(*slot, old_key, depth, leaf);
  }
  return {leaf, true};
}

void SubjectRadix::add_child(Ref& slot, std::string_view key, size_t depth, Leaf* leaf) {
  Node* node = node_of(slot);
  if (key.size() > depth && node->count == node->capacity) {
    node = resize(node, *std::upper_bound(kCapacities.begin(), kCapacities.end(), node->capacity));
    slot = ref_to(node);
  }
  put_entry(node, key, ref_to(leaf));
}

/// Puts a node that tells the old subtree from the new leaf where the old subtree stood.
void SubjectRadix::split(Ref& slot, std::string_view old_key, size_t depth, Leaf* leaf) {
  Node* node = new_node(depth, kCapacities.front());
  put_entry(node, old_key, slot);
  put_entry(node, leaf->key(), ref_to(leaf));
  slot = ref_to(node);
}

SubjectRadix::Node* SubjectRadix::resize(Node* node, size_t capacity) {
  Node* other = new_node(node->depth, capacity);
  other->end = node->end;
  other->count = node->count;
  std::memcpy(other->refs(), node->refs(), node->count * sizeof(Ref));
  std::memcpy(other->bytes(), node->bytes(), node->count);
  free_node(node);
  return other;
}

SubjectRadix::Leaf* SubjectRadix::take(std::string_view key) {
  Ref* slot = &root_;
  Ref* parent = nullptr;
  int byte = kEnd;
  Leaf* leaf = nullptr;
  while (*slot != 0) {
    if (is_leaf(*slot)) {
      leaf = leaf_of(*slot);
      break;
    }
    Node* node = node_of(*slot);
    if (key.size() < node->depth) return nullptr;
    parent = slot;
    if (key.size() == node->depth) {
      byte = kEnd;
      leaf = node->end;
      break;
    }
    byte = static_cast<unsigned char>(key[node->depth]);
    slot = node->child(static_cast<unsigned char>(byte));
    if (slot == nullptr) return nullptr;
  }
  if (leaf == nullptr || leaf->key() != key) return nullptr;
  if (parent == nullptr) {
    root_ = 0;
  } else {
    remove_entry(*parent, byte);
  }
  memory_bytes_ -= value_bytes_ + sizeof(Leaf) + key.size();
  --size_;
  return leaf;
}

void SubjectRadix::remove_entry(Ref& slot, int byte) {
  Node* node = node_of(slot);
  if (byte == kEnd) {
    node->end = nullptr;
  } else {
    const size_t at =
        static_cast<size_t>(node->child(static_cast<unsigned char>(byte)) - node->refs());
    --node->count;
    std::memmove(node->bytes() + at, node->bytes() + at + 1, node->count - at);
    std::memmove(node->refs() + at, node->refs() + at + 1, (node->count - at) * sizeof(Ref));
  }
  if (node->entries() == 1) {
    slot = node->end != nullptr ? ref_to(node->end) : node->refs()[0];
    free_node(node);
    return;
  }
  // Two steps down, so that a count going up and down does not resize each time.
  const auto current = std::lower_bound(kCapacities.begin(), kCapacities.end(), node->capacity);
  if (current - kCapacities.begin() >= 2 && node->count <= *(current - 2)) {
    slot = ref_to(resize(node, *(current - 1)));
  }
}

std::vector<SubjectRadix::Leaf*> SubjectRadix::take_leaves() {
  std::vector<Leaf*> leaves;
  leaves.reserve(size_);
  std::vector<Ref> open;
  if (root_ != 0) open.push_back(root_);
  while (!open.empty()) {
    const Ref ref = open.back();
    open.pop_back();
    if (is_leaf(ref)) {
      leaves.push_back(leaf_of(ref));
      continue;
    }
    Node* node = node_of(ref);
    if (node->end != nullptr) leaves.push_back(node->end);
    open.insert(open.end(), node->refs(), node->refs() + node->count);
    free_node(node);
  }
  root_ = 0;
  size_ = 0;
  memory_bytes_ = 0;
  return leaves;
}

SubjectRadix::Walk::Walk(const SubjectRadix& tree, std::string_view filter)
    : filter_(filter), all_(filter.empty() || filter == ">") {
  const std::string_view prefix = literal_prefix(filter);
  Ref ref = tree.root_;
  if (ref == 0) return;
  while (!is_leaf(ref) && node_of(ref)->depth < prefix.size()) {
    const Ref* child = node_of(ref)->child(static_cast<unsigned char>(prefix[node_of(ref)->depth]));
    if (child == nullptr) return;
    ref = *child;
  }
  if (!any_leaf(ref)->key().starts_with(prefix)) return;
  if (prefix.size() < filter.size()) known_ = prefix.size();
  if (is_leaf(ref)) {
    single_ = leaf_of(ref);
  } else {
    enter(node_of(ref));
  }
}

void SubjectRadix::Walk::enter(Node* node) {
  // Each child is a line of its own, far away: they come together, not one after another.
  const size_t soon = std::min<size_t>(node->count, 16);
  for (size_t i = 0; i < soon; ++i) __builtin_prefetch(leaf_of(node->refs()[i]));
  frames_.push_back({.node = node, .next = 0, .last = node->count});
}

SubjectRadix::Leaf* SubjectRadix::Walk::next() {
  while (Leaf* leaf = step()) {
    if (all_) return leaf;
    const Verdict verdict = judge(filter_, leaf->key(), known_);
    if (verdict.matches) return leaf;
    while (!frames_.empty() && frames_.back().node->depth >= verdict.length) frames_.pop_back();
    if (verdict.goes_on_at != filter_.npos && !frames_.empty() && frames_.back().node->depth + 1 == verdict.length)
      descend(literal_run(filter_, verdict.goes_on_at), verdict.goes_on_at);
  }
  return nullptr;
}

/// Down from the innermost node along `wanted`, leaving out what lies beside it. The bytes between the nodes are not
/// looked at: the leaf is judged.
void SubjectRadix::Walk::descend(std::string_view wanted, size_t wanted_at) {
  const bool ends = wanted_at + wanted.size() == filter_.size();
  const size_t from = frames_.back().node->depth;
  while (true) {
    Frame& top = frames_.back();
    const size_t offset = top.node->depth - from;
    if (offset >= wanted.size()) {
      if (!ends) return;  // a wildcard follows: all below is looked at
      // Only the key that ends just here, and it comes first.
      if (offset > wanted.size() || top.next > 0) return frames_.pop_back();
      top.last = 0;
      return;
    }
    const Ref* child = top.node->child(static_cast<unsigned char>(wanted[offset]));
    const size_t at = child == nullptr ? 0 : static_cast<size_t>(child - top.node->refs()) + 1;
    if (child == nullptr || at < top.next) return frames_.pop_back();
    top.next = at;
    top.last = at;
    if (is_leaf(*child)) return;
    ++top.next;
    enter(node_of(*child));
  }
}

SubjectRadix::Leaf* SubjectRadix::Walk::step() {
  if (single_ != nullptr) return std::exchange(single_, nullptr);
  while (!frames_.empty()) {
    Frame& top = frames_.back();
    Node* node = top.node;
    const size_t at = top.next++;
    if (at == 0) {
      if (node->end != nullptr) return node->end;
    } else if (at > top.last) {
      frames_.pop_back();
    } else if (const Ref ref = node->refs()[at - 1]; is_leaf(ref)) {
      return leaf_of(ref);
    } else {
      enter(node_of(ref));
    }
  }
  return nullptr;
}

SubjectRadix::Sweep::Sweep(const SubjectRadix& tree, std::string_view filter)
    : filter_(filter.empty() ? ">" : filter),
      value_bytes_(tree.value_bytes_),
      tail_(filter_ == ">" || filter_.ends_with(".>")) {
  for (size_t at = 0; at < filter_.size(); ++at) {
    if (rest_at(at) || star_at(at)) last_literal_ = at + 1;
  }
  if (tree.root_ != 0) open_.push_back({.ref = tree.root_});
}

SubjectRadix::Leaf* SubjectRadix::Sweep::next() {
  while (true) {
    while (count_ < kAhead && !open_.empty()) {
      fetch(open_.back());
      open_.pop_back();
    }
    if (count_ == 0) return nullptr;
    Branch branch = ahead_[first_];
    first_ = (first_ + 1) % kAhead;
    --count_;
    if (branch.peek == 0 && is_leaf(branch.ref)) {
      if (matches(branch)) return leaf_of(branch.ref);
    } else if (reach_node(branch)) {
      open_children(branch);
    }
  }
}

void SubjectRadix::Sweep::fetch(const Branch& branch) {
  const Ref ref = branch.peek != 0 ? branch.peek : branch.ref;
  const auto* at = reinterpret_cast<const std::byte*>(ref & ~Ref{1});
  __builtin_prefetch(at);
  __builtin_prefetch(is_leaf(ref) ? at - value_bytes_ : at + 64);
  ahead_[(first_ + count_) % kAhead] = branch;
  ++count_;
}

bool SubjectRadix::Sweep::star_at(size_t wants) const {
  return filter_[wants] == '*' && (wants == 0 || filter_[wants - 1] == '.') &&
         (wants + 1 == filter_.size() || filter_[wants + 1] == '.');
}

/// @return false when no key that goes on with `bytes` matches
bool SubjectRadix::Sweep::read(Branch& branch, std::string_view bytes) const {
  branch.known += static_cast<uint32_t>(bytes.size());
  for (const char byte : bytes) {
    if (branch.wants == filter_.size()) return false;
    if (rest_at(branch.wants)) return true;
    if (!star_at(branch.wants)) {
      if (filter_[branch.wants++] != byte) return false;
    } else if (byte != '.') {
      branch.inside = true;
    } else {
      if (!branch.inside || branch.wants + 1 == filter_.size()) return false;
      branch.wants += 2;
      branch.inside = false;
    }
  }
  return true;
}

/// A key that ends here matches, as far as it was read.
bool SubjectRadix::Sweep::complete(const Branch& branch) const {
  if (branch.inside) return branch.wants + 1 == filter_.size();
  return branch.wants == filter_.size() || rest_at(branch.wants);
}

bool SubjectRadix::Sweep::matches(const Branch& branch) const {
  const std::string_view key = leaf_of(branch.ref)->key();
  if (tail_ || !branch.sure) return subject_matches(filter_, key);
  Branch end = branch;
  return read(end, key.substr(branch.known)) && complete(end);
}

/// Takes the bytes up to the node's depth into account. @return false when nothing below matches, or the bytes have
/// to be fetched first
bool SubjectRadix::Sweep::reach_node(Branch& branch) {
  const Node* node = node_of(branch.ref);
  if (branch.peek != 0) {
    if (!is_leaf(branch.peek)) {
      Node* on_the_way = node_of(branch.peek);
      branch.peek = on_the_way->end != nullptr ? ref_to(on_the_way->end) : on_the_way->refs()[0];
      open_.push_back(branch);
      return false;
    }
    const std::string_view key = leaf_of(std::exchange(branch.peek, 0))->key();
    return read(branch, key.substr(branch.known, node->depth - branch.known));
  }
  const size_t unknown = node->depth - branch.known;
  if (unknown == 0 || rest_at(branch.wants)) return true;
  // Bytes of the filter's end are taken on trust: few leaves follow, and each is read anyway.
  if (!branch.inside && branch.wants >= last_literal_ && filter_.size() - branch.wants >= unknown) {
    branch.known = node->depth;
    branch.wants += static_cast<uint32_t>(unknown);
    branch.sure = false;
    return true;
  }
  branch.peek = branch.ref;
  return reach_node(branch);
}

void SubjectRadix::Sweep::open_children(const Branch& branch) {
  Node* node = node_of(branch.ref);
  if (node->end != nullptr && complete(branch)) {
    open_.push_back(branch);
    open_.back().ref = ref_to(node->end);
  }
  if (branch.wants == filter_.size()) return;
  const bool rest = rest_at(branch.wants);
  if (!rest && !star_at(branch.wants)) {
    const Ref* child = node->child(static_cast<unsigned char>(filter_[branch.wants]));
    if (child == nullptr) return;
    open_.push_back(branch);
    open_.back().ref = *child;
    ++open_.back().known;
    ++open_.back().wants;
    return;
  }
  for (size_t i = 0; i < node->count; ++i) {
    Branch below = branch;
    below.ref = node->refs()[i];
    const char byte = static_cast<char>(node->bytes()[i]);
    if (rest || read(below, {&byte, 1})) open_.push_back(below);
  }
}

}  // namespace sluice
