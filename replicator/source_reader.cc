#include "replicator/source_reader.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;
using namespace std::chrono_literals;

constexpr auto kAckWait = 10s;
constexpr auto kWorkInterval = 3s;
constexpr uint16_t kConsumerNotFound = 10014;

/// Not every worker's name can stand in a subject.
std::string durable_name(const std::string& worker) {
  std::string name = worker_consumer_name(worker);
  for (char& c : name) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '_';
    if (!plain) c = '_';
  }
  return name;
}

class LogReader : public SourceReader {
 public:
  LogReader(Env& env, StreamClient& client, ReadPlan plan, Events events)
      : reader_(env, client, std::move(plan), std::move(events)) {}
  void start() override { reader_.start(); }
  void pause() override { reader_.pause(); }
  void resume() override { reader_.resume(); }
  uint64_t repeated() const override { return reader_.repeated(); }

 private:
  StreamReader reader_;
};

class QueueReader : public SourceReader {
 public:
  QueueReader(Env& env, StreamClient& client, QueuePlan plan, Events events)
      : env_(env),
        client_(client),
        plan_(std::move(plan)),
        durable_(durable_name(plan_.worker)),
        events_(std::move(events)),
        timer_(env.timers.make([this] { tick(); })) {}
  ~QueueReader() override;

  void start() override { ask(); }
  void pause() override;
  void resume() override;
  uint64_t repeated() const override { return 0; }
  void settled(StreamSeq through) override;

 private:
  struct Held {
    std::string ack_subject;
    MonoTime since{};
  };
  struct Early {
    std::string subject, headers, payload, ack_subject;
    WallNanos time = 0;
  };
  void ask();
  void on_info(const Result<std::string>& reply);
  void make();
  void look_at_stream();
  void pull();
  void on_delivery(const ConsumedMessage& message);
  void on_message(const ConsumedMessage& message);
  uint64_t come() const;
  void release_early();
  void tick();
  void trouble(const std::string& why);

  Env& env_;
  StreamClient& client_;
  const QueuePlan plan_;
  const std::string durable_;
  Events events_;
  bool paused_ = false;
  bool dead_ = false;
  uint64_t outstanding_ = 0;  ///< taken by earlier sessions up to `through_` and not come again yet
  StreamSeq through_;
  ConsumerSeq last_delivery_;
  std::map<StreamSeq, Early> early_;  ///< come while others were waited for; bounded by the consumer's max_ack_pending
  std::map<StreamSeq, Held> held_;    ///< told and not settled; likewise
  std::unique_ptr<Timer> timer_;
  Ticket call_;
  std::unique_ptr<PullSubscription> pull_;
};

QueueReader::~QueueReader() {
  pull_.reset();
  // In order, so that they come again in order.
  for (const auto& [seq, early] : early_) held_.emplace(seq, Held{early.ack_subject, {}});
  for (const auto& [seq, held] : held_) (void)client_.link().publish({held.ack_subject, {}, {}, "-NAK"});
}

void QueueReader::ask() {
  call_ = client_.api("CONSUMER.INFO", plan_.stream + "." + durable_, "",
                      [this](const Result<std::string>& reply) { on_info(reply); });
}

void QueueReader::on_info(const Result<std::string>& reply) {
  if (dead_) return;
  if (!reply && reply.error().api_code == kConsumerNotFound) return make();
  const auto info = reply ? Json::parse(*reply, nullptr, false) : Json();
  const auto number = [&](const char* where) { return info.is_object() ? info.value(Json::json_pointer(where), Json()) : Json(); };
  const Json pending = number("/num_ack_pending"), delivered = number("/delivered/stream_seq"), sent = number("/delivered/consumer_seq");
  if (!pending.is_number_unsigned() || !delivered.is_number_unsigned() || !sent.is_number_unsigned())
    return trouble(fmt::format("consumer '{}' on '{}': {}", durable_, plan_.stream,
                               reply ? "its state can't be read" : reply.error().detail));
  if (number("/config/ack_policy") != "explicit")
    return trouble(fmt::format("consumer '{}' on '{}' does not want explicit acks", durable_, plan_.stream));
  if (pull_ == nullptr) {
    outstanding_ = pending.get<uint64_t>();
    through_ = StreamSeq(delivered.get<uint64_t>());
    last_delivery_ = ConsumerSeq(sent.get<uint64_t>());
    return look_at_stream();
  }
  // Each that is here and each that is waited for is out, and newer ones under way. When fewer are, some went from the stream;
  // which ones is not told, so that only a new look, from what is out then, can't pass over one that will still come.
  if (pending.get<uint64_t>() < early_.size() + outstanding_ - come())
    return trouble(fmt::format("messages went from '{}' while they were waited for", plan_.stream));
}

