// One interest in a subject: a client's SUB or a subscription of the process itself.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "bus/bus.h"

namespace sluice {

/// Owned by the Router; lives until it was removed and no message is on its way through the router.
/// Loop thread only.
class Subscription {
 public:
  Subscription(uint64_t connection_id, std::string_view subject, std::string_view queue)
      : connection_id_(connection_id), subject_(subject), queue_(queue) {}
  Subscription(const Subscription&) = delete;
  Subscription& operator=(const Subscription&) = delete;
  virtual ~Subscription() = default;

  /// Hands the message over. @return false when it can't be taken (so another member of the queue
  /// group gets it). May remove this or any other subscription.
  virtual bool take(const Message& message, const Origin& origin) = 0;
  /// More is waiting for the subscriber than it should.
  virtual bool congested() const = 0;
  /// Its interest depends on others (an import): interested() must be asked.
  virtual bool conditional() const { return false; }
  /// Whether somebody wants a message on this literal subject.
  virtual bool interested(std::string_view /*subject*/) const { return true; }

  /// 0 = the process itself.
  uint64_t connection_id() const { return connection_id_; }
  const std::string& subject() const { return subject_; }
  const std::string& queue() const { return queue_; }
  /// Nobody wants it any more; its owner may be gone.
  bool removed() const { return removed_; }

 private:
  friend class Router;
  const uint64_t connection_id_;
  const std::string subject_;
  const std::string queue_;
  bool removed_ = false;
};

}  // namespace sluice
