// The mark of whoever copies to a target that others write to: a message on a subject of its own there.
//
// Happy path: a session looks at the mark that stands, puts its own in that one's place (compare-and-set), and then
// each copy is written only while that mark stands (Nats-Expected-Last-Subject-Sequence with …-Subject, nats-server from
// 2.12 on). So nothing is taken any more of what an earlier session, or a leader whose term has passed, has sent,
// however late it comes; and all that was taken lies before the mark, where the session looks for it.
//
// Failures: a mark of a later term is left alone for 10 s, after which whoever still leads takes its place: then the elections'
// bucket was made anew, and tokens count from the beginning. A target that takes no message on the subject, that is a queue, or
// whose server does not know the fence, is a person's to mend. A mark that the target's limits take away is put anew by the next session.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/error.h"
#include "client/stream_client.h"
#include "io/env.h"
#include "replicator/provenance.h"

namespace sluice {

inline constexpr std::string_view kFenceHeader = "Sluice-Copy-Fence";

/// Loop thread only. Lives as long as the copy; one question after the other.
class CopyFence {
 public:
  struct Events {
    std::move_only_function<void(StreamSeq)> on_placed;
    /// Another one leads, or the target did not answer: later.
    std::move_only_function<void(const std::string& why)> on_failed;
    /// Needs a person.
    std::move_only_function<void(const std::string& why)> on_blocked;
  };
  /// `copy`: stream, replicator, worker. `target` outlives it.
  CopyFence(Env& env, StreamClient& target, std::string target_stream, std::string subject, Provenance copy);

  /// Of the term in which the next marks are put; 0 where nobody is elected.
  void begin_term(uint64_t token);
  /// Puts a mark of ours; one of the events comes, perhaps at once. Where rollups are allowed the target keeps one mark only.
  void place(const StreamFigures& target, Events events);
  void cancel();
  /// A write was refused although our mark stood, as far as we knew.
  void refused() { was_refused_ = true; }

 private:
  void on_looked(const Result<StoredCopy>& mark);
  void put(StreamSeq stands);
  void on_put(const Result<PubAck>& put);
  void failed(const std::string& why);
  void blocked(const std::string& why);

  Env& env_;
  StreamClient& target_;
  const std::string target_stream_;
  const std::string subject_;
  const Provenance copy_;
  Events events_;
  uint64_t token_ = 0;
  bool may_roll_up_ = false;
  StreamSeq ours_;           ///< where our newest mark stands; zero = it was not put yet
  bool was_refused_ = false; ///< since then
  MonoTime superseded_at_{0};
  bool superseded_ = false;
  Ticket step_;
};

}  // namespace sluice
