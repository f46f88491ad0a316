#include "client/stream_client.h"

#include <algorithm>
#include <utility>

#include "base/headers.h"
#include "base/limits.h"
#include "base/nuid.h"
#include "client/api_json.h"
#include "client/parse_number.h"
#include "client/pull_subscription.h"
#include "client/reply_table.h"

namespace sluice {
namespace {

constexpr size_t kMaxOpenPublishes_count = 65536;
constexpr std::chrono::seconds kApiTimeout{5};

using PubDone = std::move_only_function<void(Result<PubAck>)>;
using ReplyDone = std::move_only_function<void(Result<LinkMessage>)>;

/// One token of a subject: what a stream's or consumer's name must be to stand in an API subject.
bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameLength_bytes &&
         name.find_first_of(" .*>\t\r\n\f/\\") == std::string_view::npos;
}

class LinkedStreamClient final : public StreamClient {
 public:
  LinkedStreamClient(Env& env, NatsLink& link, std::string api_prefix, int replicas)
      : env_(env),
        link_(link),
        api_prefix_(std::move(api_prefix)),
        replicas_(replicas),
        ack_prefix_(link.new_inbox() + "."),
        publishes_(env.clock, env.timers, kMaxOpenPublishes_count,
                   [](PubDone done) { done(fail(Errc::kTimeout, "no publish ack in time")); }),
        state_listener_(link.on_state([this](LinkState state) { on_link_state(state); })),
        acks_(link.subscribe(ack_prefix_ + "*", "",
                             [this](const LinkMessage& ack) { on_ack(ack); })) {}

  NatsLink& link() override { return link_; }

  Ticket publish(const LinkMessage& message, std::chrono::nanoseconds timeout,
                 PubDone done) override {
    if (publishes_.size() >= kMaxOpenPublishes_count)
      return refuse(std::move(done), {Errc::kFull, 0, "too many publishes without ack"});
    const uint64_t token = *publishes_.add(std::move(done), timeout);
    inbox_.assign(ack_prefix_).append(std::to_string(token));
    const Status sent = link_.publish({message.subject, inbox_, message.headers, message.payload});
    if (!sent) return refuse(std::move(*publishes_.take(token)), sent.error());
    // No larger than a move_only_function holds in itself: one of these stands for each message on a long way.
    return Ticket([alive = std::weak_ptr<LinkedStreamClient>(alive_), token] {
      if (const auto self = alive.lock()) (void)self->publishes_.take(token);
    });
  }

  Ticket create_stream(const StreamSpec& spec,
                       std::move_only_function<void(Result<StreamFigures>)> done) override {
    StreamSpec whole = spec;
    if (whole.replicas == 0) whole.replicas = replicas_;
    return call<StreamFigures>("STREAM.CREATE.", spec.name, {}, encode_stream_config(whole),
                               parse_stream_info, std::move(done));
  }

  Ticket stream_info(std::string_view stream,
                     std::move_only_function<void(Result<StreamFigures>)> done) override {
    return call<StreamFigures>("STREAM.INFO.", stream, {}, {}, parse_stream_info, std::move(done));
  }

  Ticket last_message(std::string_view stream, std::string_view filter,
                      std::move_only_function<void(Result<StoredCopy>)> done) override {
    return call<StoredCopy>("STREAM.MSG.GET.", stream, {}, encode_last_by_subject(filter),
                            parse_stored_message, std::move(done));
  }

  Ticket get_message(std::string_view stream, StreamSeq seq,
                     std::move_only_function<void(Result<StoredCopy>)> done) override {
    return call<StoredCopy>("STREAM.MSG.GET.", stream, {}, encode_get_seq(seq),
                            parse_stored_message, std::move(done));
  }

  Ticket api(std::string_view verb, std::string_view target, std::string_view body,
             std::move_only_function<void(Result<std::string>)> done) override {
    std::string subject = api_prefix_ + ".";
    subject.append(verb);
    if (!target.empty()) subject.append(".").append(target);
    return link_.request({subject, {}, {}, body}, kApiTimeout,
                         [told = std::move(done)](Result<LinkMessage> reply) mutable {
                           if (!reply) {
                             told(std::unexpected(std::move(reply.error())));
                           } else if (auto good = parse_any_reply(reply->payload); !good) {
                             told(std::unexpected(std::move(good.error())));
                           } else {
                             told(std::string(reply->payload));
                           }
                         });
  }

  Ticket create_consumer(
      const ConsumerSpec& spec,
      std::move_only_function<void(Result<std::string>)> done_with_name) override {
    const std::string name = spec.durable.empty() ? make_nuid(env_.random) : spec.durable;
    std::string tail = name;
    if (!spec.filter_subject.empty()) tail.append(".").append(spec.filter_subject);
    if (!is_name(name))
      return refuse(std::move(done_with_name), {Errc::kInvalidArgument, 0, "bad consumer name"});
    return call<std::string>("CONSUMER.CREATE.", spec.stream, tail,
                             encode_consumer_request(spec, name), parse_consumer_name,
                             std::move(done_with_name));
  }

