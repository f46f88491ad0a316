// The waiting pull requests of one consumer, served in turn: the head gets one message and, when it
// wants more, goes to the tail.
//
// A request ends with at most one status. Statuses are texts that clients compare, byte for byte.
// Source: ADR-13 (pull consumers), the public nats-server status texts.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "bus/bus.h"
#include "consumer/consumer_config.h"
#include "consumer/priority_group.h"
#include "io/env.h"

namespace sluice {

struct PullRequest {
  uint64_t id = 0;
  std::string inbox;
  int64_t left = 1;             ///< messages still wanted; one that began at 0 or below ends with its first
  uint64_t delivered = 0;
  int64_t max_bytes = 0;        ///< 0 or below = no bound
  int64_t bytes_left = 0;       ///< as it is told in statuses: below 0 as it was asked
  bool no_wait = false;
  MonoTime expires{0};          ///< 0 = never
  std::chrono::nanoseconds heartbeat{0};
  MonoTime next_heartbeat{0};
  GroupClaim claim;             ///< only looked at when the consumer has a priority policy
};

/// What the queue asks of its consumer.
struct PullHost {
  std::function<uint64_t()> deliverable;              ///< undelivered + waiting for redelivery
  std::function<std::string()> heartbeat_headers;     ///< the idle heartbeat as it stands now
  std::function<void()> activity;                     ///< a request came or went
  std::function<void()> statuses_wait;                ///< flush_statuses() wants to be called this round
};

/// Bounded by the consumer's max_waiting. Loop thread only. Statuses are gathered and leave with
/// flush_statuses(): a receiver inside this process may call back, and must not meet a half-done walk.
class PullRequests {
 public:
  /// `group` outlives it.
  PullRequests(Env& env, Bus& bus, const ConsumerConfig& config, int api_level, PriorityGroup& group, PullHost host);

  /// A pull as it came: refused with its status, or queued. @return true when something was queued.
  bool receive(std::string_view body, std::string_view inbox, std::string_view headers);

  /// The head of the queue; expired ones met on the way end with their status. nullptr when none waits.
  PullRequest* head();
  /// With a priority policy: the first whose turn it is. `pending` counts the message on offer. Those
  /// with a pin that is gone end with their status.
  PullRequest* choose(uint64_t pending, uint64_t ack_pending);
  /// Does a message of `size` fit the max_bytes of the one chosen last? When not it ends with its status.
  bool fits(uint64_t size);
  /// Request `id`, when it still waits, got a message: it ends, or goes behind its equals.
  void served(uint64_t id, uint64_t size);
  /// The head is left waiting for now.
  void rotate();
  /// Nobody listens on its inbox any more.
  void drop(uint64_t id);
  /// Nothing more can be handed out now: no_wait requests that got something, or that do not wait at
  /// all, end. `full`: there may be more once acks come, so that those that expire wait for it.
  void drained(bool full = false);
  /// All end: "409 Consumer Deleted" and the like; `with_rest` adds the headers of what was not served.
  void end_all(std::string_view status, bool with_rest);

  void flush_statuses();

  size_t size() const { return requests_.size(); }
  /// Drops requests nobody listens for. @return how many are left.
  size_t sweep();

 private:
  using Iterator = std::list<PullRequest>::iterator;
  Status parse(std::string_view body, PullRequest& out) const;
  bool level_refused(std::string_view headers, std::string_view inbox);
  bool check_limits(const PullRequest& request, std::string_view inbox);
  bool check_group(const PullRequest& request, std::string_view inbox);
  Iterator find(uint64_t id);
  void enqueue(PullRequest request);
  bool admit_no_wait(const PullRequest& request, std::string_view inbox);
  void send(std::string_view inbox, std::string_view status);
  void queue(std::string_view inbox, std::string headers);
  void send_rest(const PullRequest& request, std::string_view status);
  Iterator expire(Iterator at);
  void on_timer();
  void arm(const PullRequest& request);

  Env& env_;
  Bus& bus_;
  const ConsumerConfig& config_;
  const int api_level_;
  PriorityGroup& group_;
  PullHost host_;
  std::list<PullRequest> requests_;
  Iterator chosen_ = requests_.end();  ///< by head() or choose()
  uint64_t last_id_ = 0;
  struct QueuedStatus {
    std::string inbox;
    std::string headers;
  };
  std::vector<QueuedStatus> statuses_;
  std::unique_ptr<Timer> timer_;
  MonoTime armed_for_ = MonoTime::max();
};

/// Value of the first header named `name` (case-sensitive) in a header block; nullptr data when absent.
std::string_view header_value(std::string_view headers, std::string_view name);

}  // namespace sluice
