// Who of several replicators copies a stream: Choria's election, kept up for as long as this lives.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/log.h"
#include "client/election.h"
#include "io/env.h"

namespace sluice {

/// Loop thread only. A bucket that is not there yet is waited for.
class Leadership {
 public:
  /// `token` of the term that begins, higher than that of every term before; 0 when one ended.
  using OnChange = std::function<void(bool leads, uint64_t token)>;
  /// `client` speaks to the system that holds the bucket, and outlives this.
  Leadership(Env& env, StreamClient& client, ElectionOptions options, OnChange on_change);

  void start();
  /// Gives the key back, so that another one takes over at once.
  void stop(std::move_only_function<void()> done);

  bool leads() const { return election_ && election_->leads(); }
  /// What is done now is over before the lease can run out: an eighth of it is left for its way.
  bool may_act() const;
  const Election* election() const { return election_.get(); }
  const ElectionOptions& options() const { return options_; }
  const std::string& trouble() const { return trouble_; }

 private:
  void campaign();

  Env& env_;
  StreamClient& client_;
  const ElectionOptions options_;
  OnChange on_change_;
  Logger log_{"replicator"};
  std::string trouble_;
  std::unique_ptr<Timer> retry_timer_;
  std::unique_ptr<Election> election_;
};

}  // namespace sluice
