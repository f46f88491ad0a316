#include "adapters/http_events/adapter.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "adapters/cloud_events/http_binding.h"
#include "adapters/cloud_events/json_format.h"
#include "adapters/cloud_events/nats_binding.h"
#include "adapters/http_events/admission.h"
#include "adapters/stream_ingest.h"
#include "adapters/subject_adapter.h"
#include "base/log.h"
#include "base/parse_number.h"
#include "http/server.h"

namespace sluice {
namespace {

constexpr Logger kLog{"adapters"};
constexpr std::chrono::seconds kStopDeadline{5};
constexpr size_t kMaxHeader_bytes = 16 * kKiB;
/// Of an event's attributes as headers of a message, and of its subject.
constexpr size_t kMaxAttributes_bytes = 60 * kKiB;
constexpr size_t kMaxSubject_bytes = 1024;
constexpr uint16_t kMessageTooLarge = 10054;

HttpResponse json_response(uint16_t status, const nlohmann::json& body) {
  return {.status = status,
          .content_type = "application/json",
          .body = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n",
          .headers = {}};
}

HttpResponse refusal(uint16_t status, std::string_view reason, std::string_view detail) {
  return json_response(status, {{"error", reason}, {"detail", detail}});
}

HttpServerOptions server_options(const HttpEventsOptions& options) {
  HttpServerOptions made;
  made.limits = {.max_header_bytes = kMaxHeader_bytes,
                 .max_body_bytes = std::max(options.max_event_bytes, options.max_batch_bytes),
                 .keep_body = true,
                 .stop_at_head = true};
  made.max_connections = options.max_connections;
  made.max_body_memory_bytes = std::max(made.max_body_memory_bytes, 2 * made.limits.max_body_bytes);
  made.request_timeout = options.request_timeout;
  made.idle_timeout = options.idle_timeout;
  made.busy_timeout = options.busy_timeout;
  made.answer_timeout = options.answer_timeout;
  return made;
}

StreamSpec stream_spec(const HttpEventsOptions& options) {
  StreamSpec spec;
  spec.name = options.stream;
  spec.description = "Events posted to the source " + options.name;
  spec.subjects = {options.subject + ".>"};
  const bool all = options.retention == EventRetention::kLimits;
  if (all || options.retention == EventRetention::kAge) spec.max_age = options.max_age;
  if (options.retention != EventRetention::kAge) spec.max_bytes = options.max_bytes;
  if (all) spec.max_msgs = options.max_events;
  if (options.retention == EventRetention::kInterest) spec.retention = StreamRetention::kInterest;
  spec.memory = options.memory;
  spec.duplicate_window = options.duplicate_window;
  if (spec.max_age.count() > 0) spec.duplicate_window = std::min(spec.duplicate_window, spec.max_age);
  return spec;
}

/// One request whose events are on their way into the stream.
struct Delivery {
  std::vector<CloudEvent> events;
  bool batch = false;
  std::string lane;
  size_t next = 0;  ///< the first event not yet offered
  size_t open = 0;  ///< offered, not settled
  size_t stored = 0;
  size_t duplicates = 0;
  PubAck last;
  std::optional<Error> failed;
  HttpAnswer answer;

  bool settled() const { return open == 0 && next == events.size(); }
};

class HttpEvents final : public Adapter, private HttpService {
 public:
  HttpEvents(Env& env, StreamClient& target, HttpEventsOptions options)
      : env_(env),
        options_(std::move(options)),
        authentication_(options_.authentication),
        rate_(env.clock, options_.rate, options_.burst),
        ingest_(env, target,
                {options_.name, options_.max_in_flight, StreamIngestOptions{}.max_in_flight_bytes,
                 StreamIngestOptions{}.ack_timeout}),
        gate_(env.executor),
        tls_(env.clock, env.timers, gate_),
        server_(env.timers, server_options(options_), *this),
        stop_timer_(env.timers.make([this] { finish_stop(); })) {
    ingest_.on_room([this] { on_room(); });
  }

  Status load_tls() {
    if (!options_.tls.enabled()) return {};
    TlsListenerOptions tls = options_.tls;
    tls.handshake_first = true;
    tls.private_keys_only = true;
    return tls_.load(tls, false);
  }

  std::string_view name() const override { return options_.name; }
  std::string_view kind() const override { return "http_events"; }

  void start(std::move_only_function<void(Status)> done) override {
    ingest_.prepare(stream_spec(options_), [this, told = std::move(done)](Status ready) mutable {
      // A target that is away for now does not keep the senders out: the window holds some.
      if ((ready || may_pass(ready.error())) && !stopping_) ready = listen();
      failed_ = !ready;
      told(std::move(ready));
    });
  }

