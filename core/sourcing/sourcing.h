// The mirrors and sources of one account's streams.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "bus/bus.h"
#include "client/nats_link.h"
#include "io/env.h"
#include "stream/streams.h"

namespace sluice {

/// A JetStream elsewhere, reached over a client connection: sources with `external.api`
/// `$JS.<name>.API` are copied from there.
struct SourcingRemote {
  std::string name;
  std::string domain;  ///< of its JetStream; empty = asked by `$JS.API`
  NatsLink* link = nullptr;
};

struct SourcingOptions {
  std::string account = "$G";
  std::string domain;
  std::vector<SourcingRemote> remotes;  ///< their links outlive this
};

/// Loop thread only. Streams and bus outlive it.
class Sourcing {
 public:
  virtual ~Sourcing() = default;
  /// Begins to copy for every mirror and source of `streams`, and follows their changes.
  static std::unique_ptr<Sourcing> make(Env& env, Bus& bus, Streams& streams, const SourcingOptions& options);
  virtual void collect(MetricSink& sink) const = 0;
};

}  // namespace sluice
