// Leaf nodes of a server: the listener for spokes, and the links to hubs, dialled again when lost.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/error.h"
#include "base/metrics.h"
#include "crypto/tls_acceptor.h"
#include "io/env.h"
#include "leaf/leaf_link.h"
#include "leaf/leaf_options.h"
#include "server/server.h"

namespace sluice {

/// kInvalidArgument with the remote and the reason: URLs, accounts, seeds.
Status check_leaf_options(const LeafOptions& options);

/// Loop thread only. The server must outlive it.
class LeafNodes final : public LeafHost {
 public:
  LeafNodes(Env& env, Server& server, LeafOptions options);
  ~LeafNodes() override;
  LeafNodes(const LeafNodes&) = delete;
  LeafNodes& operator=(const LeafNodes&) = delete;

  /// Listens and begins to dial. The errors of check_leaf_options(), an account that is not there,
  /// TLS files, or kIo when the address can't be bound. A hub that can't be reached is no error.
  Status start();
  /// Nobody is accepted or dialled any more, and all links close.
  void stop();
  /// New certificates for those who connect later.
  Status reload_tls(const TlsListenerOptions& tls);

  uint16_t port() const { return listener_ == nullptr ? 0 : listener_->port(); }
  size_t open_count() const;
  std::vector<LeafFigures> figures() const;
  const LeafCounters& counters() const { return counters_; }
  void collect(MetricSink& sink) const;

  // -- LeafHost
  void on_link_open(LeafLink& link) override;
  void on_link_closed(LeafLink& link, const Error& why, std::chrono::nanoseconds wait) override;
  const std::string& loop_subject(Account& account) override;
  LeafLink* link_to_cut(LeafLink& looped) override;
  bool is_hub(uint64_t link_id) const override { return hubs_.contains(link_id); }

 private:
  /// One `remotes` entry: at most one link or dialling at a time.
  struct Remote {
    const LeafRemoteOptions* options = nullptr;
    Account* account = nullptr;
    std::vector<size_t> order;  ///< of its URLs
    size_t next = 0;
    Ticket dialling;
    std::unique_ptr<Timer> retry;
    uint64_t link_id = 0;  ///< 0 = none
    std::string last_error;
  };
  struct LoopMark {
    std::string subject;
    std::unique_ptr<BusSubscription> subscription;
    MonoTime last_cut{0};
  };

  Status start_listener();
  Status add_remote(const LeafRemoteOptions& options);
  void accept(std::unique_ptr<Transport> transport);
  void dial(Remote& remote);
  void on_dialled(Remote& remote, const std::string& url,
                  Result<std::unique_ptr<Transport>> transport);
  void retry_later(Remote& remote, const std::string& why, std::chrono::nanoseconds wait);

  Env& env_;
  Server& server_;
  const LeafOptions options_;
  LeafUsers users_;
  LeafCounters counters_;
  TlsAcceptor tls_;
  LeafWorld world_;
  std::unordered_map<Account*, LoopMark> loops_;
  std::vector<std::unique_ptr<Remote>> remotes_;
  std::unordered_map<uint64_t, std::unique_ptr<LeafLink>> links_;
  std::unordered_set<uint64_t> hubs_;
  std::vector<std::unique_ptr<LeafLink>> dead_;  ///< closed, may still be on the stack
  std::unique_ptr<Listener> listener_;
  bool stopped_ = false;
  std::shared_ptr<LeafNodes*> self_ = std::make_shared<LeafNodes*>(this);
};

}  // namespace sluice
