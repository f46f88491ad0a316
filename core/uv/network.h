#pragma once

#include <memory>

#include "base/metrics.h"
#include "io/transport.h"
#include "uv/loop.h"

namespace sluice {

/// TCP. One for each loop; transports and listeners may not outlive the loop. connect() to a host "/…" dials a UNIX socket.
class UvNetwork : public Network {
 public:
  /// A UNIX socket at `path` with the file mode `mode` (0660: its group may connect). kExists when another
  /// process listens there; a socket left behind by one that is gone is replaced.
  virtual Result<std::unique_ptr<Listener>> listen_local(
      const std::string& path, unsigned mode,
      std::move_only_function<void(std::unique_ptr<Transport>)> on_accept) = 0;
  virtual void collect(MetricSink& sink) const = 0;
};
std::unique_ptr<UvNetwork> make_network(Loop& loop);

}  // namespace sluice