void QueueReader::make() {
  Json config = {{"durable_name", durable_}, {"name", durable_}};
  if (!plan_.description.empty()) config["description"] = plan_.description;
  config["deliver_policy"] = "all";
  config["ack_policy"] = "explicit";
  config["ack_wait"] = std::chrono::nanoseconds(kAckWait).count();
  config["max_deliver"] = -1;
  config["max_ack_pending"] = plan_.window_messages;
  config["replay_policy"] = "instant";
  if (plan_.filters.size() == 1) config["filter_subject"] = plan_.filters.front();
  if (plan_.filters.size() > 1) config["filter_subjects"] = plan_.filters;
  std::string target = plan_.stream + "." + durable_;
  if (plan_.filters.size() == 1) target += "." + plan_.filters.front();
  const std::string body = Json{{"stream_name", plan_.stream}, {"config", std::move(config)}, {"action", "create"}}.dump(
      -1, ' ', false, Json::error_handler_t::replace);
  call_ = client_.api("CONSUMER.CREATE", target, body, [this](const Result<std::string>& made) {
    if (!made) return trouble(fmt::format("consumer '{}' on '{}': {}", durable_, plan_.stream, made.error().detail));
    look_at_stream();
  });
}

/// The consumer goes with its stream: when that is still the one now, all it delivers is of it.
void QueueReader::look_at_stream() {
  call_ = client_.stream_info(plan_.stream, [this](const Result<StreamFigures>& stream) {
    if (!stream) return trouble(fmt::format("stream '{}': {}", plan_.stream, stream.error().detail));
    if (stream->created != plan_.created) return trouble(fmt::format("stream '{}' was made anew", plan_.stream));
    pull();
  });
}

void QueueReader::pull() {
  pull_ = client_.pull(
      plan_.stream, durable_, PullWindow(std::max<size_t>(plan_.window_messages / 2, 1), plan_.window_bytes),
      [this](const ConsumedMessage& message) { on_delivery(message); },
      [this](const Error& why) { trouble(fmt::format("reading '{}': {}", plan_.stream, why.detail)); });
  if (paused_) pull_->pause();
  timer_->start(kWorkInterval);
}

void QueueReader::on_delivery(const ConsumedMessage& message) {
  if (dead_) return;
  if (message.consumer_seq != last_delivery_.next())
    return trouble(fmt::format("a delivery of '{}' is missing: expected {}, got {}", plan_.stream, last_delivery_.next().value(),
                               message.consumer_seq.value()));
  last_delivery_ = message.consumer_seq;
  on_message(message);
}

void QueueReader::on_message(const ConsumedMessage& message) {
  if (outstanding_ != 0) {
    early_[message.stream_seq] = {std::string(message.subject), std::string(message.headers), std::string(message.payload),
                                  std::string(message.ack_subject), message.time};
    return release_early();
  }
  held_[message.stream_seq] = {std::string(message.ack_subject), env_.clock.now()};
  events_.on_message(message);
}

/// Of those that were waited for.
uint64_t QueueReader::come() const {
  return static_cast<uint64_t>(std::distance(early_.begin(), early_.upper_bound(through_)));
}

/// Once all that was waited for is here.
void QueueReader::release_early() {
  if (come() < outstanding_) return;
  outstanding_ = 0;
  for (auto& [seq, early] : std::exchange(early_, {})) {
    if (dead_) return;
    ConsumedMessage message;
    message.subject = early.subject;
    message.headers = early.headers;
    message.payload = early.payload;
    message.ack_subject = early.ack_subject;
    message.stream_seq = seq;
    message.time = early.time;
    on_message(message);
  }
}

void QueueReader::settled(StreamSeq through) {
  while (!held_.empty() && held_.begin()->first <= through) {
    client_.ack(held_.begin()->second.ack_subject);
    held_.erase(held_.begin());
  }
}

void QueueReader::tick() {
  if (dead_) return;
  timer_->start(kWorkInterval);
  const MonoTime now = env_.clock.now();
  for (auto& [seq, held] : held_) {
    if (now - held.since < kWorkInterval) continue;
    held.since = now;
    (void)client_.link().publish({held.ack_subject, {}, {}, "+WPI"});
  }
  for (auto& [seq, early] : early_) (void)client_.link().publish({early.ack_subject, {}, {}, "+WPI"});
  if (outstanding_ != 0) ask();
}

void QueueReader::pause() {
  paused_ = true;
  if (pull_) pull_->pause();
}

void QueueReader::resume() {
  paused_ = false;
  if (pull_) pull_->resume();
}

void QueueReader::trouble(const std::string& why) {
  if (std::exchange(dead_, true)) return;
  timer_->stop();
  events_.on_trouble(why);
}

}  // namespace

std::string worker_consumer_name(const std::string& worker) {
  if (worker.empty()) return "stream_replicator";
  // Its arguments are swapped there: a name that begins "SR_" gets it twice.
  return std::string_view("SR_").starts_with(worker) ? worker : "SR_" + worker;
}

std::unique_ptr<SourceReader> read_log(Env& env, StreamClient& client, ReadPlan plan, SourceReader::Events events) {
  return std::make_unique<LogReader>(env, client, std::move(plan), std::move(events));
}

std::unique_ptr<SourceReader> read_queue(Env& env, StreamClient& client, QueuePlan plan, SourceReader::Events events) {
  return std::make_unique<QueueReader>(env, client, std::move(plan), std::move(events));
}

}  // namespace sluice
