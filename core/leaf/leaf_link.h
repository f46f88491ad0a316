// One session with another server: interest and messages of one account, either way.
//
// Happy path as the spoke: INFO of the hub (TLS when it wants it) → our CONNECT → its second INFO →
// open. As the hub: our INFO → CONNECT, checked → our second INFO → open. Open: both sides tell
// which subjects they want (LS+, LS-), and send what the other wants (LMSG, HMSG). Failures: bytes
// that are no protocol, refused credentials, a loop, silence: the link closes and says how long the
// spoke should wait.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "crypto/tls_transport.h"
#include "io/env.h"
#include "leaf/leaf_handshake.h"
#include "leaf/leaf_options.h"
#include "leaf/leaf_parser.h"
#include "leaf/leaf_url.h"
#include "leaf/leaf_users.h"
#include "server/leaf_figures.h"
#include "server/outbox.h"
#include "server/permissions.h"
#include "server/server.h"
#include "server/subscription.h"

namespace sluice {

class LeafLink;
class TracedMessage;

struct LeafCounters {
  uint64_t accepted = 0;
  uint64_t connected = 0;  ///< sessions opened, either role
  uint64_t lost = 0;       ///< of those
  uint64_t auth_failures = 0;
  uint64_t protocol_errors = 0;
  uint64_t loops = 0;
  uint64_t denied_messages = 0;  ///< dropped by deny lists or permissions
  uint64_t slow = 0;             ///< cut because they did not read
  uint64_t in_msgs = 0;
  uint64_t in_bytes = 0;
  uint64_t out_msgs = 0;
  uint64_t out_bytes = 0;
};

/// Whoever owns the links.
class LeafHost {
 public:
  virtual ~LeafHost() = default;
  virtual void on_link_open(LeafLink& link) = 0;
  /// Told once. Must not destroy the link before a later callback.
  virtual void on_link_closed(LeafLink& link, const Error& why, std::chrono::nanoseconds wait) = 0;
  /// The subject that tells this server's own account apart, "$LDS.…".
  virtual const std::string& loop_subject(Account& account) = 0;
  /// This account's own mark came back over one of its links: the link opened last closed the loop.
  /// nullptr when one has just been cut, and what came back may be an echo of that: ask again later.
  virtual LeafLink* link_to_cut(LeafLink& looped) = 0;
  /// That id is a link to a hub of ours.
  virtual bool is_hub(uint64_t link_id) const = 0;
};

/// What all links share; outlives them.
struct LeafWorld {
  Env& env;
  Server& server;
  const LeafOptions& options;
  const LeafUsers& users;
  LeafCounters& counters;
  LeafHost& host;
  uint16_t port = 0;  ///< of the listener
  bool tls = false;   ///< of the listener
  bool tls_verify = false;
};

class LeafSubscription final : public Subscription {
 public:
  LeafSubscription(LeafLink& link, uint64_t id, std::string_view subject, std::string_view queue,
                   uint32_t weight);
  bool take(const Message& message, const Origin& origin) override;
  bool congested() const override;

