// What a client may publish and subscribe to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "io/clock.h"
#include "server/account_options.h"
#include "subject/subject_tree.h"

namespace sluice {

/// Shared by all connections of a user; does not change.
class Permissions {
 public:
  /// @return kInvalidArgument with "subject \"x\" is not a valid subject".
  static Result<std::shared_ptr<const Permissions>> make(const PermissionOptions& options);

  const PermissionOptions& options() const { return options_; }

  bool may_publish(std::string_view subject) const;
  /// `subject` may hold wildcards: all that it can match must be allowed. One that merely overlaps
  /// what is denied is let through; then needs_filter() is true for it.
  bool may_subscribe(std::string_view subject, std::string_view queue) const;
  /// Some messages that the subscription can match are denied: may_receive() must be asked.
  bool needs_filter(std::string_view subject) const;
  bool may_receive(std::string_view subject) const;

 private:
  /// An entry of a subscribe list: "subject [queue]".
  struct Entry {
    std::string subject;
    std::string queue;  ///< "" = every subscription; may hold wildcards
  };
  struct List {
    SubjectTree<int> tree;  ///< plain entries
    std::vector<Entry> entries;
    bool given = false;
  };
  static Status read(const std::vector<std::string>& from, bool with_queue, List& into);

  PermissionOptions options_;
  List publish_allow_;
  List publish_deny_;
  List subscribe_allow_;
  List subscribe_deny_;
};

/// The answers that one connection got, and the replies that it may send. Loop thread only.
class PermissionState {
 public:
  static constexpr size_t kMaxCached = 256;
  static constexpr size_t kMaxCachedSubject_bytes = 256;
  static constexpr size_t kMaxReplies = 65'536;  ///< beyond it the oldest grant is forgotten

  explicit PermissionState(std::shared_ptr<const Permissions> rules) : rules_(std::move(rules)) {}

  const Permissions& rules() const { return *rules_; }
  bool may_publish(std::string_view subject, MonoTime now);
  bool may_receive(std::string_view subject);
  /// A message with this reply subject went out to the client.
  void grant_reply(std::string_view reply, MonoTime now);
  bool grants_replies() const { return rules_->options().responses.has_value(); }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  using Answers = std::unordered_map<std::string, bool, Hash, std::equal_to<>>;
  struct Grant {
    MonoTime since{0};
    int64_t used = 0;
  };

  template <class Ask>
  static bool cached(Answers& answers, std::string_view subject, Ask&& ask);
  bool use_grant(std::string_view subject, MonoTime now);

  std::shared_ptr<const Permissions> rules_;
  Answers publish_;
  Answers receive_;
  std::unordered_map<std::string, Grant, Hash, std::equal_to<>> grants_;
  std::deque<std::pair<MonoTime, std::string>> grant_order_;
};

}  // namespace sluice
