// Which subscriptions want a message: subjects with wildcards → values.
//
// One node a token. Literal children of all nodes stand in one open-addressing table keyed by
// (parent, token), so a step down costs one probe and no allocation; wildcard children are fields.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/limits.h"
#include "subject/subject.h"
#include "subject/token_table.h"

namespace sluice {

/// Not thread safe. T: movable and equality comparable. The same (subject, value) may stand in it
/// several times.
template <class T>
class SubjectTree {
 public:
  SubjectTree() { nodes_.emplace_back(); }

  /// @return false, and nothing changes, when `subject` has empty tokens, `>` before the end, or
  ///   more than kMaxSubjectTokens tokens.
  bool insert(std::string_view subject, T value) {
    if (!is_storable(subject)) return false;
    uint32_t at = kRoot;
    SubjectTokens tokens(subject);
    std::string_view token;
    while (tokens.next(token)) at = child_or_new(at, token);
    nodes_[at].values.push_back(std::move(value));
    ++size_;
    ++generation_;
    return true;
  }

  /// Removes one occurrence. @return false when it was not there.
  bool erase(std::string_view subject, const T& value) {
    const uint32_t at = find_node(subject);
    if (at == kNone) return false;
    std::vector<T>& values = nodes_[at].values;
    for (size_t i = 0; i < values.size(); ++i) {
      if (!(values[i] == value)) continue;
      if (i + 1 != values.size()) values[i] = std::move(values.back());
      values.pop_back();
      --size_;
      ++generation_;
      prune(at);
      return true;
    }
    return false;
  }

  /// Calls visit(T&) for each value whose subject matches; order is unspecified. `visit` must not
  /// change the tree. Same rules as subject_matches().
  ///
  /// @return how many bytes of `literal`, up to a dot and with it, decided that: whatever begins with
  ///   these and goes on with whole tokens matches the same. npos = all of it.
  template <class F>
  size_t match(std::string_view literal, F&& visit) {
    Path path;
    if (!path.split(literal)) return std::string_view::npos;
    size_t decided = 0;
    const auto visit_node = [&](Node& node) {
      for (T& value : node.values) visit(value);
      return true;
    };
    step(kRoot, path, 0, visit_node, decided);
    if (decided >= path.count) return std::string_view::npos;
    return static_cast<size_t>(path.tokens[decided].data - literal.data());
  }

  bool has_match(std::string_view literal) const {
    Path path;
    if (!path.split(literal)) return false;
    size_t decided = 0;
    const auto stop = [](const Node&) { return false; };
    // The visitor does not write, so the cast changes nothing.
    return !const_cast<SubjectTree*>(this)->step(kRoot, path, 0, stop, decided);
  }

  /// Calls visit(const T&) for every value.
  template <class F>
  void each(F&& visit) const {
    for (const Node& node : nodes_) {
      for (const T& value : node.values) visit(value);
    }
  }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  /// Rises at each change; what a cache of matches compares.
  uint64_t generation() const { return generation_; }

 private:
  static constexpr uint32_t kRoot = 0;
  static constexpr uint32_t kNone = 0;  ///< the root is nobody's child

  struct Node {
    std::vector<T> values;
    std::string token;
    uint32_t parent = kNone;
    uint32_t star = kNone;
    uint32_t rest = kNone;  ///< the `>` child, always without children
    uint32_t literals = 0;  ///< how many literal children
  };

  /// Left uninitialised on purpose: a path has few tokens, and clearing all would cost more than a
  /// match.
  struct PathToken {
    const char* data;
    uint32_t size;
    uint32_t hash;
    std::string_view text() const { return {data, size}; }
  };
  struct Path {
    std::array<PathToken, kMaxSubjectTokens> tokens;
    size_t count = 0;
    bool longer = false;  ///< more tokens than fit; only `>` can match those

