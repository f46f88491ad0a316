// The stream of this process: Stream over one StreamStore.
//
// Happy path of a publish: take() → subject transform → Ingest::judge → append → trim by limits →
// AckQueue; when the store's journal has it on disk: visible_last rises, the message is republished,
// answers go out in order, observers are told once.
// local_stream.cc is the way in and out, local_stream_batches.cc the way in for batches,
// local_stream_schedules.cc what fires by itself; stream_limits.cc, stream_purge.cc and stream_expiry.cc are what makes messages leave; stream_recovery.cc is the start.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/metrics.h"
#include "io/timers.h"
#include "stream/ack_queue.h"
#include "stream/atomic_batches.h"
#include "stream/dedup_window.h"
#include "stream/fast_batches.h"
#include "stream/ingest.h"
#include "stream/message_ttl.h"
#include "stream/observer_list.h"
#include "stream/pub_ack.h"
#include "stream/republisher.h"
#include "stream/schedules.h"
#include "stream/stream.h"
#include "stream/stream_meta.h"
#include "stream/streams.h"

namespace sluice {

class DirectGet;
class LocalStream;

/// What a stream asks of the registry that owns it.
class StreamOwner {
 public:
  virtual ~StreamOwner() = default;
  /// `stream` has answers waiting: call its settle() when the store is durable up to a new commit,
  /// or, for a memory stream, soon.
  virtual void settle_later(LocalStream& stream) = 0;
  /// The bytes of `stream` changed: its recount() says by how much. Told once until then.
  virtual void resized(LocalStream& stream) = 0;
  /// May `bytes` more be kept in storage of this kind? 10002, 10023, 10077.
  virtual Status room_for(StorageKind kind, uint64_t bytes) = 0;
  virtual BatchesOpen& batches_open() = 0;
};

class LocalStream : public Stream, public StreamInbox {
 public:
  struct Parts {
    Env& env;
    Bus& bus;
    Store* store;  ///< nullptr for a memory stream
    StreamOwner& owner;
    const StreamsOptions& options;
    StreamConfig config;
    WallNanos created;
    SourcePositions positions;            ///< as saved
    StreamStore* file;                    ///< a file stream's, owned by `store`
    std::unique_ptr<StreamStore> memory;  ///< a memory stream's
  };
  explicit LocalStream(Parts parts);
  ~LocalStream() override;
  LocalStream(const LocalStream&) = delete;
  LocalStream& operator=(const LocalStream&) = delete;

  // -- for the registry
  /// Subscribes subjects and direct gets; publishes are taken from here on.
  void open();
  void trim_restored();
  /// No publish, answer or timer after this; observers are told. The store may go right after.
  void close();
  bool closed() const { return closed_; }
  /// Applies a checked configuration.
  void reconfigure(StreamConfig config);
  /// Sends what became durable. @return true while more is waiting.
  bool settle(CommitNo durable);
  /// Whether it stands in the owner's list of those. @return what it was
  bool set_waiting(bool waiting) { return std::exchange(waiting_, waiting); }
  /// A message, or settle(), is about to come: fetches what it works on into the processor's cache. With a thousand
  /// streams written in turn nothing of this one is there any more.
  void prefetch_publish() const;
  /// The second step, when that has arrived.
  void prefetch_settle() const;
  /// What the store keeps about it, with `config` in place of the own one.
  std::string meta_json(const StreamConfig& config) const {
    return stream_meta_json(config, parts_.created, positions_);
  }
  bool in_memory() const { return parts_.store == nullptr; }
  /// By how many bytes it grew since the last recount.
  int64_t recount();
  /// Bytes as of the last recount.
  uint64_t counted_bytes() const { return counted_bytes_; }
  void collect(MetricSink& sink) const;

  // -- Stream
  const StreamConfig& config() const override { return parts_.config; }
  WallNanos created() const override { return parts_.created; }
  StreamStore& store() override { return store_; }
  StreamSeq visible_last() const override { return visible_; }
  CommitNo last_commit() const override { return store_.last_commit(); }
  void when_durable(std::move_only_function<void()> done) override;
  void add_observer(StreamObserver& observer) override { observers_.add(observer); }
  void remove_observer(StreamObserver& observer) override { observers_.remove(observer); }
  void offer(const Message& message, OfferDone done) override;
  Status delete_message(StreamSeq seq, bool erase) override;
  void purge(const PurgeRequest& request, PurgeDone done) override;
  void consumer_done(StreamSeq seq) override;
  void interest_changed() override;
  StreamInbox* inbox() override { return this; }

