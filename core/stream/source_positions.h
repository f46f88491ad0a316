// How far a stream has copied each of its sources, so that nothing is copied twice or left out after a
// restart.
//
// The stored messages say it themselves (their Nats-Stream-Source header); what is kept beside them is
// needed once the newest message of a source has left the stream. So positions are saved now and then,
// and always before such a message is removed; at start the messages stored after the last save are read.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"

namespace sluice {

/// The newest message taken of one source.
struct SourcePosition {
  uint64_t seq = 0;      ///< in the origin
  std::string identity;  ///< of the origin stream, as it told; empty = unknown
  StreamSeq carrier;     ///< the own message that says so; zero = none does
};

/// What a Nats-Stream-Source header says:
/// "<origin>[:<hash>] <seq> <filter> <transform> <subject> [<identity>]", older ones less.
struct SourceHeader {
  std::string key;  ///< "<origin>[:<hash>] <filter> <transform>"
  uint64_t seq = 0;
  std::string_view identity;
};
std::optional<SourceHeader> parse_source_header(std::string_view value);

/// Loop thread only; owned by the stream.
class SourcePositions {
 public:
  using Map = std::map<std::string, SourcePosition, std::less<>>;

  const SourcePosition* find(std::string_view key) const;
  const Map& all() const { return positions_; }
  bool empty() const { return positions_.empty(); }
  void advance(std::string_view key, SourcePosition position);
  /// Reads as `keep(key)` says no: the source is no longer configured.
  template <class Keep>
  void keep_only(Keep&& keep) {
    if (std::erase_if(positions_, [&](const auto& entry) { return !keep(entry.first); }) > 0)
      unsaved_ = true;
  }

  bool unsaved() const { return unsaved_; }
  /// Would removing own messages below `end` (and, for a single one, from `first`) take away the only
  /// word of a position that is not saved?
  bool needed_by_removal(StreamSeq first, StreamSeq end) const;
  /// Own messages up to here are covered by what was saved.
  StreamSeq saved_at() const { return saved_at_; }
  void saved(StreamSeq last);

  /// `{"at":…,"sources":[{"key":…,"seq":…,"identity":…}]}`, for the stream's meta.
  std::string json() const;
  void restore(Map positions, StreamSeq saved_at);

 private:
  Map positions_;
  StreamSeq saved_at_;
  bool unsaved_ = false;
};

}  // namespace sluice
