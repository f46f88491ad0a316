// All stream copies of this daemon, with their links.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "client/nats_link.h"
#include "client/stream_client.h"
#include "io/env.h"
#include "replicator/options.h"
#include "replicator/stream_copy.h"

namespace sluice {

/// Makes a link for options: to the embedded core, or to a far server. The one who builds the daemon
/// knows both; the replicator sees only NatsLink.
using LinkFactory = std::function<Result<std::unique_ptr<NatsLink>>(const LinkOptions&)>;

/// Loop thread only.
class Replicator {
 public:
  Replicator(Env& env, ReplicatorOptions options, LinkFactory make_link);
  ~Replicator();

  /// kInvalidArgument when a link can't be made (a file that can't be read, say); far ends that don't
  /// answer are no error: the copies wait for them.
  Status start();
  void stop(std::move_only_function<void()> done);

  struct CopyView {
    const StreamCopyOptions& options;
    const CopyFigures& figures;
  };
  std::vector<CopyView> copies() const;
  void collect(MetricSink& sink) const;

 private:
  struct Copy;
  Env& env_;
  ReplicatorOptions options_;
  LinkFactory make_link_;
  std::vector<std::unique_ptr<Copy>> copies_;
  size_t stopping_ = 0;
  std::move_only_function<void()> stopped_;
};

}  // namespace sluice