    Path() {}  // NOLINT(modernize-use-equals-default): that would clear the tokens
    /// @return false for what matches nothing: no tokens, or an empty one.
    bool split(std::string_view literal) {
      SubjectTokens walk(literal);
      std::string_view token;
      while (walk.next(token)) {
        if (token.empty()) return false;
        if (count == kMaxSubjectTokens) {
          longer = true;
          continue;  // goes on to see whether an empty token follows
        }
        tokens[count++] = {token.data(), static_cast<uint32_t>(token.size()), hash_token(token)};
      }
      return count != 0;
    }
  };

  static bool is_storable(std::string_view subject) {
    return has_valid_tokens(subject) && token_count(subject) <= kMaxSubjectTokens;
  }

  uint32_t literal_child(uint32_t parent, std::string_view token, uint32_t hash) const {
    return table_.find(parent, hash, [&](uint32_t child) { return nodes_[child].token == token; });
  }

  uint32_t child(uint32_t parent, std::string_view token) const {
    if (token == "*") return nodes_[parent].star;
    if (token == ">") return nodes_[parent].rest;
    return literal_child(parent, token, hash_token(token));
  }

  uint32_t child_or_new(uint32_t parent, std::string_view token) {
    if (const uint32_t known = child(parent, token); known != kNone) return known;
    const uint32_t fresh = take_node();
    nodes_[fresh].parent = parent;
    nodes_[fresh].token = token;
    if (token == "*") {
      nodes_[parent].star = fresh;
    } else if (token == ">") {
      nodes_[parent].rest = fresh;
    } else {
      ++nodes_[parent].literals;
      table_.insert(parent, hash_token(token), fresh);
    }
    return fresh;
  }

  uint32_t take_node() {
    if (free_.empty()) {
      SLUICE_CHECK(nodes_.size() < UINT32_MAX);
      nodes_.emplace_back();
      return static_cast<uint32_t>(nodes_.size() - 1);
    }
    const uint32_t reused = free_.back();
    free_.pop_back();
    return reused;
  }

  uint32_t find_node(std::string_view subject) const {
    if (!is_storable(subject)) return kNone;
    uint32_t at = kRoot;
    SubjectTokens tokens(subject);
    std::string_view token;
    while (tokens.next(token)) {
      at = child(at, token);
      if (at == kNone) return kNone;
    }
    return at;
  }

  /// Takes away the nodes that nothing needs any more, from `at` upwards.
  void prune(uint32_t at) {
    while (at != kRoot) {
      Node& node = nodes_[at];
      if (!node.values.empty() || node.star != kNone || node.rest != kNone || node.literals != 0)
        return;
      const uint32_t parent = node.parent;
      if (nodes_[parent].star == at) {
        nodes_[parent].star = kNone;
      } else if (nodes_[parent].rest == at) {
        nodes_[parent].rest = kNone;
      } else {
        --nodes_[parent].literals;
        table_.erase(parent, hash_token(node.token), at);
      }
      node = Node{};
      free_.push_back(at);
      at = parent;
    }
  }

  /// `decided`: raised to the number of tokens that the nodes on the way asked for.
  /// @return false when `visit` said stop.
  template <class F>
  bool step(uint32_t at, const Path& path, size_t depth, F& visit, size_t& decided) {
    while (true) {
      Node& node = nodes_[at];
      if (depth == path.count) {
        // A cut path goes on, and this deep no node has children.
        return path.longer || node.values.empty() || visit(node);
      }
      if (node.rest != kNone && !visit(nodes_[node.rest])) return false;
      if (node.literals == 0 && node.star == kNone) return true;
      const uint32_t literal = node.literals == 0 ? kNone
                                                  : literal_child(at, path.tokens[depth].text(),
                                                                  path.tokens[depth].hash);
      ++depth;
      decided = std::max(decided, depth);
      if (node.star != kNone) {
        if (literal != kNone && !step(literal, path, depth, visit, decided)) return false;
        at = node.star;
      } else if (literal != kNone) {
        at = literal;
      } else {
        return true;
      }
    }
  }

  std::vector<Node> nodes_;
  std::vector<uint32_t> free_;
  TokenTable table_;
  size_t size_ = 0;
  uint64_t generation_ = 0;
};

}  // namespace sluice
