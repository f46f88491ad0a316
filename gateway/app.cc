#include "gateway/app.h"

#include <csignal>
#include <cstdio>
#include <utility>
#include <vector>

#include "base/log.h"
#include "config/load.h"
#include "gateway/adapter_host.h"
#include "gateway/pages.h"
#include "gateway/process_figures.h"
#include "gateway/sd_notify.h"
#include "monitor/monitor.h"
#include "node/node.h"
#include "remote/remote_link.h"
#include "replicator/replicator.h"
#include "server/version.h"
#include "uv/env.h"
#include "uv/signals.h"

namespace sluice {
namespace {

constexpr Logger kLog{"app"};
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

NodeOptions node_options(const AppOptions& options) {
  NodeOptions out;
  out.server = options.config.server;
  out.leaf = options.config.leafnodes;
  out.store = options.config.store;
  out.max_file_bytes = options.max_file_bytes;
  out.max_memory_bytes = options.max_memory_bytes;
  return out;
}

}  // namespace

class App::Running {
 public:
  explicit Running(AppOptions& options) : options_(options) {}

  Status start();
  int serve() {
    world_.loop().run();
    return exit_code_;
  }
  WallNanos wall() { return env_.clock.wall(); }

 private:
  enum class Phase : uint8_t { kStarting, kRunning, kSettling, kStoppingNode };

  Status start_remotes();
  Status start_node();
  Status start_monitor();
  Status start_parts();
  void feed_watchdog();
  void say_ready();
  void on_signal(int number);
  void reload(int number);
  void settle();
  void part_settled();
  void drop_parts();
  void stop_node(std::chrono::nanoseconds grace);

  AppOptions& options_;
  UvEnv world_;
  Env& env_ = world_.env();
  Phase phase_ = Phase::kStarting;
  int exit_code_ = 0;
  std::chrono::nanoseconds grace_{0};
  int unsettled_ = 0;
  // Built in this order, taken down in reverse.
  std::vector<std::unique_ptr<NatsLink>> remotes_;  ///< of mirrors and sources
  std::unique_ptr<Node> node_;
  std::unique_ptr<Monitor> monitor_;
  std::unique_ptr<Replicator> replicator_;
  std::unique_ptr<AdapterHost> adapters_;
  std::unique_ptr<Signals> signals_;
  std::unique_ptr<Timer> watchdog_timer_;
  std::unique_ptr<Timer> settle_timer_;
};

Status App::Running::start() {
  configure_logging(options_.config.log);
  if (auto status = start_remotes(); !status) return status;
  if (auto status = start_node(); !status) return status;
  if (auto status = start_monitor(); !status) return status;
  if (auto status = node_->start(); !status) return status;
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
  SLUICE_LOG(kLog, kInfo, "starting version={} jetstream={} store={} sync={}", kSluiceVersion,
             config.server.jetstream, config.store.dir, to_word(config.store.sync));
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
  if (!settings.enabled) return {};
  MonitorSubject subject{node_->server(), nullptr, nullptr, nullptr, ""};
  subject.max_file_bytes = options_.max_file_bytes;
  subject.max_memory_bytes = options_.max_memory_bytes;
  if (node_->jetstream()) {
    subject.store = &node_->store();
    if (AccountEngine* global = node_->engine(kGlobalAccount); global != nullptr) {
      subject.streams = global->streams.get();
      subject.consumers = global->consumers.get();
    }
    subject.store_dir = options_.config.store.dir;
  }
  monitor_ = std::make_unique<Monitor>(env_, subject, &process_figures);
  monitor_->add_metrics([this](MetricSink& sink) {
    world_.collect(sink);
    sink.counter("sluice_log_dropped_lines_total", "Log lines dropped because the log could not be written fast enough.",
                 {}, static_cast<double>(dropped_log_lines()));
    for (const auto& engine : node_->engines()) {
      if (engine->api) engine->api->collect(sink);
    }
    if (replicator_) replicator_->collect(sink);
    if (adapters_) adapters_->collect(sink);
  });
  monitor_->add_health([this]() -> std::string {
    if (phase_ == Phase::kSettling || phase_ == Phase::kStoppingNode) return "stopping";
    return adapters_ ? adapters_->trouble() : "";
  });
  monitor_->add_page("/adapters", [this] { return adapters_page(adapters_.get()); });
  monitor_->add_page("/replicator", [this] { return replicator_page(replicator_.get()); });
  return monitor_->listen(settings.host, settings.port);
}

Status App::Running::start_parts() {
  const Config& config = options_.config;
  LinkFactory links = [this](const LinkOptions& options) -> Result<std::unique_ptr<NatsLink>> {
    if (options.embedded()) return make_bus_link(env_, node_->bus());
    return make_remote_link(env_, options);
  };
  if (!config.replicator.streams.empty()) {
    replicator_ = std::make_unique<Replicator>(env_, config.replicator, links);
    if (auto status = replicator_->start(); !status) return status;
  }
  adapters_ = std::make_unique<AdapterHost>(env_, links);
  return adapters_->start(config);
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
                 monitor_ ? monitor_->port() : uint16_t{0}};
  SLUICE_LOG(kLog, kInfo, "ready listen={}:{} monitor_port={}", options_.config.server.host,
             ready.client_port, ready.monitor_port);
  notify_ready(fmt::format("port {}", ready.client_port));
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
      grace_ = number == SIGUSR2 ? options_.lame_duck_grace : options_.stop_grace;
      if (options_.on_stopping) options_.on_stopping(wall(), number);
      settle();
      return;
    case Phase::kSettling:
      SLUICE_LOG(kLog, kWarn, "hurried, not waiting for adapters and copies signal={}", number);
      drop_parts();
      stop_node(std::chrono::nanoseconds(0));
      return;
    case Phase::kStoppingNode:
      return;  // what is left is flush and sync, which is never skipped
  }
}

void App::Running::reload(int number) {
  notify_reloading(std::chrono::duration_cast<std::chrono::microseconds>(env_.clock.now()));
  if (options_.on_reload) {
    options_.on_reload(wall(), number);
  } else if (options_.config_path.empty()) {
    configure_logging(options_.config.log);
  } else {
    Problems problems(options_.config_path);
    Config fresh = load_config(options_.config_path, process_environment(), problems);
    if (problems.empty()) {
      configure_logging(fresh.log);
      SLUICE_LOG(kLog, kInfo, "log settings applied, others need a restart file={}",
                 options_.config_path);
    } else {
      SLUICE_LOG(kLog, kError, "configuration has errors, nothing applied problems={}\n{}",
                 problems.size(), problems.to_text());
    }
  }
  notify_ready(fmt::format("port {}", node_->server().port()));
}

void App::Running::settle() {
  phase_ = Phase::kSettling;
  notify_stopping();
  unsettled_ = 1;
  settle_timer_ = env_.timers.make([this] {
    SLUICE_LOG(kLog, kWarn, "adapters or copies did not settle in time");
    drop_parts();
    stop_node(grace_);
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
  adapters_.reset();
  replicator_.reset();
}

void App::Running::part_settled() {
  if (--unsettled_ > 0 || phase_ != Phase::kSettling) return;
  stop_node(grace_);
}

void App::Running::stop_node(std::chrono::nanoseconds grace) {
  phase_ = Phase::kStoppingNode;
  settle_timer_->stop();
  node_->stop(grace, [this](Status status) {
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
