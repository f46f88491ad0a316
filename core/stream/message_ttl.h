// Per-message TTLs (ADR-43): what the header asks for, and which stored message goes when.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "base/ids.h"
#include "base/time_format.h"

namespace sluice {

struct MessageTtl {
  std::chrono::seconds life{0};  ///< ≥ 1 s; unused when `never`
  bool never = false;            ///< kept, by max_age too
};

/// The value of Nats-TTL: whole seconds, a Go duration of at least 1 s (cut to whole seconds), or
/// "never". nullopt for everything else.
std::optional<MessageTtl> parse_message_ttl(std::string_view value);

/// The messages of one stream that have a TTL. As large as the stream has such messages: about 128
/// bytes for each. Who removes a message from the store calls forget() or forget_below(). Loop thread
/// only.
class TtlIndex {
 public:
  struct Due {
    WallNanos at = 0;
    StreamSeq seq;
    auto operator<=>(const Due&) const = default;
  };

  /// `seq` is above all that were inserted before. @return when it is due; nullopt for never.
  std::optional<WallNanos> insert(StreamSeq seq, WallNanos stored, const MessageTtl& ttl);
  void forget(StreamSeq seq);
  void forget_below(StreamSeq first_kept);

  std::optional<Due> next_due() const;
  bool is_never(StreamSeq seq) const { return never_.contains(seq); }
  /// The oldest message that never expires.
  std::optional<StreamSeq> first_never() const;
  /// `from` itself, or the first sequence after the unbroken run of never-messages that begins there.
  StreamSeq after_never_run(StreamSeq from) const;
  size_t size() const { return due_of_.size() + never_.size(); }

 private:
  std::map<StreamSeq, WallNanos> due_of_;
  std::set<Due> by_due_;  ///< the same messages, soonest first
  std::set<StreamSeq> never_;
};

}  // namespace sluice
