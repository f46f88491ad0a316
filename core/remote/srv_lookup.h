// Which servers DNS names for a domain (RFC 2782).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/random.h"

namespace sluice {

struct SrvTarget {
  std::string host;
  uint16_t port = 0;
  uint16_t priority = 0;  ///< the lowest are tried first
  uint16_t weight = 0;    ///< among those of one priority
};

/// The targets of `name`, asked of `dns_server` ("address:port", IPv4; empty: the system's), in no order. Blocking, at most 2 s
/// for each name server.
/// @return kNotFound: no such name, or no servers there; kTimeout: no answer; kInvalidArgument, kCorrupt, kIo.
Result<std::vector<SrvTarget>> look_up_srv(const std::string& name, const std::string& dns_server);
using SrvLookup = std::function<Result<std::vector<SrvTarget>>(const std::string& name, const std::string& dns_server)>;

/// Of a whole DNS answer. At most 64 targets; "." (no service there) is none. kCorrupt.
Result<std::vector<SrvTarget>> parse_srv_answer(std::span<const unsigned char> message);

/// As RFC 2782 wants them tried: by priority, among equals at random by weight.
std::vector<SrvTarget> in_srv_order(std::vector<SrvTarget> targets, Random& random);

/// A name that begins with "_" is asked for as it is; for a domain, those that Choria's brokers have, the older last.
std::vector<std::string> srv_names(const std::string& host);

}  // namespace sluice