 private:
  LeafLink& link_;
};

/// Loop thread only. Closed before it is destroyed.
class LeafLink final : public TransportHandler,
                       public Outbox::Owner,
                       public SubscriptionObserver,
                       public DeliveryEnd {
 public:
  /// As the hub.
  LeafLink(LeafWorld& world, std::unique_ptr<Transport> transport);
  /// As the spoke, dialled at `url`.
  LeafLink(LeafWorld& world, std::unique_ptr<UpgradableTransport> transport,
           const LeafRemoteOptions& remote, Account& account, LeafUrl url);
  ~LeafLink() override;
  LeafLink(const LeafLink&) = delete;
  LeafLink& operator=(const LeafLink&) = delete;

  void start();
  void close(const Error& why, std::chrono::nanoseconds wait = std::chrono::nanoseconds(0));

  uint64_t id() const { return id_; }
  bool is_spoke() const { return remote_ != nullptr; }
  bool open() const { return state_ == State::kOpen; }
  bool closed() const { return state_ == State::kClosed; }
  const std::string& remote_name() const { return remote_name_; }
  const std::string& remote_id() const { return remote_id_; }
  /// The account that the spoke links, by its own name for it.
  const std::string& remote_account() const { return remote_account_; }
  Account* account() const { return account_; }
  bool congested() const { return outbox_.congested(); }
  LeafFigures figures() const;

  // -- for its subscriptions
  bool take(const LeafSubscription& subscription, const Message& message, const Origin& origin);

  // -- TransportHandler, Outbox::Owner
  void on_bytes(std::string_view bytes) override;
  void on_drained() override { outbox_.on_drained(); }
  void on_closed(const Error& why) override { close(why); }
  void on_congestion(bool congested) override;
  void on_stuck() override;
  void on_write_deadline() override;
  // -- SubscriptionObserver, DeliveryEnd
  void on_added(const Subscription& subscription) override;
  void on_removed(const Subscription& subscription) override;
  void on_delivered() override;

 private:
  enum class State : uint8_t {
    kAwaitInfo,     ///< spoke: for the hub's first words
    kAwaitConnect,  ///< hub
    kAwaitPassword, ///< hub: a worker compares it
    kAwaitAccept,   ///< spoke: for the INFO that answers CONNECT
    kOpen,
    kClosed,
  };
  /// A message on its way out, until all its queues are known.
  struct Pending {
    size_t depth;
    std::string_view route;
    const Message* message;
    std::vector<std::string_view> queues;
    std::string hop;  ///< of a traced message
  };
  struct Interest {
    uint32_t count = 0;
  };

  void read_operations();
  void on_operation(const LeafOp& op);
  void on_info(std::string_view json);
  void on_first_info(const LeafInfo& info);
  Status sign(const LeafInfo& info, LeafConnect& connect);
  void on_connect(std::string_view json);
  void decide(AuthAnswer answer);
  void accept_user(IdentityPtr identity);
  void begin_tls();
  void refuse(const char* why);
  void begin(const LeafInfo& theirs);
  void deny_domain_subjects();
  void on_loop();
  void cut_loop();
  void on_subscribe(const LeafOp& op);
  void on_unsubscribe(const LeafOp& op);
  void on_message(const LeafOp& op);
  bool permits_in(std::string_view subject);
  void deliver(const LeafOp& op, std::string_view headers, TracedMessage* trace);
  void deliver_traced(const LeafOp& op);
  const char* withholds(std::string_view route, const Message& message);
  bool tell_trace(TracedMessage& trace, std::string_view hop, const char* withheld);
  void on_far_error(std::string_view text);
  void on_timer();
  bool concerns_us(const Subscription& subscription) const;
  void tell_interest(const std::string& key, uint32_t count, bool more);
  void pause_reading();
  void send(std::string_view bytes);
  void send_error(std::string_view text);
  void cut_slow();
  std::string make_info(bool accepted) const;
  LinkEvent event() const;

  LeafWorld& world_;
  const uint64_t id_;
  std::unique_ptr<Transport> transport_;
  UpgradableTransport* upgradable_ = nullptr;  ///< the same one, as the spoke
  Outbox outbox_;
  LeafParser parser_;
  State state_;

  // As the spoke.
  const LeafRemoteOptions* remote_ = nullptr;
  LeafUrl url_;

  Account* account_ = nullptr;
  IdentityPtr identity_;
  std::string nonce_;
  std::string remote_name_;
  std::string remote_id_;
  std::string remote_account_;
  std::string remote_domain_;
  std::string remote_user_;     ///< as the hub: the name that it gave
  std::string remote_version_;  ///< the same
  size_t remote_max_payload_ = 0;  ///< 0 = not told
  bool remote_traces_ = false;
  std::unique_ptr<PermissionState> permissions_;
  std::vector<std::string> deny_in_;   ///< not taken from the other side, nor asked for
  std::vector<std::string> deny_out_;  ///< not sent to it
  std::unordered_map<std::string, LeafSubscription*> theirs_;  ///< what they want; subject [queue]
  std::map<std::string, Interest> ours_;                       ///< what we told that we want
  std::vector<Pending> pending_;
  bool looped_ = false;  ///< our own mark comes back over it
  bool observing_ = false;
  bool counted_ = false;
  bool reading_ = false;
  bool paused_ = false;
  bool heard_ = false;
  const std::string peer_ip_;
  const WallNanos start_;
  uint32_t pings_out_ = 0;
  MonoTime ping_sent_{0};
  std::chrono::nanoseconds rtt_{0};
  uint64_t in_msgs_ = 0;
  uint64_t in_bytes_ = 0;
  uint64_t out_msgs_ = 0;
  uint64_t out_bytes_ = 0;
  std::unique_ptr<Timer> timer_;
  std::unique_ptr<Timer> pause_timer_;
  std::unique_ptr<Timer> loop_timer_;
  std::unique_ptr<Timer> expiry_timer_;  ///< of an identity that ends
  Ticket relief_;
  std::shared_ptr<LeafLink*> self_ = std::make_shared<LeafLink*>(this);
};

}  // namespace sluice
