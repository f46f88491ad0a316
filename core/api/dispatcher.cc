#include "api/dispatcher.h"

#include <chrono>
#include <deque>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "api/advisory.h"
#include "api/consumer_verbs.h"
#include "api/stream_verbs.h"
#include "backup/backups.h"
#include "base/check.h"
#include "bus/message_trace.h"
#include "consumer/consumers.h"
#include "stream/api_level.h"
#include "stream/pub_ack.h"
#include "subject/subject.h"

namespace sluice {
namespace {

constexpr std::string_view kPlainPrefix = "$JS.API.";

/// What the wildcards of `pattern` stand for; the subscription guarantees that it matches.
std::array<std::string_view, 3> wildcard_tokens(std::string_view pattern, std::string_view subject) {
  std::array<std::string_view, 3> out;
  size_t count = 0;
  SubjectTokens tokens(pattern);
  for (std::string_view token; tokens.next(token);) {
    SLUICE_CHECK(count < out.size() || token != "*");
    if (token == ">") {
      out[count] = subject;
      break;
    }
    const size_t dot = subject.find('.');
    if (token == "*") out[count++] = subject.substr(0, dot);
    subject.remove_prefix(dot == std::string_view::npos ? subject.size() : dot + 1);
  }
  return out;
}

constexpr std::chrono::milliseconds kOfflineDelay{500};

bool is_offline(const Error& error) { return error.api_code == 10194 || error.api_code == 10195; }

class Dispatcher : public ApiDispatcher {
 public:
  Dispatcher(Env& env, Bus& bus, Store* store, Streams& streams, Consumers& consumers,
             const ApiOptions& options)
      : options_(options),
        backups_(Backups::make(env, bus, streams, consumers)),
        context_{env, bus, store, streams, consumers, *backups_, options_, stats_},
        held_back_timer_(env.timers.make([this] { send_held_back(); })) {}
  ~Dispatcher() override { *alive_ = false; }

  void start();
  const ApiStats& stats() const override { return stats_; }
  void set_limits(const ApiOptions& options) override {
    options_.limits = options.limits;
    options_.tiers = options.tiers;
  }
  void collect(MetricSink& sink) const override;

 private:
  void listen(std::string prefix);
  void on_call(const ApiVerb& verb, size_t prefix_size, const Message& message,
               const Origin& origin);
  void wait_for(const ApiVerb& verb, const Message& message, const Origin& origin,
                std::move_only_function<void(ApiAnswerDone)> later);
  void finish(const ApiVerb& verb, const Message& message, const Origin& origin, const ApiAnswer& answer);
  ApiAnswer carry_out(const ApiVerb& verb, const ApiCall& call);
  std::optional<ApiAnswer> find_offline(const ApiVerb& verb, const ApiCall& call) const;
  std::string envelope(const ApiVerb& verb, const ApiAnswer& answer) const;
  static void trace_call(MessageTrace& trace, std::string_view subject, size_t prefix_size);
  std::string client_of(const Origin& origin) const;
  void tell_dropped();
  void audit(const Message& message, const Origin& origin, std::string_view response);
  void reply_when_durable(std::string_view reply, std::string_view headers, std::string body);
  void hold_back(std::string_view reply, std::string body);
  void send_held_back();

  struct HeldBack {
    MonoTime due;
    std::string reply;
    std::string body;
  };

