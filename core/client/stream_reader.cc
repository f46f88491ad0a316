#include "client/stream_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/nuid.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;
using namespace std::chrono_literals;

/// What the consumer had sent may still be on its way.
constexpr auto kArrival = 5s;

std::string consumer_request(const ReadPlan& plan, const std::string& name) {
  Json config = {{"name", name}};
  if (!plan.description.empty()) config["description"] = plan.description;
  if (!plan.first.is_zero()) {
    config["deliver_policy"] = "by_start_sequence";
    config["opt_start_seq"] = plan.first.value();
  } else {
    config["deliver_policy"] = "by_start_time";
    config["opt_start_time"] = format_rfc3339(plan.start_time);
  }
  config["ack_policy"] = "none";
  config["max_deliver"] = -1;
  if (plan.filters.size() == 1) config["filter_subject"] = plan.filters.front();
  if (plan.filters.size() > 1) config["filter_subjects"] = plan.filters;
  config["replay_policy"] = "instant";
  if (plan.headers_only) config["headers_only"] = true;
  config["inactive_threshold"] = std::chrono::nanoseconds(60s).count();
  config["num_replicas"] = 1;
  config["mem_storage"] = true;
  return Json{{"stream_name", plan.stream}, {"config", std::move(config)}}.dump(
      -1, ' ', false, Json::error_handler_t::replace);
}

/// Not every worker's name can stand in a subject.
std::string consumer_name(std::string prefix, Random& random) {
  for (char& c : prefix) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-';
    if (!plain) c = '_';
  }
  return prefix + "_" + random_base62(8, random);
}

}  // namespace

StreamReader::StreamReader(Env& env, StreamClient& client, ReadPlan plan, Events events)
    : env_(env),
      client_(client),
      plan_(std::move(plan)),
      events_(std::move(events)),
      consumer_(consumer_name(plan_.consumer_prefix, env.random)),
      state_listener_(client.link().on_state([this](LinkState state) { on_link_state(state); })),
      lost_timer_(env.timers.make([this] { look_for_lost(); })) {}

StreamReader::~StreamReader() {
  pull_.reset();
  if (made_) client_.delete_consumer(plan_.stream, consumer_, [](const Status&) {}).release();
}

void StreamReader::start() {
  std::string target = plan_.stream + "." + consumer_;
  if (plan_.filters.size() == 1) target += "." + plan_.filters.front();
  create_ = client_.api("CONSUMER.CREATE", target, consumer_request(plan_, consumer_),
                        [this](Result<std::string> reply) { on_made(reply); });
}

void StreamReader::on_made(const Result<std::string>& reply) {
  if (!reply) return trouble(fmt::format("consumer on '{}': {}", plan_.stream, reply.error().detail));
  made_ = true;
  if (plan_.created == 0) return pull();
  // The consumer goes with its stream: when that is still the one now, all it delivers is of it.
  create_ = client_.stream_info(plan_.stream, [this](const Result<StreamFigures>& stream) { on_looked_at(stream); });
}

void StreamReader::on_looked_at(const Result<StreamFigures>& stream) {
  if (!stream) return trouble(fmt::format("stream '{}': {}", plan_.stream, stream.error().detail));
  if (stream->created != plan_.created) return trouble(fmt::format("stream '{}' was made anew", plan_.stream));
  pull();
}

void StreamReader::pull() {
  pull_ = client_.pull(
      plan_.stream, consumer_, PullWindow(std::max<size_t>(plan_.window_messages, 1), plan_.window_bytes),
      [this](const ConsumedMessage& message) { on_message(message); },
      [this](const Error& why) { trouble(fmt::format("reading '{}': {}", plan_.stream, why.detail)); });
  if (paused_) pull_->pause();
}

void StreamReader::on_message(const ConsumedMessage& message) {
  if (dead_) return;
  if (message.stream_seq <= last_read_) {
    ++repeated_;
    last_delivery_ = message.consumer_seq;
    return;
  }
  if (message.consumer_seq != last_delivery_.next()) {
    return trouble(fmt::format("a delivery of '{}' is missing: expected {}, got {}", plan_.stream,
                               last_delivery_.next().value(), message.consumer_seq.value()));
  }
  last_delivery_ = message.consumer_seq;
  last_read_ = message.stream_seq;
  events_.on_message(message);
}

void StreamReader::on_link_state(LinkState state) {
  asking_.cancel();
  lost_timer_->stop();
  if (state == LinkState::kConnected && pull_ && !dead_) ask_what_was_sent();
}

void StreamReader::ask_what_was_sent() {
  asking_ = client_.api("CONSUMER.INFO", plan_.stream + "." + consumer_, "", [this](const Result<std::string>& reply) {
    if (dead_) return;
    const auto info = reply ? Json::parse(*reply, nullptr, false) : Json();
    const auto sent = info.is_object() ? info.value(Json::json_pointer("/delivered/consumer_seq"), Json()) : Json();
    if (!sent.is_number_unsigned())
      return trouble(fmt::format("consumer on '{}': {}", plan_.stream, reply ? "its state can't be read" : reply.error().detail));
    sent_ = ConsumerSeq(sent.get<uint64_t>());
    if (last_delivery_ < sent_) lost_timer_->start(kArrival);
  });
}

void StreamReader::look_for_lost() {
  if (last_delivery_ < sent_)
    trouble(fmt::format("deliveries of '{}' went down with a connection, from {} to {}", plan_.stream,
                        last_delivery_.next().value(), sent_.value()));
}

void StreamReader::pause() {
  paused_ = true;
  if (pull_) pull_->pause();
}

void StreamReader::resume() {
  paused_ = false;
  if (pull_) pull_->resume();
}

void StreamReader::trouble(const std::string& why) {
  if (std::exchange(dead_, true)) return;
  events_.on_trouble(why);
}

}  // namespace sluice
