// How long the requests of a service take that another account sends: told, for those that are sampled, on a
// subject of the exporting account.
//
// Source: the public JSON schema io.nats.server.metric.v1.service_latency. Which requests ask to be sampled by their
// headers: the public documents of B3 propagation, Jaeger's uber-trace-id and W3C Trace Context.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "io/env.h"
#include "server/account_options.h"

namespace sluice {

class Account;
class InterestWatch;

/// A side of a request.
struct LatencyClient {
  std::string json;                  ///< "" = no client
  std::chrono::nanoseconds rtt{0};   ///< 0 = not measured yet
};

enum class LatencyFailure : uint16_t {
  kNoReply = 400,      ///< it names nobody who would hear the answer
  kAskerGone = 408,    ///< nobody hears the answer any more
  kNobodyThere = 503,  ///< no one takes the request
  kTooLate = 504,      ///< the threshold passed
};

/// One sampled request. Tells once how it ended; says nothing when it is dropped untold.
class LatencyMeasure {
 public:
  LatencyMeasure(Env& env, Account& exporter, std::string subject, LatencyClient asker, std::string headers);
  ~LatencyMeasure();
  /// @param arrived  when the answer came, by the wall clock; the time since then was the server's
  void answered(const LatencyClient& responder, MonoTime at, WallNanos arrived);
  void failed(LatencyFailure how);
  /// Calls `gone` when those who wait for the answer have left.
  void watch(Account& importer, std::string_view reply, std::move_only_function<void()> gone);

 private:
  /// Nanoseconds.
  struct Times {
    int64_t service = 0;
    int64_t system = 0;
    int64_t total = 0;
  };
  void tell(int status, std::string_view why, std::string_view responder, const Times& took);

  Env& env_;
  Account& exporter_;
  const std::string subject_;
  const LatencyClient asker_;
  const std::string headers_;  ///< JSON of those that asked for it, or ""
  const MonoTime started_;
  const WallNanos started_wall_;
  std::unique_ptr<InterestWatch> watch_;
};

/// Whether a request with these headers is measured. `asked` gets the headers that asked for it, as a JSON object.
bool is_sampled(const LatencyOptions& options, std::string_view headers, Random& random, std::string& asked);

}  // namespace sluice
