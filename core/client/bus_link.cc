// NatsLink on the bus of the embedded core: no socket, no parsing, one copy a message.
//
// The bus calls its handlers inside publish(); a link promises that nothing is called back inside a
// call. So what comes waits in queues that are emptied in a later callback. While a subscription is
// paused its queue fills up to a bound, then messages are dropped and counted, as a slow client's
// are.
#include <memory>
#include <string>
#include <utility>

#include "base/headers.h"
#include "base/limits.h"
#include "base/nuid.h"
#include "bus/bus.h"
#include "client/inbound_queues.h"
#include "client/nats_link.h"
#include "client/parse_number.h"
#include "client/reply_table.h"
#include "client/stream_client.h"

namespace sluice {
namespace {

constexpr size_t kMaxQueued_count = 65536;
constexpr size_t kMaxQueued_bytes = 64 * kMiB;
constexpr size_t kMaxOpenRequests_count = 65536;
constexpr std::string_view kNoRespondersHeaders = "NATS/1.0 503\r\n\r\n";

using Done = std::move_only_function<void(Result<LinkMessage>)>;

class BusLink final : public NatsLink {
 public:
  BusLink(Env& env, Bus& bus)
      : env_(env),
        bus_(bus),
        inbox_prefix_("_INBOX." + make_nuid(env.random) + "."),
        requests_(env.clock, env.timers, kMaxOpenRequests_count,
                  [](Done done) { done(fail(Errc::kTimeout, "no reply in time")); }),
        queues_(env.executor, [] {}) {}
  ~BusLink() override { alive_.reset(); }  // before the members that look at it
  BusLink(const BusLink&) = delete;
  BusLink& operator=(const BusLink&) = delete;

  LinkState state() const override { return LinkState::kConnected; }
  Ticket on_state(std::move_only_function<void(LinkState)>) override {
    return Ticket([] {});  // the embedded core never goes away
  }

  Status publish(const LinkMessage& message) override {
    const size_t taken =
        bus_.publish({message.subject, message.reply, message.headers, message.payload});
    if (taken == 0 && !message.reply.empty())
      bus_.publish({message.reply, {}, kNoRespondersHeaders, {}});
    return {};
  }

  Ticket request(const LinkMessage& message, std::chrono::nanoseconds timeout, Done done) override {
    if (!replies_) {
      replies_ = subscribe(inbox_prefix_ + "r.*", "",
                           [this](const LinkMessage& reply) { on_reply(reply); });
    }
    if (requests_.size() >= kMaxOpenRequests_count) {
      env_.executor.post([refused = std::move(done)]() mutable {
        refused(fail(Errc::kFull, "too many open requests"));
      });
      return {};
    }
    const auto token = requests_.add(std::move(done), timeout);
    const std::string inbox = inbox_prefix_ + "r." + std::to_string(*token);
    (void)publish({message.subject, inbox, message.headers, message.payload});
    return Ticket([this, alive = std::weak_ptr<char>(alive_), id = *token] {
      if (!alive.expired()) (void)requests_.take(id);
    });
  }

  std::unique_ptr<LinkSubscription> subscribe(std::string_view subject, std::string_view queue,
                                              LinkHandler handler) override {
    return std::make_unique<Subscription>(*this, subject, queue, std::move(handler));
  }

  std::string new_inbox() override { return inbox_prefix_ + std::to_string(++inboxes_); }
  std::string peer() const override { return "embedded"; }
  uint64_t dropped() const override { return dropped_; }

 private:
  /// May outlive its link; then it does nothing.
  class Subscription final : public LinkSubscription {
   public:
    Subscription(BusLink& link, std::string_view subject, std::string_view queue,
                 LinkHandler handler)
        : link_(link),
          alive_(link.alive_),
          source_(link.queues_.add(std::move(handler))),
          subscription_(link.bus_.subscribe(
              subject, queue, [this](const Message& message, const Origin&) { take(message); })) {}
    ~Subscription() override {
      if (!alive_.expired()) link_.queues_.remove(source_);
    }
    void pause() override {
      if (!alive_.expired()) link_.queues_.pause(source_);
    }
    void resume() override {
      if (!alive_.expired()) link_.queues_.resume(source_);
    }
    void drain() override { subscription_.reset(); }

   private:
    void take(const Message& message) {
      if (alive_.expired()) return;
      if (source_->waiting.size() >= kMaxQueued_count || source_->bytes >= kMaxQueued_bytes) {
        ++link_.dropped_;
        return;
      }
      link_.queues_.enqueue(source_,
                            {message.subject, message.reply, message.headers, message.payload});
    }

    BusLink& link_;
    std::weak_ptr<char> alive_;
    InboundQueues::SourcePtr source_;
    std::unique_ptr<BusSubscription> subscription_;
  };

  void on_reply(const LinkMessage& reply) {
    auto done = requests_.take(inbox_token(reply.subject).value_or(UINT64_MAX));
    if (!done) return;
    if (header_status(reply.headers).code == 503 && reply.payload.empty())
      (*done)(fail(Errc::kNoResponders, "no responders"));
    else
      (*done)(reply);
  }

  Env& env_;
  Bus& bus_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();  ///< for who may outlive the link
  const std::string inbox_prefix_;
  ReplyTable<Done> requests_;
  InboundQueues queues_;
  uint64_t dropped_ = 0;
  std::unique_ptr<LinkSubscription> replies_;
  uint64_t inboxes_ = 0;
};

}  // namespace

std::unique_ptr<NatsLink> make_bus_link(Env& env, Bus& bus) {
  return std::make_unique<BusLink>(env, bus);
}

}  // namespace sluice
