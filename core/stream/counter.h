// Counter streams (ADR-49): every message adds to the number of its subject; what is stored is the sum.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "stream/big_integer.h"

namespace sluice {

/// The newest message of a counter's subject; both empty when there is none.
struct CounterBefore {
  std::string_view headers;
  std::string_view payload;
};

/// What is stored for one message of a counter stream.
struct CounterStep {
  std::string headers;
  std::string payload;  ///< {"val":"<sum>"}
  std::string sum;
};

/// The number in `{"val":"5"}`; nullopt when the payload is something else.
std::optional<BigInteger> parse_counter_payload(std::string_view payload);

/// A client's message: its Nats-Incr is added. 10171, 10172 (what is stored can't be read).
Result<CounterStep> count_increment(const CounterBefore& before, std::string_view headers,
                                    std::string_view increment);

/// A message sourced from another counter stream: its payload is that stream's sum, so what is added is
/// the growth since the last one from there, kept in Nats-Counter-Sources. `stream_source` is the value
/// of its Nats-Stream-Source. 10172.
Result<CounterStep> count_sourced(const CounterBefore& before, std::string_view headers,
                                  std::string_view payload, std::string_view subject,
                                  std::string_view stream_source);

}  // namespace sluice
