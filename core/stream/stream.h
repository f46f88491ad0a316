// One stream: its configuration, what may enter (Ingest), what must leave (limits, retention), and who
// hears of it. The order of checks on a publish is one visible list in ingest.cc.
//
// A message is *appended* when it has its sequence, *visible* when it is durable. Consumers, direct
// gets and the API see only visible ones, so no sequence is ever given out twice.
// Loop thread only. Owned by Streams.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "bus/bus.h"
#include "io/env.h"
#include "store/store.h"
#include "store/stream_store.h"
#include "stream/observer.h"
#include "stream/stream_config.h"
#include "stream/stream_inbox.h"

namespace sluice {

struct PurgeRequest {
  std::string filter;   ///< empty = all subjects
  StreamSeq below;      ///< zero = not given: only messages below this sequence
  uint64_t keep = 0;    ///< keep the newest n of the match; not together with `below`
};

using PurgeDone = std::move_only_function<void(Result<uint64_t> purged)>;

class Stream {
 public:
  virtual ~Stream() = default;

  virtual const StreamConfig& config() const = 0;
  virtual WallNanos created() const = 0;
  /// Reads go here; writes only through the methods below.
  virtual StreamStore& store() = 0;
  /// The newest sequence that consumers may see; ≤ store().state().last_seq.
  virtual StreamSeq visible_last() const = 0;
  /// Number of the newest change of this stream; pass it to when_durable.
  virtual CommitNo last_commit() const = 0;
  /// Runs `done` once everything appended so far is durable (at once when it is). API replies and
  /// direct gets wait here, so that they never show a sequence that a crash could take back.
  virtual void when_durable(std::move_only_function<void()> done) = 0;

  virtual void add_observer(StreamObserver& observer) = 0;
  virtual void remove_observer(StreamObserver& observer) = 0;

  /// Entry for in-process writers that must not go through the bus. Same checks as a publish; the
  /// answer (a PubAck JSON) goes to `done` when durable or refused.
  virtual void offer(const Message& message, std::move_only_function<void(std::string_view pub_ack)> done) = 0;

  /// @return 10057 family errors as the API words them (sealed 10109, deny_delete, no message
  /// found); 10043 for a sequence that was removed before, in memory for every one that is not there.
  virtual Status delete_message(StreamSeq seq, bool erase) = 0;
  /// `done` hears how many were removed; 10109, 10110, 10003. It is called at once when one turn of the loop is enough.
  /// A larger purge goes on from turn to turn, oldest messages first; one whose stream goes meanwhile ends with 10059.
  virtual void purge(const PurgeRequest& request, PurgeDone done) = 0;

  /// A consumer is done with a message (acked, terminated). Work-queue: removes it; interest: removes
  /// it when no observer needs it any more; limits: nothing.
  virtual void consumer_done(StreamSeq seq) = 0;
  /// An observer was added, removed or changed its filter: interest retention looks again.
  virtual void interest_changed() = 0;

  /// Mirrors and sources bring their messages in here; nullptr = this stream takes none.
  virtual StreamInbox* inbox() { return nullptr; }
};

}  // namespace sluice
