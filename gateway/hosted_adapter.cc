#include "gateway/hosted_adapter.h"

#include <algorithm>
#include <utility>

#include "adapters/choria_audit/audit.h"
#include "adapters/choria_registration/adapter.h"
#include "adapters/choria_submission/adapter.h"
#include "adapters/file_drop/adapter.h"
#include "adapters/http_channel/channel.h"
#include "adapters/http_events/adapter.h"
#include "adapters/kafka_sink/sink.h"
#include "adapters/kafka_source/adapter.h"
#include "adapters/nats_subject/adapter.h"
#include "base/log.h"
#include "gateway/cli/session.h"

namespace sluice {
namespace {

constexpr Logger kLog{"adapters"};
constexpr std::chrono::seconds kFirstRetry{1};
constexpr std::chrono::minutes kLastRetry{5};

Result<std::unique_ptr<Adapter>> make_adapter(Env& env, NatsLink& network, StreamClient& target,
                                              const ChoriaRegistrationOptions& options) {
  return make_choria_registration(env, network, target, options);
}
Result<std::unique_ptr<Adapter>> make_adapter(Env& env, NatsLink& network, StreamClient& target,
                                              const ChoriaSubmissionOptions& options) {
  return make_choria_submission(env, network, target, options);
}
Result<std::unique_ptr<Adapter>> make_adapter(Env& env, NatsLink& network, StreamClient& target,
                                              const NatsSubjectOptions& options) {
  return make_nats_subject(env, network, target, options);
}
Result<std::unique_ptr<Adapter>> make_adapter(Env& env, NatsLink&, StreamClient& target,
                                              const HttpEventsOptions& options) {
  return make_http_events(env, target, options);
}
Result<std::unique_ptr<Adapter>> make_adapter(Env& env, NatsLink&, StreamClient& target,
                                              const FileDropOptions& options) {
  return make_file_drop(env, target, options, make_folder_watch(env.poller), make_plain_files(env.disk));
}
Result<std::unique_ptr<Adapter>> make_adapter(Env& env, NatsLink&, StreamClient& target,
                                              const ChoriaAuditOptions& options) {
  ChoriaAuditOptions here = options;
  here.host = own_host_name();
  auto letters = make_stream_letters(env, target, options.name);
  return make_choria_audit(env, std::move(letters), std::move(here), make_folder_watch(env.poller));
}
Result<std::unique_ptr<Adapter>> make_adapter(Env& env, NatsLink&, StreamClient& target,
                                              const HttpChannelOptions& options) {
  auto http = make_channel_client(env, options);
  if (!http) return std::unexpected(http.error());
  return make_http_channel(env, target, options, *std::move(http));
}

Result<std::unique_ptr<Adapter>> make_adapter(Env& env, NatsLink&, StreamClient& target,
                                              const KafkaSourceOptions& options) {
  return make_kafka_source(env, target, options);
}
Result<std::unique_ptr<Adapter>> make_adapter(Env& env, NatsLink&, StreamClient& source,
                                              const KafkaSinkOptions& options) {
  return make_kafka_sink(env, source, options);
}

/// Where an adapter takes from: its network; the core where it has none.
LinkOptions source_of(const AdapterOptions& options) {
  return std::visit(
      [](const auto& o) {
        if constexpr (requires { o.network; })
          return o.network;
        else
          return LinkOptions{};
      },
      options);
}

}  // namespace

/// Taken down from the last member up. The source has a link of its own: pausing it must not hold up
/// the target's acks.
struct HostedAdapter::Parts {
  std::unique_ptr<NatsLink> source;
  std::unique_ptr<NatsLink> target;
  std::unique_ptr<StreamClient> streams;
  std::unique_ptr<Adapter> adapter;
};

HostedAdapter::HostedAdapter(Env& env, const CoreAccess& core, AdapterOptions options, std::string text)
    : env_(env),
      core_(core),
      options_(std::move(options)),
      text_(std::move(text)),
      retry_timer_(env.timers.make([this] { begin_again(); })) {}

HostedAdapter::~HostedAdapter() = default;

const Adapter& HostedAdapter::adapter() const { return *parts_->adapter; }

Result<std::unique_ptr<HostedAdapter>> HostedAdapter::make(Env& env, const CoreAccess& core,
                                                           AdapterOptions options, std::string text) {
  std::unique_ptr<HostedAdapter> hosted(
      new HostedAdapter(env, core, std::move(options), std::move(text)));
  auto parts = hosted->build();
  if (!parts) return std::unexpected(parts.error());
  hosted->parts_ = *std::move(parts);
  return hosted;
}

Result<std::unique_ptr<HostedAdapter::Parts>> HostedAdapter::build() const {
  auto parts = std::make_unique<Parts>();
  const std::string account = std::visit([](const auto& o) { return o.account; }, options_);
  auto source = core_.make_link(source_of(options_), account);
  if (!source) return std::unexpected(source.error());
  auto target = core_.make_link(LinkOptions{}, account);  // the core, wherever it is
  if (!target) return std::unexpected(target.error());
  parts->source = *std::move(source);
  parts->target = *std::move(target);
  parts->streams = StreamClient::make(env_, *parts->target, core_.api_prefix, core_.replicas);
  auto adapter = std::visit(
      [&](const auto& o) { return make_adapter(env_, *parts->source, *parts->streams, o); }, options_);
  if (!adapter) return std::unexpected(adapter.error());
  parts->adapter = *std::move(adapter);
  return parts;
}

void HostedAdapter::start(std::move_only_function<void()> tried) {
  tried_ = std::move(tried);
  started_ = true;
  launch();
}

void HostedAdapter::launch() {
  parts_->adapter->start([this](Status outcome) { on_started(std::move(outcome)); });
}

void HostedAdapter::on_started(Status outcome) {
  if (stopped_ || being_stopped_) return;
  if (outcome) {
    failed_.clear();
    started_at_ = env_.clock.wall();
    SLUICE_LOG(kLog, kInfo, "adapter runs name={} type={} failed_tries={}", name(), adapter().kind(), std::exchange(failures_, 0));
  } else {
    const bool is_known = failed_ == outcome.error().detail;  // told once, whatever the number of tries
    failed_ = outcome.error().detail;
    const auto delay = std::min<std::chrono::nanoseconds>(kFirstRetry * (1 << std::min(failures_, 9)), kLastRetry);
    ++failures_;
    retry_timer_->start(delay / 2 + std::chrono::nanoseconds(env_.random.below(static_cast<uint64_t>(delay.count()))));
    if (!is_known)
      SLUICE_LOG(kLog, kError, "adapter cannot start, tried again until it can name={} type={} error=\"{}\"", name(), adapter().kind(),
                 failed_);
  }
  if (auto tried = std::exchange(tried_, nullptr)) tried();
}

void HostedAdapter::begin_again() {
  being_stopped_ = true;
  if (settled_) return adapter_stopped();
  parts_->adapter->stop([this] { adapter_stopped(); });
}

/// Called by the adapter, which may go in a later callback only.
void HostedAdapter::adapter_stopped() {
  env_.executor.post([this, alive = std::weak_ptr<char>(alive_)] {
    if (alive.expired()) return;
    if (auto done = std::exchange(stopped_, nullptr)) return done();
    being_stopped_ = false;
    ++restarts_;
    auto fresh = build();
    settled_ = !fresh;
    if (!fresh) return on_started(std::unexpected(fresh.error()));
    parts_ = *std::move(fresh);
    launch();
  });
}

void HostedAdapter::stop(std::move_only_function<void()> done) {
  stopped_ = std::move(done);
  retry_timer_->stop();
  if (auto tried = std::exchange(tried_, nullptr)) tried();
  if (being_stopped_) return;  // adapter_stopped() tells
  being_stopped_ = true;
  if (!started_ || settled_) return adapter_stopped();
  parts_->adapter->stop([this] { adapter_stopped(); });
}

}  // namespace sluice
