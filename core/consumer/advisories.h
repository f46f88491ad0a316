// What a consumer tells whoever watches it: advisories and the ack metric.
// Source: the public io.nats.jetstream.advisory.v1 / metric.v1 schemas.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "bus/bus.h"
#include "io/env.h"

namespace sluice {

/// One delivery, as advisories name it.
struct AdvisedDelivery {
  ConsumerSeq consumer_seq;
  StreamSeq stream_seq;
  uint64_t deliveries = 0;
};

/// Made only when somebody listens; sent by flush(), at the end of the round, because some are made
/// while the stream is in the middle of a change. Bounded by kMaxWaiting; more are dropped and counted.
class ConsumerAdvisories {
 public:
  ConsumerAdvisories(Env& env, Bus& bus, std::string_view stream, std::string_view consumer, std::string_view domain,
                     std::string_view account);

  void created();
  void deleted();
  void max_deliveries(StreamSeq seq, uint64_t deliveries);
  void naked(const AdvisedDelivery& delivery);
  void terminated(const AdvisedDelivery& delivery, std::string_view reason);
  void paused(bool is_paused, WallNanos until);
  void pinned(std::string_view group, std::string_view id);
  void unpinned(std::string_view group, std::string_view reason);
  void ack_metric(const AdvisedDelivery& delivery, std::chrono::nanoseconds ack_time);

  bool waiting() const { return !waiting_.empty(); }
  void flush();
  uint64_t dropped() const { return dropped_; }

 private:
  static constexpr size_t kMaxWaiting = 4096;
  struct Waiting {
    std::string subject;
    std::string body;
  };
  bool wanted(std::string_view kind);
  std::string head(std::string_view type);
  void put(std::string body);
  void about(std::string_view kind, std::string_view type, const AdvisedDelivery& delivery, std::string_view reason);

  Env& env_;
  Bus& bus_;
  std::string stream_;
  std::string consumer_;
  std::string stream_json_;
  std::string consumer_json_;
  std::string domain_json_;
  std::string account_json_;
  std::string subject_;  ///< of the one being made
  std::vector<Waiting> waiting_;
  uint64_t dropped_ = 0;
};

}  // namespace sluice