  void stop(std::move_only_function<void()> done) override {
    stopping_ = true;
    stop_done_ = std::move(done);
    listener_.reset();
    server_.offer_again();  // who waits is told
    const bool busy = partial_ || ingest_.in_flight() != 0;
    stop_timer_->start(busy ? std::chrono::nanoseconds(kStopDeadline) : std::chrono::nanoseconds(0));
  }

  AdapterHealth health() const override {
    if (stopping_ || failed_) return AdapterHealth::kStopped;
    if (!listener_) return AdapterHealth::kStarting;
    return ingest_.healthy() ? AdapterHealth::kRunning : AdapterHealth::kDegraded;
  }

  std::string trouble() const override { return ingest_.trouble(); }

  const AdapterFigures& figures() const override {
    figures_.duplicates = ingest_.figures().duplicates;
    figures_.in_flight = ingest_.in_flight();
    return figures_;
  }

  std::string place() const override {
    if (!listener_) return {};
    const bool six = options_.host.contains(':');
    return fmt::format("{}://{}{}{}:{}{}", tls_.enabled() ? "https" : "http", six ? "[" : "", options_.host,
                       six ? "]" : "", listener_->port(), options_.path);
  }

 private:
  Status listen() {
    auto listener = env_.network.listen(options_.host, options_.port, [this](std::unique_ptr<Transport> peer) {
      if (tls_.enabled() && !tls_.admit()) return;  // closed as it comes
      server_.serve(tls_.enabled() ? tls_.wrap(std::move(peer)) : std::move(peer));
    });
    if (!listener) return std::unexpected(listener.error());
    listener_ = std::move(*listener);
    SLUICE_LOG(kLog, kInfo, "started adapter={} type=http_events place={} stream={}", options_.name, place(),
               options_.stream);
    return {};
  }

  // ---- the door: settled by the head alone

  HttpResponse turn_away(HttpResponse response, const char* reason) {
    ++figures_.refused[reason];
    return response;
  }

  HttpResponse unauthorized(const char* reason) {
    HttpResponse response = refusal(401, reason, "this source does not know the sender");
    if (const std::string challenge = authentication_.challenge(); !challenge.empty())
      response.headers.emplace_back("WWW-Authenticate", challenge);
    return turn_away(std::move(response), reason);
  }

  std::optional<HttpResponse> refuse_body(const HttpRequest& request) override {
    if (stopping_) return busy();
    if (request.path != options_.path) return refusal(404, "not_found", "no event source here");
    if (request.method == HttpMethod::kOptions) return too_large(ContentMode::kBinary);
    if (request.method != HttpMethod::kPost) return wrong_method();
    return refuse_sender(request);
  }

  HttpResponse wrong_method() {
    HttpResponse response = refusal(405, "bad_method", "events are posted");
    response.headers.emplace_back("Allow", "POST, OPTIONS");
    return response;
  }

  std::optional<HttpResponse> refuse_sender(const HttpRequest& request) {
    if (!authentication_.admits_head(request)) return unauthorized("unauthorized");
    if (!is_allowed_origin(request, options_.allowed_origins))
      return turn_away(refusal(403, "bad_origin", "this origin may not send here"), "bad_origin");
    const auto encoding = request.header("content-encoding");
    const ContentMode mode = content_mode(request.header("content-type").value_or(""));
    if (mode == ContentMode::kUnsupported || (encoding && *encoding != "identity"))
      return turn_away(refusal(415, "bad_media_type", "binary mode, application/cloudevents+json and "
                                                      "application/cloudevents-batch+json are read, uncompressed"),
                       "bad_media_type");
    const auto length = request.header("content-length");
    if (length && parse_decimal<uint64_t>(*length).value_or(0) > size_limit(mode)) return too_large(mode);
    if (const uint64_t wait = rate_.wait_seconds(); wait > 0) {
      HttpResponse response = refusal(429, "rate_limited", "more events than this source takes in a second");
      response.headers.emplace_back("Retry-After", std::to_string(wait));
      return turn_away(std::move(response), "rate_limited");
    }
    return std::nullopt;
  }

  size_t size_limit(ContentMode mode) const {
    return mode == ContentMode::kBatch ? options_.max_batch_bytes : options_.max_event_bytes;
  }

  HttpResponse too_large(ContentMode mode) {
    return turn_away(refusal(413, "too_large", fmt::format("at most {} bytes", size_limit(mode))), "too_large");
  }

  // ---- taking

