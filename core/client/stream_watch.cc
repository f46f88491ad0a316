#include "client/stream_watch.h"

#include <simdjson.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "base/nuid.h"
#include "client/backoff.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;
constexpr std::chrono::minutes kInactive{5};
constexpr std::chrono::seconds kSilence{2};
constexpr uint16_t kUnavailable = 10008;

struct ConsumerState {
  uint64_t pending = 0;
  uint64_t delivered = 0;
};

ConsumerState state_of(const std::string& info) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  ConsumerState state;
  if (parser.parse(info).get(root) != simdjson::SUCCESS) return state;
  if (root["num_pending"].get(state.pending) != simdjson::SUCCESS) state.pending = 0;
  if (root["delivered"]["consumer_seq"].get(state.delivered) != simdjson::SUCCESS) state.delivered = 0;
  return state;
}

}  // namespace

StreamWatch::StreamWatch(Env& env, StreamClient& client, StreamWatchOptions options, StreamWatchEvents events)
    : env_(env),
      client_(client),
      options_(std::move(options)),
      events_(std::move(events)),
      retry_timer_(env.timers.make([this] { make_consumer(); })),
      silence_timer_(env.timers.make([this] { look_behind(); })) {
  make_consumer();
}

StreamWatch::~StreamWatch() {
  pull_.reset();
  if (!consumer_.empty()) client_.delete_consumer(options_.stream, consumer_, [](Status) {}).release();
}

void StreamWatch::pause() {
  paused_ = true;
  if (pull_) pull_->pause();
}

void StreamWatch::resume() {
  paused_ = false;
  if (pull_) pull_->resume();
}

std::string StreamWatch::consumer_request() const {
  Json config = {{"name", consumer_}};
  const auto from_sequence = [&](uint64_t seq) {
    config["deliver_policy"] = "by_start_sequence";
    config["opt_start_seq"] = seq;
  };
  if (!told_.is_zero()) {
    from_sequence(told_.value() + 1);
  } else {
    switch (options_.from) {
      case WatchFrom::kAll:
        config["deliver_policy"] = "all";
        break;
      case WatchFrom::kLastOfEachSubject:
        config["deliver_policy"] = "last_per_subject";
        break;
      case WatchFrom::kNew:
        config["deliver_policy"] = "new";
        break;
      case WatchFrom::kSequence:
        from_sequence(options_.seq.value());
        break;
      case WatchFrom::kTime:
        config["deliver_policy"] = "by_start_time";
        config["opt_start_time"] = format_rfc3339(options_.time);
        break;
    }
  }
  config["ack_policy"] = "none";
  config["max_deliver"] = 1;
  config["replay_policy"] = "instant";
  if (options_.filters.size() > 1)
    config["filter_subjects"] = options_.filters;
  else if (options_.filters.size() == 1)
    config["filter_subject"] = options_.filters[0];
  if (options_.headers_only) config["headers_only"] = true;
  config["inactive_threshold"] = std::chrono::nanoseconds(kInactive).count();
  config["mem_storage"] = true;
  config["num_replicas"] = 1;
  return Json{{"stream_name", options_.stream}, {"config", std::move(config)}}.dump();
}

void StreamWatch::make_consumer() {
  pull_.reset();
  look_.cancel();
  if (!consumer_.empty()) client_.delete_consumer(options_.stream, consumer_, [](Status) {}).release();
  stale_ = false;
  consumer_seq_ = 0;
  consumer_ = make_nuid(env_.random);
  std::string target = options_.stream + "." + consumer_;
  // One filter stands in the subject, where permissions can see it.
  if (options_.filters.size() == 1) target += "." + options_.filters[0];
  call_ = client_.api("CONSUMER.CREATE", target, consumer_request(),
                      [this](Result<std::string> made) { on_made(std::move(made)); });
}

void StreamWatch::on_made(Result<std::string> made) {
  call_.release();
  if (!made) {
    // Codes of the API are answers; everything else may pass.
    if (made.error().api_code != 0 && made.error().api_code != kUnavailable) return die(made.error());
    return start_over();
  }
  pull_ = client_.pull(
      options_.stream, consumer_, options_.window, [this](const ConsumedMessage& message) { on_message(message); },
      [this](const Error&) { start_over(); });
  if (paused_) pull_->pause();
  if (current_) return;
  if (options_.from == WatchFrom::kNew || state_of(*made).pending == 0) return now_current();
  silence_timer_->start(kSilence);
}

void StreamWatch::on_message(const ConsumedMessage& message) {
  if (stale_) return;
  if (message.consumer_seq.value() != consumer_seq_ + 1) return start_over();
  ++consumer_seq_;
  failures_ = 0;
  told_ = message.stream_seq;
  if (!current_) silence_timer_->start(kSilence);
  const bool last_of_beginning = !current_ && message.pending == 0;
  const std::weak_ptr<char> alive = alive_;
  if (events_.on_message) events_.on_message(message);
  if (!alive.expired() && last_of_beginning) now_current();
}

void StreamWatch::look_behind() {
  if (current_ || stale_ || !pull_) return;
  silence_timer_->start(kSilence);
  if (paused_ || look_.active()) return;
  look_ = client_.api("CONSUMER.INFO", options_.stream + "." + consumer_, "", [this](const Result<std::string>& info) {
    look_.release();
    on_looked(info);
  });
}

/// An answer that overtakes messages under way tells of more delivered than came.
void StreamWatch::on_looked(const Result<std::string>& info) {
  if (!info || current_ || stale_) return;
  const ConsumerState state = state_of(*info);
  if (state.pending == 0 && state.delivered == consumer_seq_) now_current();
}

/// Last act: the callback may destroy this.
void StreamWatch::now_current() {
  current_ = true;
  silence_timer_->stop();
  if (events_.on_current) events_.on_current();
}

void StreamWatch::start_over() {
  stale_ = true;
  retry_timer_->start(failures_ == 0 ? std::chrono::nanoseconds(0)
                                     : five_sec_backoff(failures_, env_.random));
  ++failures_;
}

void StreamWatch::die(const Error& why) {
  stale_ = true;
  consumer_.clear();
  const Error told = why;
  if (events_.on_trouble) events_.on_trouble(told);
}

}  // namespace sluice
