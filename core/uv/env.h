// The real world: a loop and every seam of io/env.h on it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/metrics.h"
#include "io/env.h"
#include "uv/loop.h"

namespace sluice {

/// One for each loop thread. What is built from env() must be gone before this is destroyed.
class UvEnv {
 public:
  UvEnv();
  ~UvEnv();
  UvEnv(const UvEnv&) = delete;
  UvEnv& operator=(const UvEnv&) = delete;

  Env& env();
  Loop& loop() { return loop_; }
  /// As UvNetwork::listen_local().
  Result<std::unique_ptr<Listener>> listen_local(
      const std::string& path, unsigned mode,
      std::move_only_function<void(std::unique_ptr<Transport>)> on_accept);
  /// Figures of the loop, the mailboxes and the network.
  void collect(MetricSink& sink) const;

 private:
  struct Seams;
  Loop loop_;
  std::unique_ptr<Seams> seams_;
};

}  // namespace sluice
