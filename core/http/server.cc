#include "http/server.h"

#include <exception>
#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace sluice {
namespace {

constexpr Logger kLog{"http"};

}  // namespace

/// One peer. Each of its callbacks may end in drop(), which destroys it: nothing is touched after.
class HttpServer::Connection final : public TransportHandler {
 public:
  Connection(HttpServer& server, uint64_t id, std::unique_ptr<Transport> transport)
      : server_(server),
        id_(id),
        transport_(std::move(transport)),
        parser_(server.options_.limits),
        timer_(server.timers_.make([this] { on_timeout(); })) {}

  void start() {
    timer_->start(server_.options_.request_timeout);
    transport_->start(*this);
  }

  void on_bytes(std::string_view bytes) override {
    if (phase_ == Phase::kEnding) return;
    if (phase_ == Phase::kHeldBack) {
      held_.append(bytes);  // what was under way when reading was paused
      return;
    }
    consume(bytes);
  }

  void on_drained() override {
    if (phase_ == Phase::kEnding) return finish();
    if (phase_ == Phase::kHeldBack) {
      phase_ = Phase::kWaiting;
      const std::string held = std::exchange(held_, {});
      transport_->resume_reading();
      return consume(held);
    }
    arm_timer();
  }

  void on_closed(const Error&) override { server_.drop(id_); }

 private:
  enum class Phase : uint8_t {
    kWaiting,   ///< for a request, or the rest of one
    kHeldBack,  ///< answers must go out before more is read
    kEnding,    ///< the last answer goes out, then the connection ends
  };

  void consume(std::string_view bytes) {
    while (!bytes.empty()) {
      const bool fresh = !parser_.in_request();
      switch (parser_.parse(bytes)) {
        case HttpRequestParser::Outcome::kMore:
          // The clock of a request runs from its first byte, whatever comes after.
          if (fresh && parser_.in_request()) timer_->start(server_.options_.request_timeout);
          return;
        case HttpRequestParser::Outcome::kBad:
          return refuse(parser_.error_status());
        case HttpRequestParser::Outcome::kRequest:
          break;
      }
      ++server_.counters_.requests;
      const HttpRequest& request = parser_.request();
      const bool keep_alive = request.keep_alive;
      send(server_.answer(request), request.method == HttpMethod::kHead, keep_alive);
      if (!keep_alive) return end();
      if (transport_->queued_bytes() > server_.options_.max_queued_bytes) {
        phase_ = Phase::kHeldBack;
        held_.assign(bytes);
        transport_->pause_reading();
        timer_->start(server_.options_.write_timeout);
        return;
      }
      arm_timer();
    }
  }

  void arm_timer() {
    const HttpServerOptions& options = server_.options_;
    if (parser_.in_request()) return;
    timer_->start(transport_->queued_bytes() > 0 ? options.write_timeout : options.idle_timeout);
  }

  void send(const HttpResponse& response, bool head, bool keep_alive) {
    append_http_response(out_, response, head, keep_alive);
    transport_->write(out_);
  }

  void refuse(uint16_t status) {
    ++server_.counters_.bad_requests;
    send(plain_response(status), false, false);
    end();
  }

  void end() {
    phase_ = Phase::kEnding;
    if (transport_->queued_bytes() == 0) return finish();
    transport_->pause_reading();
    timer_->start(server_.options_.write_timeout);
  }

  void finish() {
    transport_->close(true);
    server_.drop(id_);
  }

  void on_timeout() {
    const bool answer =
        phase_ == Phase::kWaiting && parser_.in_request() && transport_->queued_bytes() == 0;
    if (answer) return refuse(408);
    server_.drop(id_);  // idle, or the peer does not take its answer
  }

  HttpServer& server_;
  uint64_t id_;
  std::unique_ptr<Transport> transport_;
  HttpRequestParser parser_;
  std::unique_ptr<Timer> timer_;
  Phase phase_ = Phase::kWaiting;
  std::string held_;
  std::string out_;
};

HttpServer::HttpServer(Timers& timers, const HttpServerOptions& options)
    : timers_(timers), options_(options) {}
HttpServer::~HttpServer() = default;
void HttpServer::drop(uint64_t id) { connections_.erase(id); }

void HttpServer::add(std::string path, Handler handler) {
  SLUICE_CHECK(path.starts_with('/'));
  const bool fresh = routes_.emplace(std::move(path), std::move(handler)).second;
  SLUICE_CHECK(fresh);
}

Status HttpServer::listen(Network& network, const std::string& host, uint16_t port) {
  auto listener = network.listen(
      host, port, [this](std::unique_ptr<Transport> transport) { serve(std::move(transport)); });
  if (!listener) return std::unexpected(std::move(listener.error()));
  listeners_.push_back(std::move(*listener));
  return {};
}

uint16_t HttpServer::port() const { return listeners_.empty() ? 0 : listeners_.back()->port(); }

void HttpServer::serve(std::unique_ptr<Transport> transport) {
  if (connections_.size() >= options_.max_connections) {
    ++counters_.refused;
    return;
  }
  const uint64_t id = ++last_id_;
  Connection& connection =
      *connections_.emplace(id, std::make_unique<Connection>(*this, id, std::move(transport)))
           .first->second;
  connection.start();
}

HttpResponse HttpServer::answer(const HttpRequest& request) {
  const auto route = routes_.find(request.path);
  if (route == routes_.end()) return plain_response(404);
  if (request.method == HttpMethod::kOther) {
    HttpResponse response = plain_response(405);
    response.headers.emplace_back("Allow", "GET, HEAD");
    return response;
  }
  try {
    return route->second(request);
  } catch (const std::exception& error) {
    // A JSON library that throws must not take the loop down.
    SLUICE_LOG(kLog, kError, "handler failed path={} error={}", route->first, error.what());
    return plain_response(500);
  }
}

void HttpServer::collect(MetricSink& sink) const {
  const auto counter = [&sink](std::string_view name, std::string_view help, uint64_t value) {
    sink.counter(name, help, {}, static_cast<double>(value));
  };
  counter("sluice_http_requests_total", "HTTP requests read whole.", counters_.requests);
  counter("sluice_http_bad_requests_total",
          "HTTP requests that were malformed, too large or too slow.", counters_.bad_requests);
  counter("sluice_http_refused_connections_total",
          "HTTP connections closed at the connection limit.", counters_.refused);
  sink.gauge("sluice_http_connections", "Open HTTP connections.", {},
             static_cast<double>(connections_.size()));
}

}  // namespace sluice
