// Tells when this node's submissions wait too long, in the form of the daemon's own alerts.
#pragma once

#include <chrono>
#include <string>

#include "client/nats_link.h"
#include "io/env.h"
#include "spool/queue.h"

namespace sluice {

/// Loop thread only. Published once when a message has waited longer than `limit`, and once when none has, on
/// `sluice.advisory.alert.spool_age`; a node that is cut off tells when it reaches somebody again.
class SpoolAgeAlert {
 public:
  /// `limit` 0: never. `queue` and `link` outlive it.
  SpoolAgeAlert(Env& env, SpoolQueue& queue, NatsLink& link, std::chrono::nanoseconds limit, std::string identity)
      : env_(env), queue_(queue), link_(link), limit_(limit), identity_(std::move(identity)) {}
  void look();

 private:
  Env& env_;
  SpoolQueue& queue_;
  NatsLink& link_;
  const std::chrono::nanoseconds limit_;
  const std::string identity_;
  bool told_ = false;
};

}  // namespace sluice
