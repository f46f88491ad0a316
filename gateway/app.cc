#include "gateway/app.h"

#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <utility>
#include <vector>

#include "base/heap.h"
#include "base/limits.h"
#include "base/log.h"
#include "config/load.h"
#include "gateway/adapter_host.h"
#include "gateway/cli/session.h"
#include "gateway/auto_streams.h"
#include "gateway/core_watch.h"
#include "gateway/pages.h"
#include "gateway/process_figures.h"
#include "gateway/reload.h"
#include "gateway/system_answers.h"
#include "monitor/monitor.h"
#include "leaf/leaf_nodes.h"
#include "monitor/summed_metrics.h"
#include "node/node.h"
#include "notify/sd_notify.h"
#include "remote/remote_link.h"
#include "replicator/replicator.h"
#include "server/version.h"
#include "store/store_keys.h"
#include "uv/env.h"
#include "uv/signals.h"

namespace sluice {
namespace {

constexpr Logger kLog{"app"};
/// Of address space; what the heap has beyond that is in small pages.
constexpr size_t kHugeHeap_bytes = 256 * kMiB;
/// Longest wait for adapters and copies to settle.
constexpr std::chrono::seconds kSettleDeadline{10};

const char* to_word(SyncMode mode) {
  switch (mode) {
    case SyncMode::kAlways:
      return "always";
    case SyncMode::kInterval:
      return "interval";
    case SyncMode::kNone:
      return "none";
  }
  return "";
}

/// URLs without what is secret in them.
std::string shown(const LinkOptions& link) {
  std::string out;
  for (const std::string& url : link.urls) {
    const size_t at = url.rfind('@'), scheme = url.find("://");
    if (!out.empty()) out += ',';
    out += at == std::string::npos ? url : url.substr(0, scheme + 3) + url.substr(at + 1);
  }
  return out;
}

NodeOptions node_options(const AppOptions& options) {
  NodeOptions out;
  out.server = options.config.server;
  out.leaf = options.config.leafnodes;
  out.store = options.config.store;
  if (const StoreEncryption& encryption = options.config.store.encryption; !encryption.key.empty())
    out.store.keys = make_store_keys(encryption.cipher, encryption.key, encryption.previous_key);
  out.max_file_bytes = options.max_file_bytes;
  out.max_memory_bytes = options.max_memory_bytes;
  out.consumers.max_ack_pending_limit = options.max_ack_pending;
  out.consumers.max_request_batch = options.max_request_batch;
  out.streams.max_duplicate_window = options.max_duplicate_window;
  return out;
}

}  // namespace

class App::Running final : public RunningDaemon {
 public:
  explicit Running(AppOptions& options) : options_(options) {}

  Status start();
  int serve() {
    world_.loop().run();
    return exit_code_;
  }
  WallNanos wall() { return env_.clock.wall(); }

  // -- RunningDaemon
  Result<ReloadReport> reload_server(const ServerOptions& fresh) override {
    // Of its leaf listener the certificates are read again, under the names that it began with.
    if (LeafNodes* leaf = node_->leaf(); leaf != nullptr) {
      if (auto loaded = leaf->reload_tls(options_.config.leafnodes.tls); !loaded)
        return std::unexpected(loaded.error());
    }
    ServerOptions wanted = fresh;
    if (wanted.server_name.empty()) wanted.server_name = node_->server().name();  // was made up at the start
    return node_->server().reload(wanted);
  }
  Status prepare_adapters(const Config& fresh) override { return adapters_->prepare(fresh); }
  AdapterChanges commit_adapters() override { return adapters_->commit(); }
  void drop_prepared_adapters() override { adapters_->drop_prepared(); }
  void set_lame_duck(std::chrono::nanoseconds grace, std::chrono::nanoseconds spread) override {
    options_.lame_duck_grace = grace;
    options_.lame_duck_spread = spread;
  }
  void set_config_digest(const std::string& digest) override { pages_->set_config_digest(digest); }