  bool take(HttpRequest& request, HttpAnswer& answer) override {
    if (auto at_once = answer_at_once(request)) {
      answer(std::move(*at_once));
      return true;
    }
    if (partial_ || full_) return false;
    if (!authentication_.admits_body(request)) {
      answer(unauthorized("bad_signature"));
      return true;
    }
    const size_t bytes = request.body.size();
    auto delivery = std::make_shared<Delivery>();
    if (auto fault = read_events(request, *delivery)) return reject(request, *fault, answer);
    delivery->lane = delivery->batch ? "" : fmt::format("connection {}", request.connection);
    const size_t count = delivery->events.size();
    if (!offer_rest(delivery)) {
      if (delivery->next == 0) {  // nothing was taken
        if (!delivery->batch) give_back(request, *delivery);
        return false;
      }
      partial_ = delivery;
    }
    figures_.received += count;
    figures_.received_bytes += bytes;
    rate_.count(std::max<size_t>(count, 1));
    delivery->answer = std::move(answer);
    if (delivery->settled()) conclude(*delivery);  // an empty batch
    return true;
  }

  std::optional<HttpResponse> answer_at_once(const HttpRequest& request) {
    if (stopping_) return busy();
    if (request.path != options_.path) return refusal(404, "not_found", "no event source here");
    if (request.method == HttpMethod::kOptions)
      return webhook_handshake(request, options_.allowed_origins, options_.rate);
    if (request.method != HttpMethod::kPost) return wrong_method();
    const ContentMode mode = content_mode(request.header("content-type").value_or(""));
    if (request.body.size() > size_limit(mode)) return too_large(mode);
    // Without a body nobody has looked at the head yet.
    return request.body.empty() ? refuse_sender(request) : std::nullopt;
  }

  /// @return why the request holds no events. Binary data is moved out of the request.
  std::optional<EventFault> read_events(HttpRequest& request, Delivery& delivery) {
    switch (content_mode(request.header("content-type").value_or(""))) {
      case ContentMode::kBinary: {
        auto event = read_binary_event(request.headers, {});
        if (!event) return event.error();
        if (auto fault = unfit(*event)) return fault;
        event->data = std::move(request.body);
        delivery.events.push_back(*std::move(event));
        return std::nullopt;
      }
      case ContentMode::kStructured: {
        auto event = read_json_event(request.body);
        if (!event) return event.error();
        delivery.events.push_back(*std::move(event));
        break;
      }
      case ContentMode::kBatch: {
        auto events = read_json_batch(request.body, options_.max_batch_count);
        if (!events) return events.error();
        delivery.events = *std::move(events);
        delivery.batch = true;
        break;
      }
      case ContentMode::kUnsupported:
        return EventFault{"bad_media_type", "an event format that is not read here"};
    }
    for (const CloudEvent& event : delivery.events)
      if (auto fault = unfit(event)) return fault;
    return std::nullopt;
  }

  /// What CloudEvents allows and a message can't carry.
  std::optional<EventFault> unfit(const CloudEvent& event) const {
    size_t size = 0;
    for (const auto& [name, value] : event.attributes) size += name.size() + 3 * value.size() + 8;
    if (size > kMaxAttributes_bytes) return EventFault{"too_large", "the attributes are too large"};
    if (options_.subject.size() + 2 * event.get("type").size() > kMaxSubject_bytes)
      return EventFault{"too_large", "the type is too long"};
    if (event.data.size() > options_.max_event_bytes)
      return EventFault{"too_large", fmt::format("an event has at most {} bytes", options_.max_event_bytes)};
    return std::nullopt;
  }

  static void give_back(HttpRequest& request, Delivery& delivery) {
    if (content_mode(request.header("content-type").value_or("")) == ContentMode::kBinary)
      request.body = std::move(delivery.events.front().data);
  }

  /// @return false when the window is full.
  bool offer_rest(const std::shared_ptr<Delivery>& delivery) {
    while (delivery->next < delivery->events.size()) {
      const CloudEvent& event = delivery->events[delivery->next];
      const std::string subject = options_.subject + "." + type_tokens(event.get("type"));
      const std::string headers = write_nats_headers(event);
      const Offer offer =
          ingest_.offer({subject, headers, event.data, event_msg_id(event), delivery->lane},
                        [this, delivery](Result<PubAck> stored) { on_stored(*delivery, std::move(stored)); });
      if (offer == Offer::kFull) {
        hold();
        return false;
      }
      ++delivery->next;
      ++delivery->open;
    }
    return true;
  }

  void hold() {
    if (std::exchange(full_, true)) return;
    ++figures_.paused;
  }

