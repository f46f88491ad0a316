// One whole engine, built from an Env: store, server, streams, consumers, API. The daemon and the
// simulator both call it; it knows neither uv nor configuration files.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/api_refusal.h"
#include "api/digest_service.h"
#include "api/dispatcher.h"
#include "base/error.h"
#include "base/metrics.h"
#include "bus/bus.h"
#include "consumer/consumers.h"
#include "io/env.h"
#include "leaf/leaf_nodes.h"
#include "server/server.h"
#include "sourcing/sourcing.h"
#include "store/account_store.h"
#include "store/store.h"
#include "stream/streams.h"

namespace sluice {

/// JetStream of one account. Built in this order, taken down in reverse.
struct AccountEngine {
  std::string account;
  std::unique_ptr<Store> store;  ///< the account's part of the directory
  std::unique_ptr<Streams> streams;
  std::unique_ptr<Consumers> consumers;
  std::unique_ptr<ApiDispatcher> api;
  std::unique_ptr<DigestService> digests;
  std::unique_ptr<Sourcing> sourcing;
};

struct NodeOptions {
  ServerOptions server;
  LeafOptions leaf = {};
  StoreOptions store;       ///< used when server.jetstream is set
  StreamsOptions streams;
  ConsumersOptions consumers;
  std::vector<SourcingRemote> remotes;  ///< of the global account; their links outlive the node
  int64_t max_file_bytes = -1;  ///< of all accounts together; -1 = none
  int64_t max_memory_bytes = -1;
};

/// Loop thread only. Without server.jetstream it is a plain message server: no store is opened.
class Node {
 public:
  /// Opens the store and recovers it (blocking, start-up only), then builds everything on top. Errors
  /// are those of Store::open.
  static Result<std::unique_ptr<Node>> make(Env& env, NodeOptions options);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  /// Begins to accept clients. The bus works before.
  Status start();
  /// Waiting pulls are told, clients are told and closed as `plan` says, what is left is synced. `done`
  /// runs once with the store's last word. No other call may follow but destruction.
  void stop(DrainPlan plan, std::move_only_function<void(Status)> done);

  Server& server() { return *server_; }
  /// nullptr without leaf nodes.
  LeafNodes* leaf() { return leaf_.get(); }
  /// Of the global account.
  Bus& bus() { return server_->bus(); }
  bool jetstream() const { return store_ != nullptr; }
  /// There when jetstream() is true.
  Store& store() { return *store_; }
  /// nullptr when the account has no JetStream.
  AccountEngine* engine(std::string_view account);
  /// In order of the accounts' names.
  const std::vector<std::unique_ptr<AccountEngine>>& engines() const { return engines_; }
  /// Those of the global account, which must have JetStream.
  Streams& streams() { return *global_engine().streams; }
  Consumers& consumers() { return *global_engine().consumers; }
  ApiDispatcher& api() { return *global_engine().api; }

  void collect(MetricSink& sink) const;

 private:
  Node(Env& env, NodeOptions options);
  Status open();
  void serve_jetstream(Account& account);
  struct EngineOptions {
    StreamsOptions streams;
    ConsumersOptions consumers;
    ApiOptions api;
  };
  EngineOptions engine_options(const Account& account) const;
  void set_limits(const Account& account, AccountEngine& engine);
  std::unique_ptr<AccountEngine> make_engine(Account& account);
  AccountEngine& global_engine();

  Env& env_;
  NodeOptions options_;
  // Built in this order, taken down in reverse.
  std::unique_ptr<Store> store_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<AccountStores> account_stores_;
  ServerRoom room_;
  std::vector<std::unique_ptr<AccountEngine>> engines_;
  std::map<std::string, std::unique_ptr<ApiRefusal>> refusals_;  ///< accounts without JetStream
  std::unique_ptr<LeafNodes> leaf_;                    ///< null when there are none
};

}  // namespace sluice
