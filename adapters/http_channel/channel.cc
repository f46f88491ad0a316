#include "adapters/http_channel/channel.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "adapters/http_channel/delivery.h"
#include "adapters/http_channel/route.h"
#include "adapters/stream_ingest.h"
#include "adapters/subject_adapter.h"
#include "base/log.h"

namespace sluice {
namespace {

constexpr Logger kLog{"adapters"};
constexpr std::chrono::seconds kStopDeadline{5};

/// What has been delivered is taken out: the stream is a buffer.
StreamSpec stream_spec(const HttpChannelOptions& options) {
  StreamSpec spec;
  spec.name = options.stream;
  spec.description = "Events that wait for the channel " + options.name;
  spec.subjects = {"eventchannel." + options.name + ".>"};
  spec.retention = StreamRetention::kWorkQueue;
  spec.max_bytes = options.max_bytes;
  spec.max_age = options.max_age;
  spec.discard_new = options.max_age.count() == 0;  // full: the routes wait, nothing is lost
  spec.memory = options.memory;
  spec.duplicate_window = options.duplicate_window;
  if (spec.max_age.count() > 0) spec.duplicate_window = std::min(spec.duplicate_window, spec.max_age);
  return spec;
}

class HttpChannel final : public Adapter {
 public:
  HttpChannel(Env& env, StreamClient& streams, HttpChannelOptions options, std::unique_ptr<HttpClient> http)
      : env_(env),
        streams_(streams),
        options_(std::move(options)),
        http_(std::move(http)),
        ingest_(env, streams, {.adapter = options_.name}),
        stop_timer_(env.timers.make([this] { finish_stop(); })) {
    ingest_.on_room([this] {
      for (const auto& route : routes_) route->on_room();
      if (delivery_) delivery_->on_room();
    });
  }

  std::string_view name() const override { return options_.name; }
  std::string_view kind() const override { return "http_channel"; }

  void start(std::move_only_function<void(Status)> done) override {
    ingest_.prepare(stream_spec(options_), [this, told = std::move(done)](Status ready) mutable {
      if (!ready && !may_pass(ready.error())) {
        failed_ = true;
        return told(std::move(ready));
      }
      if (!stopping_) begin();
      told({});
    });
  }

  void stop(std::move_only_function<void()> done) override {
    stopping_ = true;
    stop_done_ = std::move(done);
    for (const auto& route : routes_) route->stop();
    if (delivery_) delivery_->stop();
    stop_timer_->start(busy() ? std::chrono::nanoseconds(kStopDeadline) : std::chrono::nanoseconds(0));
  }

  AdapterHealth health() const override {
    if (stopping_ || failed_) return AdapterHealth::kStopped;
    if (!delivery_) return AdapterHealth::kStarting;
    bool well = ingest_.healthy() && delivery_->well();
    for (const auto& route : routes_) well = well && route->running();
    return well ? AdapterHealth::kRunning : AdapterHealth::kDegraded;
  }

  const AdapterFigures& figures() const override {
    figures_.duplicates = ingest_.figures().duplicates;
    figures_.in_flight = ingest_.in_flight() + (delivery_ ? delivery_->under_way() : 0);
    return figures_;
  }

  std::string place() const override { return options_.endpoint; }
  std::string trouble() const override {
    if (!delivery_) return ingest_.trouble();
    for (std::string why : {delivery_->trouble(), ingest_.trouble()})
      if (!why.empty()) return why;
    for (const auto& route : routes_)
      if (!route->trouble().empty()) return route->trouble();
    return {};
  }

 private:
  void begin() {
    for (const ChannelRoute& route : options_.routes)
      routes_.push_back(std::make_unique<RouteFeed>(env_, streams_, ingest_, options_, route, figures_));
    delivery_ = std::make_unique<ChannelDelivery>(env_, streams_, ingest_, options_, *http_, figures_);
    delivery_->on_settled([this] { check_stop(); });
    SLUICE_LOG(kLog, kInfo, "started adapter={} type=http_channel endpoint={} routes={}", options_.name,
               options_.endpoint, routes_.size());
  }

  bool busy() const { return ingest_.in_flight() != 0 || (delivery_ && delivery_->under_way() != 0); }
  void check_stop() {
    if (stop_timer_->active() && !busy()) stop_timer_->start(std::chrono::nanoseconds(0));
  }
  void finish_stop() {
    if (busy()) SLUICE_LOG(kLog, kWarn, "stopped with events under way, they come again adapter={}", options_.name);
    ingest_.stop();
    if (auto done = std::exchange(stop_done_, nullptr)) done();
  }

  Env& env_;
  StreamClient& streams_;
  const HttpChannelOptions options_;
  mutable AdapterFigures figures_;
  bool stopping_ = false;
  bool failed_ = false;
  std::unique_ptr<HttpClient> http_;
  std::vector<std::unique_ptr<RouteFeed>> routes_;
  StreamIngest ingest_;
  std::unique_ptr<ChannelDelivery> delivery_;
  std::move_only_function<void()> stop_done_;
  std::unique_ptr<Timer> stop_timer_;
};

}  // namespace

Result<std::unique_ptr<Adapter>> make_http_channel(Env& env, StreamClient& streams, HttpChannelOptions options,
                                                   std::unique_ptr<HttpClient> http) {
  if (options.stream.empty()) options.stream = "eventchannel-" + options.name + "-stream";
  if (!is_adapter_subject(options.name, false) || options.name.contains('.'))
    return fail(Errc::kInvalidArgument, "the adapter's name must be one subject token");
  if (!is_http_url(options.endpoint))
    return fail(Errc::kInvalidArgument, "'" + options.endpoint + "' is no http:// or https:// address");
  for (const ChannelRoute& route : options.routes) {
    if (!is_adapter_subject(route.subject, true))
      return fail(Errc::kInvalidArgument, "'" + route.subject + "' is not a subject");
    for (const std::string& term : route.attributes)
      if (!AttributeFilter::is_term(term))
        return fail(Errc::kInvalidArgument, "'" + term + "' is not 'attribute=pattern'");
  }
  if (options.concurrency == 0 || options.max_in_flight == 0)
    return fail(Errc::kInvalidArgument, "concurrency and max_in_flight must not be 0");
  return std::make_unique<HttpChannel>(env, streams, std::move(options), std::move(http));
}

Result<std::unique_ptr<HttpClient>> make_channel_client(Env& env, const HttpChannelOptions& options) {
  return make_http_client(env, {.ca_file = options.ca_file,
                                .cert_file = options.cert_file,
                                .key_file = options.key_file,
                                .connect_timeout = options.connect_timeout,
                                .timeout = options.timeout,
                                .max_connections = options.concurrency});
}

}  // namespace sluice