  bool reject(const HttpRequest& request, const EventFault& fault, HttpAnswer& answer) {
    auto told = std::make_shared<HttpAnswer>();
    const Offer offer = ingest_.dead_letter(
        {fault.reason, fault.detail, "http:" + options_.path, request.body},
        [this, told, response = refusal(400, fault.reason, fault.detail)](const Result<PubAck>& kept) mutable {
          if (*told) (*told)(kept || kept.error().code != Errc::kClosed ? std::move(response) : busy());
          check_stop();
        });
    if (offer == Offer::kFull) {
      hold();
      return false;
    }
    *told = std::move(answer);
    ++figures_.received;
    figures_.received_bytes += request.body.size();
    ++figures_.rejected[std::string(fault.reason)];
    rate_.count(1);
    SLUICE_LOG(kLog, kDebug, "rejected adapter={} reason={} detail=\"{}\"", options_.name, fault.reason,
               fault.detail);
    return true;
  }

  // ---- settling

  void on_stored(Delivery& delivery, Result<PubAck> stored) {
    --delivery.open;
    if (stored) {
      ++figures_.accepted;
      ++delivery.stored;
      if (stored->duplicate) ++delivery.duplicates;
      delivery.last = std::move(*stored);
    } else {
      if (stored.error().code != Errc::kClosed) ++figures_.rejected["refused"];
      delivery.failed = std::move(stored.error());
    }
    if (delivery.settled()) conclude(delivery);
    check_stop();
  }

  /// The connection may end in it, and the next request may be taken in it.
  void conclude(Delivery& delivery) {
    if (!delivery.answer) return;
    HttpAnswer answer = std::move(delivery.answer);
    if (delivery.failed) return answer(failure_response(*delivery.failed));
    nlohmann::json body = {{"stream", options_.stream}};
    if (delivery.batch) {
      body["stored"] = delivery.stored;
      body["duplicates"] = delivery.duplicates;
    } else {
      body["seq"] = delivery.last.seq.value();
      if (delivery.last.duplicate) body["duplicate"] = true;
    }
    answer(json_response(200, body));
  }

  HttpResponse failure_response(const Error& why) {
    if (why.code == Errc::kClosed) return busy();
    const uint16_t status = why.api_code == kMessageTooLarge ? 413 : 422;
    return refusal(status, "refused", "the stream refused it; it is kept in SLUICE_DLQ");
  }

  void on_room() {
    full_ = false;
    if (partial_) {
      const auto delivery = partial_;
      if (!offer_rest(delivery)) return;
      partial_.reset();
    }
    server_.offer_again();
  }

  void check_stop() {
    if (stop_timer_->active() && ingest_.in_flight() == 0 && !partial_)
      stop_timer_->start(std::chrono::nanoseconds(0));
  }

  void finish_stop() {
    if (const size_t left = ingest_.in_flight(); left != 0)
      SLUICE_LOG(kLog, kWarn, "stopped with messages not stored adapter={} count={}", options_.name, left);
    ingest_.stop();
    partial_.reset();
    if (auto done = std::exchange(stop_done_, nullptr)) done();
  }

  Env& env_;
  const HttpEventsOptions options_;
  const RequestAuthentication authentication_;
  RateLimit rate_;
  mutable AdapterFigures figures_;
  bool stopping_ = false;
  bool failed_ = false;
  bool full_ = false;                  ///< the window is: on_room() ends it
  std::shared_ptr<Delivery> partial_;  ///< a batch of which the window took only some
  StreamIngest ingest_;
  HandshakeGate gate_;
  TlsAcceptor tls_;
  HttpServer server_;
  std::unique_ptr<Listener> listener_;
  std::move_only_function<void()> stop_done_;
  std::unique_ptr<Timer> stop_timer_;
};

}  // namespace

Result<std::unique_ptr<Adapter>> make_http_events(Env& env, StreamClient& target,
                                                  HttpEventsOptions options) {
  if (options.stream.empty()) options.stream = "eventsource-" + options.name + "-stream";
  if (options.subject.empty()) options.subject = "eventsource." + options.name;
  if (!is_adapter_subject(options.name, false) || options.name.contains('.'))
    return fail(Errc::kInvalidArgument, "the adapter's name must be one subject token");
  if (!is_adapter_subject(options.subject, false))
    return fail(Errc::kInvalidArgument, "'" + options.subject + "' is not a subject");
  if (!options.path.starts_with('/'))
    return fail(Errc::kInvalidArgument, "the path must begin with '/'");
  if (options.max_in_flight == 0)
    return fail(Errc::kInvalidArgument, "max_in_flight must not be 0");
  auto adapter = std::make_unique<HttpEvents>(env, target, std::move(options));
  if (auto loaded = adapter->load_tls(); !loaded) return std::unexpected(loaded.error());
  return adapter;
}

}  // namespace sluice
