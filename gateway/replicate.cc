#include "gateway/replicate.h"

#include <csignal>
#include <memory>
#include <utility>

#include "base/log.h"
#include "gateway/cli/session.h"
#include "gateway/pages.h"
#include "notify/sd_notify.h"
#include "http/server.h"
#include "monitor/prometheus_text.h"
#include "remote/remote_link.h"
#include "replicator/replicator.h"
#include "server/version.h"
#include "uv/env.h"
#include "uv/signals.h"

namespace sluice {
namespace {

constexpr Logger kLog{"app"};
constexpr std::chrono::seconds kSettleDeadline{10};

class ReplicateProcess {
 public:
  explicit ReplicateProcess(const StreamReplicatorFile& settings) : settings_(settings), http_(env_.timers, {}) {}

  int run() {
    configure_logging(settings_.log);
    if (auto started = start(); !started) {
      SLUICE_LOG(kLog, kError, "cannot start error={}", started.error().detail);
      return 1;
    }
    world_.loop().run();
    return 0;
  }

 private:
  Status start() {
    SLUICE_LOG(kLog, kInfo, "starting version={} replicator={} streams={} state_store={}", kSluiceVersion,
               settings_.replicator.name, settings_.replicator.streams.size(), settings_.replicator.state_dir);
    replicator_ = std::make_unique<Replicator>(
        env_, settings_.replicator, own_host_name(),
        [this](const LinkOptions& options) { return make_remote_link(env_, options); });
    if (settings_.monitor_port != 0) {
      add_pages();
      if (auto listening = http_.listen(env_.network, "0.0.0.0", settings_.monitor_port); !listening) return listening;
    }
    if (auto started = replicator_->start(); !started) return started;
    signals_ = std::make_unique<Signals>(world_.loop(), std::initializer_list<int>{SIGTERM, SIGINT},
                                         [this](int number) { on_signal(number); });
    SLUICE_LOG(kLog, kInfo, "ready monitor_port={}", http_.port());
    notify_ready(fmt::format("{} streams", settings_.replicator.streams.size()));
    return {};
  }

  void add_pages() {
    http_.add("/metrics", [this](const HttpRequest&) {
      PrometheusText out;
      world_.collect(out);
      replicator_->collect(out);
      HttpResponse response;
      response.content_type = "text/plain; version=0.0.4; charset=utf-8";
      response.body = out.text();
      return response;
    });
    http_.add("/replicator", [this](const HttpRequest&) {
      HttpResponse response;
      response.body = replicator_page(replicator_.get());
      return response;
    });
    http_.add("/healthz", [this](const HttpRequest&) {
      HttpResponse response;
      const std::string trouble = replicator_->trouble();
      response.status = trouble.empty() ? 200 : 503;
      response.content_type = "text/plain; charset=utf-8";
      response.body = trouble.empty() ? "ok\n" : trouble + "\n";
      return response;
    });
  }

  void on_signal(int number) {
    if (std::exchange(stopping_, true)) return world_.loop().stop();  // hurried
    SLUICE_LOG(kLog, kInfo, "stopping signal={}", number);
    notify_stopping();
    settle_timer_ = env_.timers.make([this] {
      SLUICE_LOG(kLog, kWarn, "copies did not settle in time");
      world_.loop().stop();
    });
    settle_timer_->start(kSettleDeadline);
    replicator_->stop([this] {
      SLUICE_LOG(kLog, kInfo, "stopped");
      world_.loop().stop();
    });
  }

  const StreamReplicatorFile& settings_;
  UvEnv world_;
  Env& env_ = world_.env();
  HttpServer http_;
  bool stopping_ = false;
  std::unique_ptr<Replicator> replicator_;
  std::unique_ptr<Signals> signals_;
  std::unique_ptr<Timer> settle_timer_;
};

}  // namespace

int run_replicator(const StreamReplicatorFile& settings) { return ReplicateProcess(settings).run(); }

}  // namespace sluice
