// What a leaf link shows of itself: made where links live, read by the monitor, which does not know them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace sluice {

/// A link to another server, either role.
struct LeafFigures {
  uint64_t id = 0;
  std::string name;  ///< the other server's
  bool is_spoke = false;
  std::string account;
  std::string ip;
  uint16_t port = 0;
  std::chrono::nanoseconds rtt{0};
  uint64_t in_msgs = 0;
  uint64_t in_bytes = 0;
  uint64_t out_msgs = 0;
  uint64_t out_bytes = 0;
  std::vector<std::string> subjects;  ///< one for each subscription of the other side
};

}  // namespace sluice