  Ticket delete_consumer(std::string_view stream, std::string_view consumer,
                         std::move_only_function<void(Status)> done) override {
    if (!is_name(consumer))
      return refuse(std::move(done), {Errc::kInvalidArgument, 0, "bad consumer name"});
    return call<void>("CONSUMER.DELETE.", stream, consumer, {}, parse_success, std::move(done));
  }

  std::unique_ptr<PullSubscription> pull(
      std::string_view stream, std::string_view consumer, PullWindow window,
      std::move_only_function<void(const ConsumedMessage&)> handler,
      std::move_only_function<void(const Error&)> trouble) override {
    PullOptions options;
    options.next_subject = api_prefix_ + ".CONSUMER.MSG.NEXT.";
    options.next_subject.append(stream).append(".").append(consumer);
    options.window = std::max<size_t>(window.messages, 1);
    if (window.bytes != 0) options.window_bytes = std::max<size_t>(window.bytes, 1024);
    return std::make_unique<PullLoop>(env_, link_, std::move(options), std::move(handler),
                                      std::move(trouble));
  }

  void ack(std::string_view ack_subject) override {
    // A lost ack is no loss: the message comes again after ack_wait.
    (void)link_.publish({ack_subject, {}, {}, "+ACK"});
  }

  Ticket ack_sync(std::string_view ack_subject,
                  std::move_only_function<void(Status)> done) override {
    return link_.request({ack_subject, {}, {}, "+ACK"}, kApiTimeout,
                         [told = std::move(done)](Result<LinkMessage> reply) mutable {
                           if (reply)
                             told({});
                           else
                             told(std::unexpected(std::move(reply.error())));
                         });
  }

 private:
  /// Runs `done(error)` in a later callback; the ticket cancels it.
  template <class Done>
  Ticket refuse(Done done, Error why) {
    auto waiting = std::make_shared<Done>(std::move(done));
    env_.executor.post([waiting, error = std::move(why)]() mutable {
      if (Done run = std::exchange(*waiting, nullptr)) run(std::unexpected(std::move(error)));
    });
    return Ticket([waiting] { *waiting = nullptr; });
  }

  /// One API request: <prefix>.<verb><stream>[.<tail>].
  template <class T>
  Ticket call(std::string_view verb, std::string_view stream, std::string_view tail,
              const std::string& body, Result<T> (*parse)(std::string_view),
              std::move_only_function<void(Result<T>)> done) {
    if (!is_name(stream))
      return refuse(std::move(done), {Errc::kInvalidArgument, 0, "bad stream name"});
    std::string subject = api_prefix_ + ".";
    subject.append(verb).append(stream);
    if (!tail.empty()) subject.append(".").append(tail);
    return link_.request({subject, {}, {}, body}, kApiTimeout,
                         [parse, told = std::move(done)](Result<LinkMessage> reply) mutable {
                           if (reply)
                             told(parse(reply->payload));
                           else
                             told(std::unexpected(std::move(reply.error())));
                         });
  }

  void on_ack(const LinkMessage& ack) {
    auto done = publishes_.take(inbox_token(ack.subject).value_or(UINT64_MAX));
    if (!done) return;
    if (ack.payload.empty() && header_status(ack.headers).code == 503)
      (*done)(fail(Errc::kNoResponders, "no stream listens on this subject"));
    else
      (*done)(parse_pub_ack(ack.payload));
  }

  /// Acks of a broken connection never come; telling at once lets the caller send again sooner.
  void on_link_state(LinkState state) {
    if (state == LinkState::kConnected || state == LinkState::kConnecting) return;
    const std::weak_ptr<LinkedStreamClient> alive = alive_;
    for (const uint64_t token : publishes_.tokens()) {
      if (auto done = publishes_.take(token))
        (*done)(fail(Errc::kClosed, "the connection broke before the publish ack"));
      if (alive.expired()) return;
    }
  }

  Env& env_;
  NatsLink& link_;
  const std::string api_prefix_;
  const int replicas_;
  const std::string ack_prefix_;
  std::string inbox_;  ///< scratch
  ReplyTable<PubDone> publishes_;
  Ticket state_listener_;
  std::unique_ptr<LinkSubscription> acks_;
  std::shared_ptr<LinkedStreamClient> alive_{std::make_shared<char>(), this};  ///< for tickets that outlive the client; owns nothing
};

}  // namespace

std::unique_ptr<StreamClient> StreamClient::make(Env& env, NatsLink& link, std::string api_prefix,
                                                 int replicas) {
  return std::make_unique<LinkedStreamClient>(env, link, std::move(api_prefix), replicas);
}

}  // namespace sluice
