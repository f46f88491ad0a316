// Takes messages from a queue at a site, as somebody's program does: what it was given it remembers, what it acknowledges is gone.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "client/stream_client.h"
#include "sim/sim_random.h"

namespace sluice::simulate {

class SiteWorker {
 public:
  explicit SiteWorker(std::string stream) : stream_(std::move(stream)) {}

  /// Begins to take; the client must stay until stop().
  void start(StreamClient& client);
  /// Its site goes: what it was given stays known.
  void stop();
  /// Acknowledges some of what it holds.
  void acknowledge_some(sim::SimRandom& random);
  /// All that it was ever given, by the queue's sequences.
  const std::map<uint64_t, StoredCopy>& taken() const { return taken_; }
  /// Empty, or the sequence that came again as another message.
  const std::string& fault() const { return fault_; }

 private:
  void take(const ConsumedMessage& message);

  const std::string stream_;
  StreamClient* client_ = nullptr;
  Ticket creating_;
  std::unique_ptr<PullSubscription> pull_;
  std::vector<std::string> open_;  ///< where its acks go
  std::map<uint64_t, StoredCopy> taken_;
  std::string fault_;
};

}  // namespace sluice::simulate
