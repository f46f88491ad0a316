// The way out of a push consumer: who listens, how much may be in flight, when to give a sign of life.
//
// Idle (no interest) ⇄ active ⇄ stalled (flow-control window full). Source: ADR-9 (heartbeats), the
// public JetStream protocol documents (flow control).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "bus/bus.h"
#include "consumer/consumer_config.h"
#include "io/env.h"

namespace sluice {

struct PushHost {
  std::function<void()> ready;                        ///< delivery may go on
  std::function<void(bool)> interest;                 ///< somebody came, or the last one went
  std::function<std::string()> heartbeat_headers;     ///< without the stalled line
  std::function<bool()> acks_outstanding;             ///< ack policy flow_control: something is to be acknowledged
  std::function<void(std::string_view headers)> acked;  ///< a flow-control request was answered
};

/// Loop thread only.
class PushDelivery {
 public:
  PushDelivery(Env& env, Bus& bus, std::string_view stream, const ConsumerConfig& config, PushHost host);

  bool active() const { return active_; }
  bool stalled() const { return window_ > 0 && in_flight_ >= window_; }
  /// @return false when nobody took it; the consumer is then idle until somebody listens.
  bool send(const Message& message);
  /// The consumer starts anew: nothing is in flight.
  void restart();
  /// Asks for flow control now, unless an answer is outstanding.
  void ask();
  bool congested() const { return bus_.congested(subject_, group_); }
  /// The deliver group or subject changed.
  void retarget(const ConsumerConfig& config);
  const std::string& subject() const { return subject_; }

 private:
  static constexpr uint64_t kWindowMax_bytes = 32ull << 20;
  static constexpr uint64_t kWindowStart_bytes = kWindowMax_bytes / 16;

  void watch();
  void count_in_flight(uint64_t size);
  void request_flow_control();
  void on_flow_control(const Message& message);
  void on_heartbeat();
  void publish_status(std::string_view reply, std::string_view headers);

  Env& env_;
  Bus& bus_;
  PushHost host_;
  std::string subject_;
  std::string group_;
  std::string flow_prefix_;
  std::chrono::nanoseconds heartbeat_;
  bool active_ = false;
  MonoTime last_sent_{0};
  uint64_t window_ = 0;          ///< 0 = no flow control
  uint64_t in_flight_ = 0;
  uint64_t asked_bytes_ = 0;     ///< covered by the outstanding request
  std::string asked_;            ///< its subject; empty = none outstanding
  std::unique_ptr<Timer> heartbeat_timer_;
  std::unique_ptr<BusSubscription> flow_subscription_;
  std::unique_ptr<InterestWatch> watch_;
};

}  // namespace sluice
