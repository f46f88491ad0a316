// One consumer: ties cursor, pending messages, redelivery, pulls or push, and their durable state.
//
// Work happens at the end of a round (RoundPhase::kDeliver): hand out messages, send statuses and
// advisories, append the round's changes to the store, confirm acks once those are on disk. Between
// rounds events only change state and enlist(). A bounded number of messages leaves in one round.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bus/bus.h"
#include "consumer/ack_reply.h"
#include "consumer/advisories.h"
#include "consumer/backlog.h"
#include "consumer/consumer_config.h"
#include "consumer/consumer_portable.h"
#include "consumer/consumer_state.h"
#include "consumer/consumers.h"
#include "consumer/cursor.h"
#include "consumer/priority_group.h"
#include "consumer/pull_requests.h"
#include "consumer/push_delivery.h"
#include "consumer/redelivery.h"
#include "io/env.h"
#include "stream/observer.h"
#include "stream/stream.h"

namespace sluice {

struct ConsumerCounters {
  uint64_t delivered = 0;
  uint64_t redelivered = 0;
  uint64_t acked = 0;
  uint64_t exhausted = 0;
};

/// Owned by Consumers. Loop thread only.
class Consumer final : public StreamObserver {
 public:
  struct Place {
    Env& env;
    Bus& bus;
    Stream& stream;
    Store* store;  ///< nullptr = state is not kept
    ConsumerKey key;
    const ConsumersOptions& options;
    std::function<void(Consumer&)> on_inactive;  ///< may have it removed; memory must outlive the call
  };
  Consumer(const Place& place, ConsumerConfig config, WallNanos created);
  ~Consumer() override;
  Consumer(const Consumer&) = delete;
  Consumer& operator=(const Consumer&) = delete;

  // -- life: begin or recover, then run, then close

  /// A new one: takes its start position and stores it.
  void begin();
  /// A new one that goes on where a backup left it.
  void begin_from(const ConsumerImage& image);
  /// From the store. False when its records can't be read (it then starts as a new one would).
  bool recover(const RecoveredConsumer& found);
  /// Subscribes and delivers. The stream knows the observer by then.
  void run();
  /// Checked before by check_consumer_update().
  void update(const ConsumerConfig& config);
  /// Ends every waiting pull with `status`; nothing happens afterwards. Safe inside any of its calls.
  void close(std::string_view pull_status, bool with_rest);
  /// Hands what is not yet stored to the store.
  void flush_state();
  /// Zero time or past: go on.
  void pause(WallNanos until);
  /// See Consumers.
  Result<StreamSeq> reset(std::optional<StreamSeq> to);
  /// 10160.
  Status unpin(std::string_view group) { return group_.unpin(group); }

  // -- what it is and where it stands

  const ConsumerConfig& config() const { return config_; }
  const std::string& name() const { return config_.name; }
  Stream& stream() const { return place_.stream; }
  WallNanos created() const { return created_; }
  const ConsumerState& state() const { return state_; }
  uint64_t num_pending() const { return backlog_.count(); }
  size_t num_waiting() { return pulls_ ? pulls_->sweep() : 0; }
  bool push_bound() const { return push_ && push_->active(); }
  bool paused() const;
  bool kept() const { return place_.store != nullptr; }
  ConsumerKey key() const { return place_.key; }
  const ConsumerCounters& counters() const { return counters_; }
  /// Full state; what was not yet appended as a delta is in it and need not be appended any more.
  std::string snapshot();
  ConsumerAdvisories& advisories() { return advisories_; }
  Env& env() const { return place_.env; }
  const PriorityGroup& group() const { return group_; }

  // -- StreamObserver
  void on_visible(StreamSeq last) override;
  void on_removed(StreamSeq seq, std::string_view subject) override;
  void on_purged_below(StreamSeq first_kept) override;
  bool needs(StreamSeq seq, std::string_view subject) const override;
  bool selects(std::string_view subject) const override;
  void on_stream_deleted() override;

