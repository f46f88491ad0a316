// One machine of a world of sites: an engine, a replicator, or both in one process.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "client/nats_link.h"
#include "client/stream_client.h"
#include "node/node.h"
#include "replicator/replicator.h"
#include "sim/sim_env.h"

namespace sluice::simulate {

/// How its process is built; started again with the same after each crash.
struct SiteProcess {
  bool has_engine = false;
  std::optional<ReplicatorOptions> replicator{};
  uint64_t seed = 0;  ///< of the store's sizes
};

class SiteMachine {
 public:
  SiteMachine(sim::SimEnv& sim, const std::string& host, SiteProcess process);
  ~SiteMachine() { end(); }
  SiteMachine(const SiteMachine&) = delete;
  SiteMachine& operator=(const SiteMachine&) = delete;

  const std::string& host() const { return machine_.host(); }
  bool up() const { return up_; }
  bool powered() const { return machine_.disk().powered(); }
  bool has_engine() const { return process_.has_engine; }
  bool copies() const { return process_.replicator.has_value(); }
  /// Why it could not; its disk may have been cut off meanwhile.
  Status start();
  /// The process is gone, as by a power cut or a kill.
  void crash(sim::Crash kind);
  /// Replicator and engine stop orderly. @return false when they never answer.
  bool stop();
  /// The replicator alone is ended (killed) and begun again.
  Status restart_replicator(bool orderly);

  MonoTime up_at{};                    ///< when it is to start again
  std::vector<std::string> cut_from;   ///< hosts that hear nothing of its end until then

  Node* node() { return node_.get(); }
  StreamClient& client() { return *client_; }
  Replicator* replicator() { return replicator_.get(); }
  const ReplicatorOptions& replicator_options() const { return *process_.replicator; }
  sim::SimMachine& machine() { return machine_; }
  /// When its present replicator began.
  MonoTime replicating_since() const { return replicating_since_; }
  /// Connections to its engines, in all their lives, that began with a dictionary of an earlier one.
  uint64_t dictionaries_agreed() const;

 private:
  Status start_engine();
  Status start_replicator();
  void end();

  sim::SimEnv& sim_;
  sim::SimMachine& machine_;
  const SiteProcess process_;
  bool up_ = false;
  MonoTime replicating_since_{};
  uint64_t dictionaries_before_ = 0;  ///< of earlier engines
  std::unique_ptr<Node> node_;
  std::unique_ptr<NatsLink> link_;
  std::unique_ptr<StreamClient> client_;
  std::unique_ptr<Replicator> replicator_;
};

}  // namespace sluice::simulate
