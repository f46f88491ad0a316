#include "spool/daemon/daemon.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <memory>
#include <utility>

#include "adapters/choria_audit/audit.h"
#include "base/log.h"
#include "crypto/digest.h"
#include "http/server.h"
#include "monitor/prometheus_text.h"
#include "notify/sd_notify.h"
#include "remote/handshake.h"
#include "remote/remote_link.h"
#include "spool/daemon/age_alert.h"
#include "spool/daemon/quarantine_letters.h"
#include "spool/entrance.h"
#include "spool/folder.h"
#include "spool/queue.h"
#include "spool/requests.h"
#include "spool/sender.h"
#include "uv/env.h"
#include "uv/signals.h"

namespace sluice {
namespace {

constexpr Logger kLog{"spool"};
constexpr std::chrono::seconds kHealthLook{1};

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

class SpoolDaemon {
 public:
  explicit SpoolDaemon(SpoolConfig config) : config_(std::move(config)) {
    if (config_.identity.empty()) config_.identity = host_name();
  }

  Status start();
  int serve() {
    world_.loop().run();
    return exit_code_;
  }

 private:
  void settle_inbox();
  Status start_entrances();
  Status start_audit();
  Status start_metrics();
  void start_sender();
  void collect_audit(MetricSink& sink) const;
  void look_after();
  void stop();
  void take_down();

