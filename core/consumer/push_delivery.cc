#include "consumer/push_delivery.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/nuid.h"

namespace sluice {

PushDelivery::PushDelivery(Env& env, Bus& bus, std::string_view stream, const ConsumerConfig& config, PushHost host)
    : env_(env), bus_(bus), host_(std::move(host)), subject_(config.deliver_subject), group_(config.deliver_group),
      flow_prefix_(fmt::format("$JS.FC.{}.{}.", stream, config.name)), heartbeat_(config.idle_heartbeat) {
  if (config.flow_control) {
    window_ = kWindowStart_bytes;
    flow_subscription_ = bus_.subscribe(flow_prefix_ + ">", {}, [this](const Message& message, const Origin&) {
      on_flow_control(message);
    });
  }
  if (heartbeat_.count() > 0) {
    heartbeat_timer_ = env_.timers.make([this] { on_heartbeat(); });
    heartbeat_timer_->start(heartbeat_);
  }
  last_sent_ = env_.clock.now();
  watch();
}

void PushDelivery::watch() {
  watch_ = bus_.watch_interest(subject_, group_, [this](bool there) {
    if (active_ == there) return;
    active_ = there;
    if (!there) restart();  // whoever comes next starts with an empty window
    host_.interest(there);
    if (there) host_.ready();
  });
  active_ = bus_.has_interest(subject_, group_);
}

void PushDelivery::restart() {
  in_flight_ = 0;
  asked_.clear();
  asked_bytes_ = 0;
}

void PushDelivery::retarget(const ConsumerConfig& config) {
  if (subject_ == config.deliver_subject && group_ == config.deliver_group) return;
  subject_ = config.deliver_subject;
  group_ = config.deliver_group;
  const bool before = active_;
  watch();
  if (active_ != before) host_.interest(active_);
}

bool PushDelivery::send(const Message& message) {
  if (bus_.deliver(subject_, group_, message) == 0) {
    active_ = false;
    host_.interest(false);
    return false;
  }
  last_sent_ = env_.clock.now();
  count_in_flight(message.subject.size() + message.headers.size() + message.payload.size());
  return true;
}

void PushDelivery::count_in_flight(uint64_t size) {
  if (window_ == 0) return;
  in_flight_ += size;
  if (asked_.empty() && in_flight_ > window_ / 2) {
    request_flow_control();
  } else if (!asked_.empty() && in_flight_ - asked_bytes_ >= window_) {
    asked_bytes_ += size;  // the answer comes from behind these bytes as well
  }
}

void PushDelivery::request_flow_control() {
  asked_ = flow_prefix_ + random_base62(4, env_.random);
  asked_bytes_ = in_flight_;
  publish_status(asked_, "NATS/1.0 100 FlowControl Request\r\n\r\n");
}

void PushDelivery::ask() {
  if (window_ > 0 && asked_.empty() && active_) request_flow_control();
}

void PushDelivery::on_flow_control(const Message& message) {
  if (asked_.empty() || message.subject != asked_) return;
  host_.acked(message.headers);
  window_ = std::min(window_ * 2, kWindowMax_bytes);
  in_flight_ -= std::min(in_flight_, asked_bytes_);
  asked_.clear();
  asked_bytes_ = 0;
  host_.ready();
}

void PushDelivery::on_heartbeat() {
  const MonoTime now = env_.clock.now();
  const auto idle = now - last_sent_;
  if (idle < heartbeat_) {
    heartbeat_timer_->start(heartbeat_ - idle);
    return;
  }
  heartbeat_timer_->start(heartbeat_);
  if (!active_) return;
  std::string headers = host_.heartbeat_headers();
  if (!asked_.empty()) {
    headers.resize(headers.size() - 2);
    headers += fmt::format("Nats-Consumer-Stalled: {}\r\n\r\n", asked_);
  }
  last_sent_ = now;
  publish_status({}, headers);
  if (host_.acks_outstanding()) ask();
}

void PushDelivery::publish_status(std::string_view reply, std::string_view headers) {
  bus_.deliver(subject_, group_, Message{subject_, reply, headers, {}});
}

}  // namespace sluice
