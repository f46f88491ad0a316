// The UNIX socket entrance: lines of JSON, each answered by one line, in order (spool/requests.h).
//
// Who may connect is the socket file's mode. Bounds: connections (more are closed as they come), bytes of a line
// (longer: an error and the end), requests under way for each connection (then it is not read).
// Loop thread only. It takes connected transports; who listens is not its business.
#pragma once

#include <cstdint>
#include <map>
#include <memory>

#include "base/metrics.h"
#include "io/executor.h"
#include "io/transport.h"
#include "spool/requests.h"

namespace sluice {

class SpoolEntrance {
 public:
  static constexpr size_t kMaxConnections = 256;
  static constexpr size_t kMaxUnderWay = 64;

  /// `requests` outlives it. `max_line_bytes`: of one request.
  SpoolEntrance(Executor& executor, SpoolRequests& requests, size_t max_line_bytes);
  ~SpoolEntrance();
  SpoolEntrance(const SpoolEntrance&) = delete;
  SpoolEntrance& operator=(const SpoolEntrance&) = delete;

  void accept(std::unique_ptr<Transport> transport);
  size_t connections() const { return connections_.size(); }
  void collect(MetricSink& sink) const;

 private:
  class Connection;
  void drop(uint64_t id);

  Executor& executor_;
  SpoolRequests& requests_;
  const size_t max_line_bytes_;
  uint64_t last_id_ = 0;
  uint64_t turned_away_ = 0;
  uint64_t too_long_ = 0;
  uint64_t requests_count_ = 0;
  std::map<uint64_t, std::unique_ptr<Connection>> connections_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace sluice
