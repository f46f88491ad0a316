#pragma once

#include <memory>

#include "base/metrics.h"
#include "io/transport.h"
#include "uv/loop.h"

namespace sluice {

/// TCP. One for each loop; transports and listeners may not outlive the loop.
class UvNetwork : public Network {
 public:
  virtual void collect(MetricSink& sink) const = 0;
};
std::unique_ptr<UvNetwork> make_network(Loop& loop);

}  // namespace sluice