 private:
  enum class Phase : uint8_t { kStarting, kRunning, kSettling, kStoppingNode };

  Status start_remotes();
  Status start_node();
  Status start_monitor();
  MonitorSubject monitor_subject();
  Status start_parts();
  Status start_auto_streams(const LinkFactory& links);
  OwnTrouble own_trouble() const;
  void feed_watchdog();
  void say_ready();
  std::string state_text() const {
    return remote_core() ? "core " + shown(options_.config.core) : fmt::format("port {}", node_->server().port());
  }
  void on_signal(int number);
  void reload(int number);
  void reload_config_file();
  void settle();
  void part_settled();
  void drop_parts();
  void stop_node(DrainPlan plan);
  /// The JetStream is elsewhere: no store here, and no client port.
  bool remote_core() const { return !options_.config.core.embedded(); }
  bool ends_lame_duck(int number) const {
    return number == SIGINT || (number == SIGTERM && options_.term_ends_lame_duck);
  }

  AppOptions& options_;
  UvEnv world_;
  Env& env_ = world_.env();
  Phase phase_ = Phase::kStarting;
  int exit_code_ = 0;
  DrainPlan plan_{std::chrono::nanoseconds(0)};
  bool lame_duck_ = false;
  int unsettled_ = 0;
  // Built in this order, taken down in reverse.
  std::vector<std::unique_ptr<NatsLink>> remotes_;  ///< of mirrors and sources
  std::unique_ptr<Node> node_;
  std::unique_ptr<MonitorPages> pages_;
  std::unique_ptr<SystemAnswers> system_;
  std::unique_ptr<Monitor> monitor_;
  std::unique_ptr<Replicator> replicator_;
  std::unique_ptr<AdapterHost> adapters_;
  std::unique_ptr<NatsLink> core_link_;  ///< of what follows
  std::unique_ptr<StreamClient> core_client_;
  std::unique_ptr<AutoStreams> auto_streams_;
  std::unique_ptr<CoreWatch> core_watch_;
  std::unique_ptr<Signals> signals_;
  std::unique_ptr<Timer> watchdog_timer_;
  std::unique_ptr<Timer> settle_timer_;
};

Status App::Running::start() {
  configure_logging(options_.config.log);
  if (auto status = start_remotes(); !status) return status;
  if (auto status = start_node(); !status) return status;
  if (auto status = start_monitor(); !status) return status;
  if (!remote_core()) {
    if (auto status = node_->start(); !status) return status;
  }
  if (auto status = start_parts(); !status) return status;
  signals_ = std::make_unique<Signals>(
      world_.loop(), std::initializer_list<int>{SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2},
      [this](int number) { on_signal(number); });
  phase_ = Phase::kRunning;
  feed_watchdog();
  say_ready();
  return {};
}

Status App::Running::start_remotes() {
  if (!options_.config.server.jetstream) return {};
  for (const RemoteSettings& remote : options_.config.remotes) {
    auto link = make_remote_link(env_, remote.system);
    if (!link) return std::unexpected(link.error());
    remotes_.push_back(*std::move(link));
  }
  return {};
}

Status App::Running::start_node() {
  const Config& config = options_.config;
  if (remote_core()) {
    SLUICE_LOG(kLog, kInfo, "starting version={} core={} replicas={}", kSluiceVersion, shown(config.core), config.core.replicas);
  } else {
    SLUICE_LOG(kLog, kInfo, "starting version={} jetstream={} store={} sync={}", kSluiceVersion,
               config.server.jetstream, config.store.dir, to_word(config.store.sync));
  }
  if (const uint64_t descriptors = raise_descriptor_limit(); descriptors != 0 && descriptors < config.server.max_connections) {
    SLUICE_LOG(kLog, kInfo, "fewer descriptors than max_connections, clients beyond them are turned away descriptors={} max_connections={}",
               descriptors, config.server.max_connections);
  }
  if (config.server.jetstream && config.store.sync != SyncMode::kAlways) {
    SLUICE_LOG(kLog, kWarn, "acknowledged messages may be lost with the machine sync={}",
               to_word(config.store.sync));
  }
  StartupExtension extension;
  NodeOptions options = node_options(options_);
  for (size_t i = 0; i < remotes_.size(); ++i)
    options.remotes.push_back({.name = config.remotes[i].name,
                               .domain = config.remotes[i].domain,
                               .link = remotes_[i].get()});
  auto node = Node::make(env_, std::move(options));
  if (!node) return std::unexpected(node.error());
  node_ = std::move(*node);
  return {};
}

Status App::Running::start_monitor() {
  const MonitorSettings& settings = options_.config.monitor;
  pages_ = std::make_unique<MonitorPages>(env_, monitor_subject(), &process_figures);
  pages_->add_health([this]() -> std::string {
    if (phase_ == Phase::kSettling || phase_ == Phase::kStoppingNode) return "stopping";
    return adapters_ ? adapters_->trouble() : "";
  });
  system_ = std::make_unique<SystemAnswers>(*pages_, [this] { reload(SIGHUP); });
  node_->server().set_system_host(system_.get());
  if (!settings.enabled) return {};
  monitor_ = std::make_unique<Monitor>(env_, *pages_, settings.base_path);
  monitor_->add_metrics([this](MetricSink& sink) {
    world_.collect(sink);
    sink.counter("sluice_log_dropped_lines_total", "Log lines dropped because the log could not be written fast enough.",
                 {}, static_cast<double>(dropped_log_lines()));
    SummedMetrics engines;
    for (const auto& engine : node_->engines()) {
      engine->streams->collect(engines);
      engine->consumers->collect(engines);
      engine->api->collect(engines);
      if (engine->sourcing) engine->sourcing->collect(engines);
    }
    engines.pour_into(sink);
    if (replicator_) replicator_->collect(sink);
    if (adapters_) adapters_->collect(sink);
    if (core_watch_) core_watch_->collect(sink);
  });
  monitor_->add_page("/adapters", [this] { return adapters_page(adapters_.get()); });
  monitor_->add_page("/auto_streams", [this] { return auto_streams_page(auto_streams_.get()); });
  monitor_->add_page("/replicator", [this] { return replicator_page(replicator_.get()); });
  return monitor_->listen(settings.host, settings.port);
}

MonitorSubject App::Running::monitor_subject() {
  MonitorSubject subject{node_->server()};
  subject.max_file_bytes = options_.max_file_bytes;
  subject.max_memory_bytes = options_.max_memory_bytes;
  subject.config_digest = options_.config_digest;
  subject.leafs = [this] { return node_->leaf() == nullptr ? std::vector<LeafFigures>() : node_->leaf()->figures(); };
  if (!node_->jetstream()) return subject;
  const StoreSettings& store = options_.config.store;
  subject.store = &node_->store();
  subject.store_dir = store.dir;
  subject.sync = store.sync;
  subject.sync_interval = store.sync_interval;
  subject.jetstream = [this] {
    std::vector<AccountJetStream> out;
    for (const auto& engine : node_->engines()) {
      const ApiStats& api = engine->api->stats();
      out.push_back({.account = engine->account,
                     .streams = engine->streams.get(),
                     .consumers = engine->consumers.get(),
                     .api_total = api.total,
                     .api_errors = api.errors});
    }
    return out;
  };
  return subject;
}

Status App::Running::start_parts() {
  const Config& config = options_.config;
  LinkFactory links = [this](const LinkOptions& options) -> Result<std::unique_ptr<NatsLink>> {
    if (!options.embedded()) return make_remote_link(env_, options);
    if (remote_core()) return make_remote_link(env_, options_.config.core);
    return make_bus_link(env_, node_->bus());
  };
  if (!config.replicator.streams.empty() || !config.replicator.heartbeats.subjects.empty()) {
    replicator_ = std::make_unique<Replicator>(env_, config.replicator, own_host_name(), links);
    if (auto status = replicator_->start(); !status) return status;
  }
  AccountLinkFactory account_links = [this, links](const LinkOptions& options, const std::string& name) -> Result<std::unique_ptr<NatsLink>> {
    if (name.empty() || !options.embedded()) return links(options);
    Account* account = node_->server().accounts().find(name);
    if (account == nullptr) return fail(Errc::kInvalidArgument, fmt::format("there is no account '{}'", name));
    return make_bus_link(env_, account->router());
  };
  adapters_ = std::make_unique<AdapterHost>(
      env_, CoreAccess{account_links, config.core.api_prefix(), config.core.replicas});
  if (auto status = adapters_->start(config); !status) return status;
  return start_auto_streams(links);
}

Status App::Running::start_auto_streams(const LinkFactory& links) {
  const CoreSettings& core = options_.config.core;
  if (!core.embedded() || options_.config.server.jetstream) {
    auto link = links(LinkOptions{});
    if (!link) return std::unexpected(link.error());
    core_link_ = *std::move(link);
    core_client_ = StreamClient::make(env_, *core_link_, core.api_prefix());
    auto_streams_ = std::make_unique<AutoStreams>(env_, *core_client_, options_.config.auto_streams, core.replicas);
    auto_streams_->start();
    if (options_.config.alerts.enabled) {
      core_watch_ = std::make_unique<CoreWatch>(env_, *core_client_, options_.config.alerts, [this] { return own_trouble(); });
      core_watch_->start();
    }
  }
  return {};
}

OwnTrouble App::Running::own_trouble() const {
  OwnTrouble out{.adapters = adapters_->down()};
  if (replicator_) {
    for (const Replicator::CopyView& copy : replicator_->copies()) {
      if (copy.lag.stalled || copy.figures.state == CopyState::kBlocked) out.copies.push_back(copy.options.id());
    }
  }
  if (node_->jetstream()) {
    if (const Status writable = node_->store().writable(); !writable) out.store = writable.error().detail;
  }
  return out;
}

void App::Running::feed_watchdog() {
  auto interval = watchdog_interval();
  if (!interval) return;
  notify_watchdog();
  if (!watchdog_timer_) watchdog_timer_ = env_.timers.make([this] { feed_watchdog(); });
  watchdog_timer_->start(*interval / 2);
}

void App::Running::say_ready() {
  AppReady ready{env_.clock.wall(), node_->server().port(),
                 monitor_ ? monitor_->port() : uint16_t{0}, node_->server().websocket_port(),
                 node_->leaf() != nullptr ? node_->leaf()->port() : uint16_t{0}};
  if (remote_core()) {
    ready.client_port = 0;
    SLUICE_LOG(kLog, kInfo, "ready core={} monitor_port={}", shown(options_.config.core), ready.monitor_port);
  } else {
    SLUICE_LOG(kLog, kInfo, "ready listen={}:{} monitor_port={}", options_.config.server.host,
               ready.client_port, ready.monitor_port);
  }
  notify_ready(state_text());
  if (options_.on_ready) options_.on_ready(ready);
}

void App::Running::on_signal(int number) {
  if (number == SIGHUP || number == SIGUSR1) {
    reload(number);
    return;
  }
  switch (phase_) {
    case Phase::kStarting:
      return;  // signals are not watched yet
    case Phase::kRunning:
      SLUICE_LOG(kLog, kInfo, "stopping signal={}", number);
      lame_duck_ = number == SIGUSR2;
      plan_ = lame_duck_ ? DrainPlan(options_.lame_duck_grace, options_.lame_duck_spread)
                         : DrainPlan(options_.stop_grace);
      if (options_.on_stopping) options_.on_stopping(wall(), number);
      settle();
      return;
    case Phase::kSettling:
      if (lame_duck_ && !ends_lame_duck(number)) return;
      SLUICE_LOG(kLog, kWarn, "hurried, not waiting for adapters and copies signal={}", number);
      drop_parts();
      stop_node(std::chrono::nanoseconds(0));
      return;
    case Phase::kStoppingNode:
      // Flush and sync are never skipped, the clients' time is.
      if (!lame_duck_ || ends_lame_duck(number)) node_->server().hurry_drain();
      return;
  }
}

void App::Running::reload(int number) {
  notify_reloading(std::chrono::duration_cast<std::chrono::microseconds>(env_.clock.now()));
  if (options_.on_reload) {
    options_.on_reload(*this, wall(), number);
  } else if (options_.config_path.empty()) {
    configure_logging(options_.config.log);
  } else {
    reload_config_file();
  }
  notify_ready(state_text());
}

void App::Running::reload_config_file() {
  Problems problems(options_.config_path);
  Config fresh = load_config(options_.config_path, process_environment(), problems);
  if (!problems.empty()) {
    SLUICE_LOG(kLog, kError, "reload refused, nothing changes file={} problems={}", options_.config_path, problems.size());
    for (const Problem& problem : problems.sorted()) {
      SLUICE_LOG(kLog, kError, "reload refused place={}:{}:{} problem=\"{}\"", options_.config_path, problem.place.line, problem.place.column,
                 problem.text);
    }
    return;
  }
  fresh.server.jetstream = options_.config.server.jetstream;
  const auto outcome = reload_config(*this, options_.config, fresh);
  if (!outcome) {
    SLUICE_LOG(kLog, kError, "reload refused, nothing changes error={}", outcome.error().detail);
    return;
  }
  configure_logging(fresh.log);
  SLUICE_LOG(kLog, kInfo, "reloaded file={} applied={} waiting_for_a_restart={}",
             options_.config_path, outcome->applied.empty() ? "nothing" : outcome->applied,
             outcome->waiting.empty() ? "nothing" : outcome->waiting);
}

void App::Running::settle() {
  phase_ = Phase::kSettling;
  notify_stopping();
  unsettled_ = 1;
  settle_timer_ = env_.timers.make([this] {
    SLUICE_LOG(kLog, kWarn, "adapters or copies did not settle in time");
    drop_parts();
    stop_node(plan_);
  });
  settle_timer_->start(kSettleDeadline);
  if (adapters_) {
    ++unsettled_;
    adapters_->stop([this] { part_settled(); });
  }
  if (replicator_) {
    ++unsettled_;
    replicator_->stop([this] { part_settled(); });
  }
  part_settled();
}

/// They must not touch streams once the store closes.
void App::Running::drop_parts() {
  phase_ = Phase::kStoppingNode;  // a late part_settled() then does nothing
  core_watch_.reset();
  auto_streams_.reset();
  core_client_.reset();
  core_link_.reset();
  adapters_.reset();
  replicator_.reset();
}

void App::Running::part_settled() {
  if (--unsettled_ > 0 || phase_ != Phase::kSettling) return;
  stop_node(plan_);
}

void App::Running::stop_node(DrainPlan plan) {
  phase_ = Phase::kStoppingNode;
  core_watch_.reset();  // asks nothing of a store that closes, nor does the next
  auto_streams_.reset();
  settle_timer_->stop();
  if (remote_core()) plan = DrainPlan(std::chrono::nanoseconds(0));  // no clients to wait for
  node_->stop(plan, [this](Status status) {
    if (!status) {
      SLUICE_LOG(kLog, kError, "the store did not close cleanly error={}", status.error().detail);
      exit_code_ = 1;
    }
    SLUICE_LOG(kLog, kInfo, "stopped");
    world_.loop().stop();
  });
}

App::App(AppOptions options) : options_(std::move(options)) {}
App::~App() = default;

int App::run() {
  put_heap_in_huge_pages(kHugeHeap_bytes);
  Running running(options_);
  auto started = running.start();
  if (!started) {
    if (options_.on_failure) {
      options_.on_failure(running.wall(), started.error());
    } else {
      SLUICE_LOG(kLog, kError, "cannot start error={}", started.error().detail);
    }
    return 1;
  }
  return running.serve();
}

}  // namespace sluice