  // -- StreamInbox (local_stream_inbox.cc)
  Status take_mirrored(StreamSeq seq, WallNanos time, const Message& message) override;
  Status take_sourced(const SourcedMessage& sourced) override;
  const SourcePositions& source_positions() const override { return positions_; }
  void reset_source(std::string_view key, std::string_view identity) override;
  void keep_sources(const std::vector<std::string>& keys) override;
  void set_source_reporter(std::function<std::vector<SourceStatus>()> reporter) override {
    reporter_ = std::move(reporter);
  }
  std::vector<SourceStatus> source_status() const override;
  void set_mirror_current(bool current) override;

 private:
  /// Above this many at once, observers are told one purge instead of each removal.
  static constexpr uint64_t kBulkRemoval = 256;

  struct Counters {
    uint64_t duplicates = 0;
    uint64_t refused = 0;
    uint64_t overflowed = 0;  ///< refused with 429: the queue of answers was full
    uint64_t skipped = 0;     ///< no interest
    uint64_t expired = 0;     ///< removed by their own TTL
    uint64_t scheduled = 0;   ///< produced by schedules
    uint64_t markers = 0;     ///< delete markers left behind
    uint64_t batches = 0;     ///< atomic ones committed
    uint64_t abandoned = 0;   ///< atomic ones given up
    uint64_t stored = 0;      ///< last: beside what every message works on
  };

  void tell_traits();
  void subscribe();
  void retire_direct_get();
  void recover();
  void recover_positions();
  // -- copies of other streams (local_stream_inbox.cc)
  bool inbox_is_full() const;
  Message transformed(const Message& message, std::string& mapped);
  void skip_mirrored_to(StreamSeq seq, WallNanos time);
  std::vector<std::string> directly_read_names() const;
  void save_positions();
  void save_positions_before_removal(StreamSeq first, StreamSeq end);
  void scan_headers();
  void tell_resized();
  // -- the way in (local_stream.cc)
  void compile_transform();
  void note_rewriting();
  void take(const Message& message, OfferDone done);
  // -- traced ones (local_stream_traces.cc)
  void take_traced(const Message& message, MessageTrace& trace);
  void trace_verdict(const Verdict& verdict, const Message& message, const PublishHeaders& headers);
  void trace_refusal(const Error& why, std::string_view subject, const PublishHeaders& headers);
  std::string trace_error(const Error& why, const PublishHeaders& headers) const;
  /// Checks and stores a message that the server itself wrote. @return false = refused
  bool take_own(const Message& message);
  WallNanos stamp();
  void act(const Verdict& verdict, const Message& message, std::string_view msg_id, WallNanos now,
           OfferDone done);
  void store_message(const Verdict& verdict, const Message& message, std::string_view msg_id,
                     WallNanos now, OfferDone done);
  void note_stored(const Verdict& verdict, const Message& message, std::string_view msg_id,
                   WallNanos now, StreamSeq seq, StreamSeq previous);
  StreamSeq previous_on(std::string_view subject);
  // -- batches (local_stream_batches.cc)
  void take_staged(const Message& message, const PublishHeaders& headers, OfferDone done);
  void commit_batch(AtomicBatches::Batch batch, const Message& last, OfferDone done);
  std::optional<Error> judge_batch(AtomicBatches::Batch& batch, WallNanos now,
                                   std::vector<Verdict>& verdicts);
  StreamSeq store_batch(const AtomicBatches::Batch& batch, const std::vector<Verdict>& verdicts,
                        WallNanos now);
  void batch_abandoned(std::string_view id, AtomicBatches::Reason reason);
  /// A message of a fast batch, and what is answered to it.
  struct FastTalk {
    const FastReply& said;
    const Message& message;
    const PublishHeaders& headers;
    FastBatches::Batch* batch = nullptr;
    std::vector<std::string> answers{};
    bool ended = false;
  };
  void take_fast(const Message& message, const PublishHeaders& headers);
  static uint16_t cannot_begin(const FastReply& said);
  void converse(FastTalk& talk);
  void ping_fast(FastTalk& talk);
  std::optional<Error> store_fast(FastTalk& talk);
  void end_fast(FastTalk& talk, uint64_t count);
  void skip_message(const Verdict& verdict, const Message& message, std::string_view msg_id,
                    WallNanos now, OfferDone done);
  void refuse(const Message& message, const Error& why, OfferDone done);
  void refuse_overflow(const Message& message, OfferDone done);
  void answer_past_queue(std::string_view reply, std::string_view headers, const std::string& body,
                         OfferDone done);
  void enqueue(AckQueue::Entry entry, std::string_view reply, OfferDone done, std::string text = {});
  bool answer_early(AckQueue::Entry entry, std::string_view reply, OfferDone& done, std::string& text);
  std::string body_of(const AckQueue::Entry& entry, std::string text);
  std::string_view answered_reply(const Message& message) const;
  void send(AckQueue::Answer& answer);
  void reply_to(std::string_view reply, std::string_view headers, std::string_view body);
  /// The queue learns that sequences up to `last` are used without a message (purge beyond the end).
  void advance_to(StreamSeq last);

