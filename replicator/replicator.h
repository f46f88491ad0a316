// All stream copies of this daemon, with their links, elections and heartbeats.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "client/nats_link.h"
#include "client/stream_client.h"
#include "io/env.h"
#include "replicator/heartbeat.h"
#include "replicator/leadership.h"
#include "replicator/limiter.h"
#include "replicator/options.h"
#include "replicator/stream_copy.h"

namespace sluice {

/// Makes a link for options: to the embedded core, or to a far server. The one who builds the daemon
/// knows both; the replicator sees only NatsLink.
using LinkFactory = std::function<Result<std::unique_ptr<NatsLink>>(const LinkOptions&)>;

/// Loop thread only.
///
/// People steer it through files of the state folder, so that what they said outlives a restart and needs no
/// open port: `<copy>.paused` stops a copy while it is there; `<copy>.reset` holds `start` or a source sequence,
/// is obeyed once and removed.
class Replicator {
 public:
  /// `host` names this machine in heartbeats and their election.
  Replicator(Env& env, ReplicatorOptions options, std::string host, LinkFactory make_link);
  ~Replicator();

  /// kInvalidArgument when a link can't be made (a file that can't be read, say); far ends that don't
  /// answer are no error: the copies wait for them.
  Status start();
  void stop(std::move_only_function<void()> done);

  struct CopyView {
    const StreamCopyOptions& options;
    const CopyFigures& figures;
    const LagFigures& lag;
    const Limiter* limiter;        ///< null = no sampling
    const Leadership* leadership;  ///< null = no election
  };
  std::vector<CopyView> copies() const;
  const ReplicatorOptions& options() const { return options_; }
  const Heartbeat* heartbeat() const { return heartbeat_.get(); }
  const Leadership* heartbeat_leadership() const { return heartbeat_leadership_.get(); }
  /// The first thing a person should know; empty = all well.
  std::string trouble() const;
  void collect(MetricSink& sink) const;

 private:
  struct Copy;
  Status build(const StreamCopyOptions& wanted);
  Status build_heartbeat();
  std::string dictionary_root() const { return options_.state_dir + "/zstd"; }
  void remove_old_dictionaries();
  void look_for_orders();
  void obey_reset(Copy& copy, const std::string& path);

  Env& env_;
  ReplicatorOptions options_;
  const std::string host_;
  LinkFactory make_link_;
  Logger log_{"replicator"};
  std::vector<std::unique_ptr<Copy>> copies_;
  std::set<std::string> dictionary_folders_;  ///< names of those in use
  std::unique_ptr<NatsLink> heartbeat_link_;
  std::unique_ptr<StreamClient> heartbeat_client_;
  std::unique_ptr<Heartbeat> heartbeat_;
  std::unique_ptr<Leadership> heartbeat_leadership_;
  std::unique_ptr<Timer> orders_timer_;
  size_t stopping_ = 0;
  std::move_only_function<void()> stopped_;
};

}  // namespace sluice
