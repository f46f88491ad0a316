#include "http/server.h"

#include <exception>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "http/connection.h"

namespace sluice {
namespace {

constexpr Logger kLog{"http"};

}  // namespace

/// Fixed paths, answered at once.
class HttpServer::Pages final : public HttpService {
 public:
  void add(std::string path, Handler handler) {
    SLUICE_CHECK(path.starts_with('/'));
    const bool fresh = routes_.emplace(std::move(path), std::move(handler)).second;
    SLUICE_CHECK(fresh);
  }

  bool take(HttpRequest& request, HttpAnswer& answer) override {
    answer(page(request));
    return true;
  }

 private:
  HttpResponse page(const HttpRequest& request) {
    const auto route = routes_.find(request.path);
    if (route == routes_.end()) return plain_response(404);
    if (request.method != HttpMethod::kGet && request.method != HttpMethod::kHead) {
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

  std::map<std::string, Handler, std::less<>> routes_;
};

HttpServer::HttpServer(Timers& timers, const HttpServerOptions& options)
    : timers_(timers), options_(options), pages_(std::make_unique<Pages>()), service_(*pages_) {}
HttpServer::HttpServer(Timers& timers, const HttpServerOptions& options, HttpService& service)
    : timers_(timers), options_(options), service_(service) {}
HttpServer::~HttpServer() = default;
void HttpServer::drop(uint64_t id) { connections_.erase(id); }

void HttpServer::add(std::string path, Handler handler) {
  SLUICE_CHECK(pages_ != nullptr);
  pages_->add(std::move(path), std::move(handler));
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
  HttpConnection& connection =
      *connections_.emplace(id, std::make_unique<HttpConnection>(*this, id, std::move(transport)))
           .first->second;
  connection.start();
}

void HttpServer::offer_again() {
  // One that is held back anew goes to the end.
  while (!waiting_.empty()) {
    const uint64_t id = waiting_.front();
    waiting_.pop_front();
    const auto found = connections_.find(id);
    if (found == connections_.end() || found->second->offer_again()) continue;
    waiting_.push_front(id);
    return;
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
