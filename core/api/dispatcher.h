// Entry of the JetStream API: listens under `$JS.API.` (and `$JS.<domain>.API.`) on the subject of each
// row of the table of verbs and answers with the protocol's envelope.
//
// Loop thread only. A subject that no row answers has no listener: requesters get 503. Requests
// are carried out at once and in order; each reply waits until the store's journal holds all that was
// changed before it. Bounded by max_waiting_replies: beyond it requests are refused with 10167.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "api/verb.h"
#include "base/metrics.h"

namespace sluice {

class ApiDispatcher {
 public:
  virtual ~ApiDispatcher() = default;

  /// Subscribes at once. Everything referred to outlives the dispatcher. `store` may be nullptr.
  static std::unique_ptr<ApiDispatcher> make(Env& env, Bus& bus, Store* store, Streams& streams,
                                             Consumers& consumers, const ApiOptions& options);

  virtual const ApiStats& stats() const = 0;
  /// New limits of the account, as they are shown.
  virtual void set_limits(const ApiOptions& options) = 0;
  virtual void collect(MetricSink& sink) const = 0;
};

/// Replies of the API that wait for the disk at the same time.
inline constexpr size_t kMaxWaitingApiReplies = 10'000;

}  // namespace sluice