 private:
  struct Pick {
    StoredMessage message;
    uint32_t deliveries = 1;
  };
  enum class Step : uint8_t { kAgain, kStop };

  void enlist();
  void on_round();
  void serve();
  Step pull_step();
  Step grouped_step();
  Step serve_pull(PullRequest& request, const Pick& pick, std::string_view pin);
  bool is_full() const;
  Step push_step();
  std::optional<Pick> pick();
  bool pace_allows(const StoredMessage& message);
  /// `pin`: added as Nats-Pin-Id; empty = none.
  Message prepare(const Pick& pick, std::string_view pin);
  template <class Send>
  bool hand_out(const Pick& pick, const Message& message, Send&& send);
  void handed_out(const Pick& pick, uint64_t size);
  void wait_for_relief();
  void look_again();
  void wake();

  void subscribe();
  void on_ack(const Message& message);
  bool delivery_was_lost(StreamSeq seq) const;
  WallNanos ack_time();
  void ack(const DeliveryMeta& meta);
  void ack_one(StreamSeq seq);
  void nak(const DeliveryMeta& meta, std::optional<std::chrono::nanoseconds> delay);
  void terminate(const DeliveryMeta& meta, std::string_view reason);
  void progress(StreamSeq seq);
  void sample(const DeliveryMeta& meta);
  void flow_acked(std::string_view headers);
  Status check_reset(StreamSeq to);
  void requeue(PendingMessage& message);
  void confirm_acks();

  std::chrono::nanoseconds wait_after(uint32_t deliveries) const;
  void arm_redelivery(MonoTime due);
  void on_redelivery_timer();
  void restore_deadlines();
  void store_image();
  std::string heartbeat_headers() const;

  void touch();
  void watch_activity();
  void on_activity_timer();
  bool in_use();

  const Place place_;
  ConsumerConfig config_;
  const WallNanos created_;
  Cursor cursor_;
  Backlog backlog_;
  ConsumerState state_;
  Redelivery redelivery_;
  AckSubject ack_subject_;
  ConsumerAdvisories advisories_;
  ConsumerCounters counters_;
  PriorityGroup group_;
  std::shared_ptr<Consumer*> anchor_;  ///< queued tasks hold it weakly

  std::unique_ptr<PullRequests> pulls_;
  std::unique_ptr<PushDelivery> push_;
  std::vector<std::unique_ptr<BusSubscription>> subscriptions_;
  std::vector<std::string> confirmations_;  ///< replies of double acks of this round
  std::string inbox_;                       ///< of the request being served
  std::string headers_;                     ///< headers_only or pinned: the block being sent
  size_t congested_in_a_row_ = 0;
  Ticket relief_;

  MonoTime pace_until_{0};
  bool paced_ = false;                ///< the last pick was held back by pace
  StreamSeq replay_end_;              ///< replay original: up to here the spacing is kept
  WallNanos replay_time_ = kZeroTime;
  MonoTime replay_sent_{0};

  bool running_ = false;
  bool closed_ = false;
  bool enlisted_ = false;
  bool more_ = false;
  WallNanos serving_since_ = kZeroTime;  ///< stamps the deliveries of one serve(): a reading each was 3 % of a fetch
  WallNanos acked_at_ = kZeroTime;       ///< stamps the acknowledgements between two rounds; kZeroTime: none yet
  MonoTime last_activity_{0};
  MonoTime redelivery_armed_for_ = MonoTime::max();
  std::unique_ptr<Timer> redelivery_timer_;
  std::unique_ptr<Timer> wake_timer_;      ///< pace, end of a pause
  std::unique_ptr<Timer> activity_timer_;  ///< only with an inactive_threshold
};

/// The API's ConsumerInfo object, fields in the documented order. `metadata`: shown instead of the
/// config's own (the API adds version keys).
std::string consumer_info_json(Consumer& consumer, const std::map<std::string, std::string>& metadata);

}  // namespace sluice