  // -- schedules (local_stream_schedules.cc)
  void note_schedule(std::string_view subject, std::string_view headers, StreamSeq seq, WallNanos stored);
  void arm_schedule_timer();
  void fire_schedules();
  void fire(const std::string& subject, const Schedules::Entry& entry, WallNanos now);

  // -- the way out (stream_limits.cc)
  void roll_up(Rollup rollup, std::string_view subject, StreamSeq keep);
  void trim_subject(std::string_view subject);
  void trim_totals();
  void trim_all_subjects();
  void trim_after_update(const StreamConfig& was);
  bool drop(StreamSeq seq, bool erase);
  bool remove_stored(StreamSeq seq, bool erase);
  uint64_t remove_below(StreamSeq first_kept);
  StreamSeq first_of_newest(uint64_t keep) const;
  bool needed(StreamSeq seq, std::string_view subject) const;
  void sweep_uninteresting();

  // -- purges (stream_purge.cc)
  /// One that is asked for. Those of a stream are carried out one after the other.
  struct Purge {
    PurgeRequest request;
    PurgeDone done;
    bool begun = false;
    StreamSeq from{};            ///< nothing below it is left to remove
    StreamSeq end{};             ///< nothing from here on goes
    uint64_t left = UINT64_MAX;  ///< of a filter's messages, how many may still go
    uint64_t lost = 0;           ///< messages lost to the disk when `left` was counted
    bool at_once = false;        ///< all below `end` goes in one turn, as little or nothing stays
    bool recount = false;        ///< others removed too many at once to follow
    uint64_t purged = 0;
  };
  void run_purges();
  void begin_purge(Purge& purge);
  bool purge_some(Purge& purge);
  bool purge_some_below(Purge& purge);
  void count_left(Purge& purge);
  bool counts_for_purge(StreamSeq seq);
  void fail_purges(const Error& why);

  // -- the way out with time (stream_expiry.cc)
  void expire();
  bool remove_expired(StreamSeq seq);
  void put_delete_marker(const std::string& subject);
  bool expire_by_ttl(WallNanos now);
  bool expire_by_age(WallNanos now);
  void arm_expiry_timer();
  std::optional<WallNanos> next_due_by_age();
  void wake_at(WallNanos due);

  Parts parts_;
  Counters counters_;
  // What every message works on stands side by side from here up to dedup_, and answers_ behind the text of pub_ack_:
  // prefetch_publish() brings just these lines.
  StreamStore& store_;
  bool closed_ = false;
  bool settling_ = false;
  bool waiting_ = false;  ///< in the owner's list of those with answers
  bool purging_ = false;  ///< what is removed now, a purge removes
  bool resized_ = false;  ///< the owner was told and has not counted yet
  bool plain_ = true;     ///< transforms no subject and never republished
  StreamSeq visible_;
  WallNanos newest_stamp_ = kZeroTime;
  MessageTrace* trace_ = nullptr;  ///< of the message that take() has, until its fate is told
  uint64_t counted_bytes_ = 0;
  ObserverList observers_;
  std::string last_msg_id_;
  Ingest ingest_;
  DedupWindow dedup_;
  std::optional<SubjectTransform> transform_;  ///< set when it changes anything
  Republisher republisher_;
  PubAckText pub_ack_;
  AckQueue answers_;

  TtlIndex ttl_;
  Schedules schedules_;
  AtomicBatches atomic_batches_;
  FastBatches fast_batches_;
  AckQueue::Answer answer_;   ///< scratch of settle()
  std::string headers_;       ///< scratch of take(): a rewritten header block
  StreamSeq scan_from_;       ///< start-up scan of headers: next sequence to look at
  StreamSeq scan_end_;        ///< and where it ends; scan_from_ above it: done
  StreamSeq sweep_from_;      ///< interest sweep: next sequence to look at
  std::deque<Purge> purges_;  ///< the first is under way
  StreamSeq age_from_;        ///< below it nothing is stored that max_age could remove
  std::unique_ptr<Timer> expiry_timer_;
  MonoTime expiry_timer_at_{0};  ///< when it fires, while it is active
  std::unique_ptr<Timer> sweep_timer_;
  std::unique_ptr<Timer> scan_timer_;
  std::unique_ptr<Timer> purge_timer_;
  std::unique_ptr<Timer> schedule_timer_;
  std::unique_ptr<DirectGet> direct_get_;
  std::vector<std::unique_ptr<BusSubscription>> subscriptions_;
  SourcePositions positions_;
  std::unique_ptr<Timer> positions_timer_;
  bool mirror_current_ = false;
  std::function<std::vector<SourceStatus>()> reporter_;
};

}  // namespace sluice