  ApiOptions options_;
  ApiStats stats_;
  std::unique_ptr<Backups> backups_;
  ApiContext context_;
  size_t waiting_ = 0;
  uint64_t overflowed_ = 0;
  uint64_t dropped_ = 0;  ///< since there was room last
  std::deque<HeldBack> held_back_;  ///< by due time; counted as waiting
  std::unique_ptr<Timer> held_back_timer_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::vector<std::unique_ptr<BusSubscription>> subscriptions_;
};

/// One subscription a verb rather than one for all: so a subject that no row answers has no interest,
/// and requesters (also those of direct gets and pulls on what does not exist) get the 503 at once.
void Dispatcher::start() {
  listen(std::string(kPlainPrefix));
  if (options_.domain.empty()) return;
  const std::string prefix = fmt::format("$JS.{}.API.", options_.domain);
  listen(prefix);
  // Buckets of a domain are reached through its API prefix.
  for (std::string_view bucket : {"$KV.>", "$OBJ.>"})
    subscriptions_.push_back(context_.bus.subscribe(
        prefix + std::string(bucket), "",
        [this, size = prefix.size()](const Message& m, const Origin&) {
          context_.bus.publish({.subject = m.subject.substr(size),
                                .reply = m.reply,
                                .headers = m.headers,
                                .payload = m.payload});
        }));
}

void Dispatcher::listen(std::string prefix) {
  for (const ApiVerb& verb : api_verbs())
    subscriptions_.push_back(context_.bus.subscribe_traced(
        prefix + std::string(verb.pattern),
        [this, &verb, size = prefix.size()](const Message& message, const Origin& origin) {
          on_call(verb, size, message, origin);
        }));
}

void Dispatcher::on_call(const ApiVerb& verb, size_t prefix_size, const Message& message,
                         const Origin& origin) {
  if (origin.trace != nullptr) [[unlikely]] {
    trace_call(*origin.trace, message.subject, prefix_size);
    if (origin.trace->only()) return;
  }
  ++stats_.total;
  const ApiCall call{.subject = message.subject,
                     .token = wildcard_tokens(verb.pattern, message.subject.substr(prefix_size)),
                     .body = message.payload,
                     .headers = message.headers};
  ApiAnswer answer = carry_out(verb, call);
  if (answer.later) return wait_for(verb, message, origin, std::exchange(answer.later, nullptr));
  finish(verb, message, origin, answer);
}

/// The request is kept until its answer is ready; it counts as waiting.
void Dispatcher::wait_for(const ApiVerb& verb, const Message& message, const Origin& origin,
                          std::move_only_function<void(ApiAnswerDone)> later) {
  ++waiting_;
  later([this, alive = alive_, &verb, subject = std::string(message.subject), reply = std::string(message.reply),
         payload = std::string(message.payload), connection = origin.connection_id](const ApiAnswer& answer) {
    if (!*alive) return;
    --waiting_;
    tell_dropped();
    finish(verb, {.subject = subject, .reply = reply, .headers = {}, .payload = payload}, {.connection_id = connection},
           answer);
  });
}

void Dispatcher::finish(const ApiVerb& verb, const Message& message, const Origin& origin, const ApiAnswer& answer) {
  if (answer.error) ++stats_.errors;
  std::string body = envelope(verb, answer);
  if (answer.audited) audit(message, origin, body);
  if (message.reply.empty()) return;
  if (answer.error && is_offline(*answer.error)) return hold_back(message.reply, std::move(body));
  reply_when_durable(message.reply, answer.headers, std::move(body));
}

/// Who asks for what is offline asks again soon: the answer takes its time, as the reference's does.
void Dispatcher::hold_back(std::string_view reply, std::string body) {
  ++waiting_;
  held_back_.push_back({context_.env.clock.now() + kOfflineDelay, std::string(reply), std::move(body)});
  if (!held_back_timer_->active()) held_back_timer_->start(kOfflineDelay);
}

void Dispatcher::send_held_back() {
  while (!held_back_.empty() && held_back_.front().due <= context_.env.clock.now()) {
    const HeldBack answer = std::move(held_back_.front());
    held_back_.pop_front();
    --waiting_;
    tell_dropped();
    context_.bus.publish({.subject = answer.reply, .reply = "", .headers = "", .payload = answer.body});
  }
  if (!held_back_.empty()) held_back_timer_->start(held_back_.front().due - context_.env.clock.now());
}

/// The reference maps a domain's prefix to the plain one, and imports the API of the system account.
void Dispatcher::trace_call(MessageTrace& trace, std::string_view subject, size_t prefix_size) {
  const std::string plain = fmt::format("{}{}", kPlainPrefix, subject.substr(prefix_size));
  if (plain != subject) trace.mapped(plain);
  trace.served(plain, plain);
}

ApiAnswer Dispatcher::carry_out(const ApiVerb& verb, const ApiCall& call) {
  if (waiting_ >= kMaxWaitingApiReplies) {
    ++overflowed_;
    ++dropped_;
    return ApiAnswer::failed(10167);
  }
  if (context_.store != nullptr && context_.store->failed()) return ApiAnswer::failed(10008);
  if (!api_level_suffices(call.headers, options_.api_level)) return ApiAnswer::failed(10185);
  if (auto offline = find_offline(verb, call)) return *std::move(offline);
  return verb.handle(context_, call);
}

/// What is on disk but can't be served is answered for by its reason; it may be deleted, and its name is taken.
std::optional<ApiAnswer> Dispatcher::find_offline(const ApiVerb& verb, const ApiCall& call) const {
  const bool of_consumers = verb.pattern.starts_with("CONSUMER.");
  if (!of_consumers && (!verb.pattern.starts_with("STREAM.") || verb.handle == verbs::stream_create ||
                        verb.handle == verbs::stream_delete || verb.handle == verbs::stream_restore)) {
    return std::nullopt;
  }
  const auto& streams = context_.streams.offline();
  if (const auto stream = streams.find(call.token[0]); stream != streams.end()) {
    return ApiAnswer::failed(10194, stream->second.reason);
  }
  if (!of_consumers || verb.handle == verbs::consumer_delete) return std::nullopt;
  const auto& consumers = context_.consumers.offline(call.token[0]);
  const auto consumer = consumers.find(call.token[1]);
  if (consumer == consumers.end()) return std::nullopt;
  return ApiAnswer::failed(10195, consumer->second.reason);
}

std::string Dispatcher::envelope(const ApiVerb& verb, const ApiAnswer& answer) const {
  std::string out = fmt::format(R"({{"type":"io.nats.jetstream.api.v1.{}")", verb.response);
  if (answer.error) out += fmt::format(R"(,"error":{})", api_error_json(*answer.error));
  std::string_view members = answer.error ? verb.failed : std::string_view(answer.fields);
  if (members.size() > 2) {
    SLUICE_CHECK(members.front() == '{' && members.back() == '}');
    out += ',';
    out += members.substr(1, members.size() - 2);
  }
  out += '}';
  return out;
}

std::string Dispatcher::client_of(const Origin& origin) const {
  std::string client = options_.client_info ? options_.client_info(origin.connection_id) : "";
  return client.empty() ? fmt::format(R"({{"id":{}}})", origin.connection_id) : client;
}

/// There is room again: one advisory for all that were refused meanwhile.
void Dispatcher::tell_dropped() {
  if (dropped_ == 0) return;
  publish_advisory(context_, "API.LIMIT_REACHED", "api_limit_reached",
                   fmt::format(R"("server":{},"dropped":{})", json_quoted(options_.server_name), dropped_));
  dropped_ = 0;
}

void Dispatcher::audit(const Message& message, const Origin& origin, std::string_view response) {
  if (!context_.bus.has_interest("$JS.EVENT.ADVISORY.API", "")) return;
  std::string members =
      fmt::format(R"("server":{},"client":{},"subject":{})", json_quoted(options_.server_name),
                  client_of(origin),
                  json_quoted(message.subject));
  if (!message.payload.empty())
    members += fmt::format(R"(,"request":{})", json_quoted(message.payload));
  members += fmt::format(R"(,"response":{})", json_quoted(response));
  publish_advisory(context_, "API", "api_audit", members);
}

void Dispatcher::reply_when_durable(std::string_view reply, std::string_view headers,
                                    std::string body) {
  Store* store = context_.store;
  if (store == nullptr || store->failed() || store->durable() >= store->last_commit()) {
    context_.bus.publish({.subject = reply, .reply = "", .headers = headers, .payload = body});
    return;
  }
  ++waiting_;
  store->when_durable(store->last_commit(), [this, alive = alive_, to = std::string(reply),
                                             block = std::string(headers), text = std::move(body)] {
    if (!*alive) return;
    --waiting_;
    tell_dropped();
    context_.bus.publish({.subject = to, .reply = "", .headers = block, .payload = text});
  });
}

void Dispatcher::collect(MetricSink& sink) const {
  backups_->collect(sink);
  sink.counter("sluice_api_requests_total", "Requests of the JetStream API.", {},
               static_cast<double>(stats_.total));
  sink.counter("sluice_api_errors_total", "Requests answered with an error.", {},
               static_cast<double>(stats_.errors));
  sink.counter("sluice_api_overflowed_total", "Requests refused because too many were waiting.", {},
               static_cast<double>(overflowed_));
  sink.gauge("sluice_api_waiting_replies", "Replies that wait for the disk.", {},
             static_cast<double>(waiting_));
}

}  // namespace

std::unique_ptr<ApiDispatcher> ApiDispatcher::make(Env& env, Bus& bus, Store* store,
                                                   Streams& streams, Consumers& consumers,
                                                   const ApiOptions& options) {
  auto dispatcher = std::make_unique<Dispatcher>(env, bus, store, streams, consumers, options);
  dispatcher->start();
  return dispatcher;
}

}  // namespace sluice