  SpoolConfig config_;
  UvEnv world_;
  Env& env_ = world_.env();
  int exit_code_ = 0;
  bool stopping_ = false;
  // Built in this order, taken down in reverse.
  std::unique_ptr<SpoolQueue> queue_;
  std::unique_ptr<NatsLink> link_;
  std::unique_ptr<StreamClient> client_;
  std::unique_ptr<SpoolSender> sender_;
  std::unique_ptr<SpoolAgeAlert> age_alert_;
  std::unique_ptr<SpoolRequests> requests_;
  std::unique_ptr<SpoolFolder> folder_;
  std::unique_ptr<SpoolEntrance> entrance_;
  std::unique_ptr<Listener> socket_;
  std::unique_ptr<Adapter> audit_;
  std::unique_ptr<HttpServer> metrics_;
  std::unique_ptr<Signals> signals_;
  std::unique_ptr<Timer> health_timer_;
};

Status SpoolDaemon::start() {
  configure_logging(config_.log);
  {
    StartupExtension extension;
    auto queue = SpoolQueue::open(env_, config_.queue);
    if (!queue) return std::unexpected(queue.error());
    queue_ = std::move(*queue);
  }
  settle_inbox();
  auto link = make_remote_link(env_, config_.server);
  if (!link) return std::unexpected(link.error());
  link_ = std::move(*link);
  client_ = StreamClient::make(env_, *link_);
  sender_ = std::make_unique<SpoolSender>(env_, *queue_, *link_, *client_, config_.sender);
  age_alert_ = std::make_unique<SpoolAgeAlert>(env_, *queue_, *link_, config_.alert_age, config_.identity);
  if (Status s = start_entrances(); !s) return s;
  if (Status s = start_audit(); !s) return s;
  if (Status s = start_metrics(); !s) return s;
  signals_ = std::make_unique<Signals>(world_.loop(), std::initializer_list<int>{SIGTERM, SIGINT}, [this](int) { stop(); });
  health_timer_ = env_.timers.make([this] { look_after(); });
  look_after();
  uint64_t waiting = 0;
  for (const auto& lane : queue_->lanes()) waiting += lane.messages;
  SLUICE_LOG(kLog, kInfo, "spool open dir={} waiting={} identity={}", config_.queue.dir, waiting, config_.identity);
  notify_ready(fmt::format("spooling in {}", config_.queue.dir));
  return {};
}

/// A broker that takes tokens lets a node hear its own replies only.
void SpoolDaemon::settle_inbox() {
  if (config_.has_inbox_prefix || config_.server.choria_token_file.empty() || config_.collective.empty()) return;
  const auto token = read_choria_token(env_.disk, config_.server.choria_token_file);
  if (!token) SLUICE_LOG(kLog, kWarn, "the token can't be read yet, its identity is taken to be this node's reason={}", token.error().detail);
  const std::string owner = token ? choria_token_owner(*token) : "";
  config_.server.inbox_prefix = choria_inbox_prefix(config_.collective, owner.empty() ? config_.identity : owner);
}

Status SpoolDaemon::start_entrances() {
  requests_ = std::make_unique<SpoolRequests>(env_, *queue_, sender_.get(), config_.identity, sender_->can_sign());
  if (!config_.folder.empty()) {
    folder_ = std::make_unique<SpoolFolder>(env_, *queue_, config_.folder, config_.queue.max_payload_bytes);
    if (Status s = folder_->start([this] { sender_->start(); }); !s) return s;
  } else {
    sender_->start();
  }
  if (config_.socket.empty()) return {};
  entrance_ = std::make_unique<SpoolEntrance>(env_.executor, *requests_, config_.queue.max_payload_bytes / 3 * 4 + 256 * kKiB);
  auto listening = world_.listen_local(config_.socket, config_.socket_mode,
                                       [this](std::unique_ptr<Transport> accepted) { entrance_->accept(std::move(accepted)); });
  if (!listening) return std::unexpected(listening.error());
  socket_ = std::move(*listening);
  return {};
}

/// Records come in by the socket, as everything does; a log that can't be followed holds up nothing else.
Status SpoolDaemon::start_audit() {
  if (!config_.audit) return {};
  ChoriaAuditOptions options = *config_.audit;
  options.spool = config_.socket;
  options.identity = config_.identity;
  auto letters = make_quarantine_letters(env_, *queue_, options.subject, options.identity);
  auto made = make_choria_audit(env_, std::move(letters), std::move(options), make_folder_watch(env_.poller));
  if (!made) return std::unexpected(made.error());
  audit_ = *std::move(made);
  audit_->start([this](const Status& begun) {
    if (!begun) SLUICE_LOG(kLog, kError, "the audit log is not followed file={} reason={}", config_.audit->file, begun.error().detail);
  });
  return {};
}

void SpoolDaemon::collect_audit(MetricSink& sink) const {
  const AdapterFigures& figures = audit_->figures();
  sink.counter("sluice_spool_audit_records_total", "Records of the audit log that are in the spool.", {}, static_cast<double>(figures.accepted));
  for (const auto& [reason, count] : figures.rejected)
    sink.counter("sluice_spool_audit_rejected_total", "Lines of the audit log that went to the quarantine.", {{"reason", reason}}, static_cast<double>(count));
  sink.gauge("sluice_spool_audit_following", "1 while the audit log is read and taken.", {}, audit_->health() == AdapterHealth::kRunning ? 1 : 0);
}

Status SpoolDaemon::start_metrics() {
  if (config_.metrics_host.empty()) return {};
  HttpServerOptions options;
  options.max_connections = 16;
  metrics_ = std::make_unique<HttpServer>(env_.timers, options);
  metrics_->add("/metrics", [this](const HttpRequest&) {
    PrometheusText text;
    queue_->collect(text);
    sender_->collect(text);
    if (folder_) folder_->collect(text);
    if (entrance_) entrance_->collect(text);
    if (audit_) collect_audit(text);
    world_.collect(text);
    HttpResponse page;
    page.content_type = "text/plain; version=0.0.4";
    page.body = text.text();
    return page;
  });
  metrics_->add("/healthz", [this](const HttpRequest&) {
    const bool well = queue_->writable().has_value();
    HttpResponse page;
    page.status = well ? 200 : 503;
    page.body = well ? "{\"status\":\"ok\"}" : "{\"status\":\"error\",\"error\":\"the disk refuses messages\"}";
    return page;
  });
  return metrics_->listen(env_.network, config_.metrics_host, config_.metrics_port);
}

/// A disk that failed does not come back in this process; another one may recover what is on it.
void SpoolDaemon::look_after() {
  if (queue_->broken() && !stopping_) {
    SLUICE_LOG(kLog, kError, "the disk has failed, ending");
    exit_code_ = 1;
    return world_.loop().stop();
  }
  notify_watchdog();
  if (age_alert_) age_alert_->look();
  health_timer_->start(watchdog_interval() ? std::min<std::chrono::nanoseconds>(kHealthLook, *watchdog_interval() / 2)
                       : config_.alert_age.count() != 0 ? std::chrono::nanoseconds(kHealthLook)
                                                        : std::chrono::nanoseconds(std::chrono::seconds(10)));
}

void SpoolDaemon::stop() {
  if (std::exchange(stopping_, true)) return;
  notify_stopping();
  if (!audit_) return take_down();
  audit_->stop([this] { env_.executor.post([this] { take_down(); }); });
}

void SpoolDaemon::take_down() {
  audit_.reset();
  socket_.reset();
  if (!config_.socket.empty()) (void)env_.disk.remove(config_.socket);
  metrics_.reset();
  entrance_.reset();
  folder_.reset();
  age_alert_.reset();
  sender_.reset();
  client_.reset();
  link_.reset();
  queue_->close([this](const Status& closed) {
    if (!closed) {
      SLUICE_LOG(kLog, kError, "closing failed error={}", closed.error().detail);
      exit_code_ = 1;
    }
    env_.executor.post([this] { world_.loop().stop(); });
  });
}

}  // namespace

int run_spool(SpoolConfig config) {
  SpoolDaemon daemon(std::move(config));
  if (const Status s = daemon.start(); !s) {
    std::fprintf(stderr, "sluice-spool: %s\n", s.error().detail.c_str());
    return 1;
  }
  return daemon.serve();
}

}  // namespace sluice
