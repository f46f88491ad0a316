#include "monitor/monitor.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>

#include "base/parse_number.h"
#include "base/time_format.h"
#include "consumer/consumer.h"
#include "monitor/prometheus_text.h"
#include "server/version.h"
#include "stream/stream_info.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

// The reference indents by two blanks; people read these pages in a browser.
HttpResponse page(const Json& json) {
  HttpResponse response;
  response.body = json.dump(2, ' ', false, Json::error_handler_t::replace);
  response.headers.emplace_back("Access-Control-Allow-Origin", "*");
  return response;
}

HttpResponse bad_request(std::string why) {
  HttpResponse response;
  response.status = 400;
  response.content_type = "text/plain";
  response.body = std::move(why);
  return response;
}

/// "1d2h3m4s", largest unit first, as the reference shows uptimes.
std::string uptime_text(std::chrono::nanoseconds up) {
  int64_t s = std::chrono::duration_cast<std::chrono::seconds>(up).count();
  std::string out;
  auto unit = [&](int64_t size, char name) {
    if (s >= size || !out.empty()) out += fmt::format("{}{}", s / size, name);
    s %= size;
  };
  unit(86'400, 'd');
  unit(3'600, 'h');
  unit(60, 'm');
  return out + fmt::format("{}s", s);
}

std::optional<bool> flag(const HttpRequest& request, std::string_view name) {
  auto value = request.param(name);
  if (!value || *value == "0" || *value == "false") return false;
  if (*value == "1" || *value == "true" || *value == "") return true;
  return std::nullopt;
}

/// `otherwise` when it is not given; nullopt when it is no number.
template <class Number>
std::optional<Number> number(const HttpRequest& request, std::string_view name, Number otherwise) {
  auto value = request.param(name);
  if (!value || value->empty()) return otherwise;
  return parse_decimal<Number>(*value);
}

constexpr int64_t kConnectionsPage_count = 1024;

std::string_view reason_of(const ConnectionInfo& c) { return c.reason ? to_string(*c.reason) : std::string_view(); }

using Before = bool (*)(const ConnectionInfo&, const ConnectionInfo&);
struct Sort {
  std::string_view name;
  Before before;
};
// Counters are sorted from large to small, ids and times from small to large.
constexpr Sort kSorts[] = {
    {"cid", [](const ConnectionInfo& a, const ConnectionInfo& b) { return a.cid < b.cid; }},
    {"start", [](const ConnectionInfo& a, const ConnectionInfo& b) { return a.start < b.start; }},
    {"subs", [](const ConnectionInfo& a, const ConnectionInfo& b) { return a.subscriptions > b.subscriptions; }},
    {"pending", [](const ConnectionInfo& a, const ConnectionInfo& b) { return a.pending_bytes > b.pending_bytes; }},
    {"msgs_to", [](const ConnectionInfo& a, const ConnectionInfo& b) { return a.out_msgs > b.out_msgs; }},
    {"msgs_from", [](const ConnectionInfo& a, const ConnectionInfo& b) { return a.in_msgs > b.in_msgs; }},
    {"bytes_to", [](const ConnectionInfo& a, const ConnectionInfo& b) { return a.out_bytes > b.out_bytes; }},
    {"bytes_from", [](const ConnectionInfo& a, const ConnectionInfo& b) { return a.in_bytes > b.in_bytes; }},
    {"last", [](const ConnectionInfo& a, const ConnectionInfo& b) { return a.last_activity > b.last_activity; }},
    {"idle", [](const ConnectionInfo& a, const ConnectionInfo& b) { return a.idle > b.idle; }},
    {"uptime", [](const ConnectionInfo& a, const ConnectionInfo& b) { return a.uptime > b.uptime; }},
    {"stop", [](const ConnectionInfo& a, const ConnectionInfo& b) { return a.stop > b.stop; }},
    {"reason", [](const ConnectionInfo& a, const ConnectionInfo& b) { return reason_of(a) < reason_of(b); }},
    {"rtt", [](const ConnectionInfo& a, const ConnectionInfo& b) { return a.rtt > b.rtt; }},
};

Json connection_json(const ConnectionInfo& c) {
  Json j = {{"cid", c.cid}, {"kind", "Client"}, {"type", "nats"}, {"ip", c.ip}, {"port", c.port},
            {"start", format_rfc3339(c.start)}, {"last_activity", format_rfc3339(c.last_activity)}};
  if (c.reason) {
    j["stop"] = format_rfc3339(c.stop);
    j["reason"] = to_string(*c.reason);
  }
  if (c.rtt.count() != 0) j["rtt"] = format_go_duration(c.rtt);
  j["uptime"] = uptime_text(c.uptime);
  j["idle"] = uptime_text(c.idle);
  j["pending_bytes"] = c.pending_bytes;
  j["in_msgs"] = c.in_msgs;
  j["out_msgs"] = c.out_msgs;
  j["in_bytes"] = c.in_bytes;
  j["out_bytes"] = c.out_bytes;
  j["subscriptions"] = c.subscriptions;
  if (!c.name.empty()) j["name"] = c.name;
  if (!c.lang.empty()) j["lang"] = c.lang;
  if (!c.version.empty()) j["version"] = c.version;
  if (!c.user.empty()) j["authorized_user"] = c.user;
  j["account"] = kGlobalAccount;
  return j;
}

struct Totals {
  uint64_t streams = 0, consumers = 0, messages = 0, bytes = 0, file_bytes = 0, memory_bytes = 0;
};

Totals totals_of(Streams& streams, Consumers& consumers) {
  Totals t;
  streams.each([&](Stream& stream) {
    StreamState state = stream.store().state();
    ++t.streams;
    t.consumers += consumers.count(stream.config().name);
    t.messages += state.messages;
    t.bytes += state.bytes;
    (stream.config().storage == StorageKind::kFile ? t.file_bytes : t.memory_bytes) += state.bytes;
  });
  return t;
}

}  // namespace

Monitor::Monitor(Env& env, MonitorSubject subject, std::function<ProcessFigures()> process)
    : env_(env),
      subject_(std::move(subject)),
      process_(std::move(process)),
      http_(env.timers, HttpServerOptions{}),
      last_cpu_at_(env.clock.now()) {
  pages_ = {"/varz", "/connz", "/jsz", "/healthz", "/metrics"};
  http_.add("/", [this](const HttpRequest&) { return index(); });
  http_.add("/varz", [this](const HttpRequest&) { return varz(); });
  http_.add("/connz", [this](const HttpRequest& request) { return connz(request); });
  http_.add("/jsz", [this](const HttpRequest& request) { return jsz(request); });
  http_.add("/healthz", [this](const HttpRequest& request) { return healthz(request); });
  http_.add("/metrics", [this](const HttpRequest&) { return metrics(); });
}

Monitor::~Monitor() = default;

Status Monitor::listen(const std::string& host, uint16_t port) {
  host_ = host;
  return http_.listen(env_.network, host, port);
}

void Monitor::add_metrics(std::function<void(MetricSink&)> collect) { metrics_.push_back(std::move(collect)); }
void Monitor::add_health(std::function<std::string()> check) { checks_.push_back(std::move(check)); }

void Monitor::add_page(std::string path, std::function<std::string()> json) {
  pages_.push_back(path);
  http_.add(std::move(path), [json = std::move(json)](const HttpRequest&) {
    HttpResponse response;
    response.body = json();
    return response;
  });
}

HttpResponse Monitor::index() {
  HttpResponse response;
  response.content_type = "text/html; charset=utf-8";
  response.body = fmt::format("<!DOCTYPE html><html lang=\"en\"><title>Sluice {}</title><h1>Sluice {}</h1><ul>",
                              kSluiceVersion, kSluiceVersion);
  for (const std::string& path : pages_) {
    response.body += fmt::format("<li><a href=\".{}\">{}</a></li>", path, path);
  }
  response.body += "</ul></html>\n";
  return response;
}

HttpResponse Monitor::varz() {
  Server& server = subject_.server;
  const ServerOptions& o = server.options();
  const ServerCounters& c = server.counters();
  ProcessFigures process = process_();
  MonoTime now = env_.clock.now();
  double span_s = std::chrono::duration<double>(now - last_cpu_at_).count();
  double cpu = span_s > 0 ? (process.cpu_seconds - last_cpu_s_) / span_s * 100 : 0;
  last_cpu_s_ = process.cpu_seconds;
  last_cpu_at_ = now;
  WallNanos wall = env_.clock.wall();
  Json j = {{"server_id", server.id()},
            {"server_name", server.name()},
            {"version", kCompatVersion},
            {"sluice_version", kSluiceVersion},
            {"proto", 1},
            {"go", "none"},
            {"host", o.host},
            {"port", server.port()}};
  if (server.auth_required()) j["auth_required"] = true;
  j.update({{"max_connections", o.max_connections},
            {"max_subscriptions", o.max_subscriptions},
            {"ping_interval", o.ping_interval.count()},
            {"ping_max", o.ping_max},
            {"http_host", host_},
            {"http_port", port()},
            {"http_base_path", ""},
            {"https_port", 0},
            {"auth_timeout", std::chrono::duration<double>(o.auth_timeout).count()},
            {"max_control_line", o.max_control_line},
            {"max_payload", o.max_payload},
            {"max_pending", o.max_pending},
            {"cluster", Json::object()},
            {"gateway", Json::object()},
            {"leaf", Json::object()},
            {"mqtt", Json::object()},
            {"websocket", Json::object()}});
  Json jetstream = Json::object();
  if (subject_.streams != nullptr) {
    Totals t = totals_of(*subject_.streams, *subject_.consumers);
    jetstream["config"] = {{"max_memory", subject_.max_memory_bytes},
                           {"max_storage", subject_.max_file_bytes},
                           {"store_dir", subject_.store_dir},
                           {"strict", true}};
    jetstream["stats"] = {{"memory", t.memory_bytes},   {"storage", t.file_bytes},
                          {"reserved_memory", 0},       {"reserved_storage", 0},
                          {"accounts", 1},              {"ha_assets", 0}};
  }
  j.update({{"jetstream", std::move(jetstream)},
            {"write_deadline", o.write_deadline.count()},
            {"start", format_rfc3339(server.start_time())},
            {"now", format_rfc3339(wall)},
            {"uptime", uptime_text(std::chrono::nanoseconds(wall - server.start_time()))},
            {"mem", process.resident_bytes},
            {"cores", std::thread::hardware_concurrency()},
            {"cpu", cpu},
            {"connections", server.connection_count()},
            {"total_connections", c.total_connections},
            {"routes", 0},
            {"remotes", 0},
            {"leafnodes", 0},
            {"in_msgs", c.in_msgs},
            {"out_msgs", c.out_msgs},
            {"in_bytes", c.in_bytes},
            {"out_bytes", c.out_bytes},
            {"slow_consumers", c.slow_consumers_pending + c.slow_consumers_deadline},
            {"stale_connections", c.stale_connections},
            {"stalled_clients", c.read_pauses},
            {"subscriptions", server.subscription_count()}});
  return page(j);
}

HttpResponse Monitor::connz(const HttpRequest& request) {
  auto offset = number<int64_t>(request, "offset", 0);
  auto limit = number<int64_t>(request, "limit", kConnectionsPage_count);
  if (!offset || !limit) return bad_request("offset and limit must be numbers");
  if (*offset < 0) offset = 0;  // both as the reference reads them
  if (*limit <= 0) limit = kConnectionsPage_count;
  std::string_view sort = request.param("sort").value_or("cid");
  const Sort* by = std::find_if(std::begin(kSorts), std::end(kSorts), [&](const Sort& s) { return s.name == sort; });
  if (by == std::end(kSorts)) return bad_request(fmt::format("invalid sorting option: {}", sort));
  std::string_view state = request.param("state").value_or("open");
  if (state != "open" && state != "closed" && state != "any") {
    return bad_request(fmt::format("invalid state: {}", state));
  }
  if ((sort == "stop" || sort == "reason") && state != "closed") {
    return bad_request(fmt::format("sort by {} only valid on closed connections", sort));
  }
  for (std::string_view unknown : {"subs", "user", "acc", "mqtt_client", "filter_subject"}) {
    auto value = request.param(unknown);
    if (value && *value != "0" && *value != "false") {
      return bad_request(fmt::format("'{}' is not supported by this version", unknown));
    }
  }
  std::vector<ConnectionInfo> all;
  if (state != "closed") all = subject_.server.connections();
  if (state != "open") {
    const auto& closed = subject_.server.closed_connections();
    all.insert(all.end(), closed.begin(), closed.end());
  }
  if (request.param("cid")) {
    auto cid = number<uint64_t>(request, "cid", 0);
    if (!cid) return bad_request("cid must be a number");
    std::erase_if(all, [&](const ConnectionInfo& c) { return c.cid != *cid; });
  }
  std::stable_sort(all.begin(), all.end(), by->before);
  Json shown = Json::array();
  size_t begin = std::min(static_cast<size_t>(*offset), all.size());
  size_t end = std::min(all.size(), begin + std::min(static_cast<size_t>(*limit), all.size()));
  for (size_t i = begin; i < end; ++i) shown.push_back(connection_json(all[i]));
  return page({{"server_id", subject_.server.id()},
               {"now", format_rfc3339(env_.clock.wall())},
               {"num_connections", shown.size()},
               {"total", all.size()},
               {"offset", *offset},
               {"limit", *limit},
               {"connections", std::move(shown)}});
}

HttpResponse Monitor::jsz(const HttpRequest& request) {
  Json j = {{"server_id", subject_.server.id()}, {"now", format_rfc3339(env_.clock.wall())}};
  if (subject_.streams == nullptr) {
    j["disabled"] = true;
    return page(j);
  }
  auto accounts = flag(request, "accounts");
  auto streams = flag(request, "streams");
  auto consumers = flag(request, "consumers");
  auto config = flag(request, "config");
  if (!accounts || !streams || !consumers || !config) return bad_request("a flag must be true or false");
  const bool with_streams = *streams || *consumers;
  Totals t = totals_of(*subject_.streams, *subject_.consumers);
  j["config"] = {{"max_memory", subject_.max_memory_bytes},
                 {"max_storage", subject_.max_file_bytes},
                 {"store_dir", subject_.store_dir},
                 {"strict", true}};
  j.update({{"memory", t.memory_bytes}, {"storage", t.file_bytes}, {"reserved_memory", 0}, {"reserved_storage", 0},
            {"accounts", 1}, {"ha_assets", 0}, {"streams", t.streams}, {"consumers", t.consumers},
            {"messages", t.messages}, {"bytes", t.bytes}});
  if (!*accounts && !with_streams) return page(j);
  Json account = {{"name", kGlobalAccount}, {"id", kGlobalAccount}, {"memory", t.memory_bytes},
                  {"storage", t.file_bytes}};
  if (with_streams) {
    Json details = Json::array();
    subject_.streams->each([&](Stream& stream) {
      Json detail = {{"name", stream.config().name}, {"created", format_rfc3339(stream.created())}};
      if (*config) detail["config"] = Json::parse(stream_config_json(stream.config(), nullptr));
      StreamInfoShown shown;
      shown.consumer_count = subject_.consumers->count(stream.config().name);
      detail["state"] = Json::parse(stream_state_json(stream, shown));
      if (*consumers) {
        Json list = Json::array();
        subject_.consumers->each(stream.config().name, [&](Consumer& consumer) {
          list.push_back(Json::parse(consumer_info_json(consumer, {})));
        });
        detail["consumer_detail"] = std::move(list);
      }
      details.push_back(std::move(detail));
    });
    account["stream_detail"] = std::move(details);
  }
  j["account_details"] = Json::array({std::move(account)});
  j["total"] = 1;
  return page(j);
}

std::string Monitor::trouble() const {
  if (subject_.store != nullptr) {
    if (auto writable = subject_.store->writable(); !writable) {
      return "store takes no messages: " + writable.error().detail;
    }
  }
  if (subject_.server.draining()) return "the server is shutting down";
  for (const auto& check : checks_) {
    if (std::string wrong = check(); !wrong.empty()) return wrong;
  }
  return {};
}

/// What /healthz was asked about and is not there. The account may be left out: there is one.
std::optional<HttpResponse> Monitor::missing_asset(const HttpRequest& request) const {
  auto answer = [](uint16_t status, std::string_view word, std::string why) {
    HttpResponse response;
    response.status = status;
    response.body =
        Json{{"status", word}, {"error", std::move(why)}}.dump(-1, ' ', false, Json::error_handler_t::replace);
    return response;
  };
  auto account = request.param("account");
  if (account && !account->empty() && *account != kGlobalAccount) {
    return answer(404, "unavailable", fmt::format("JetStream account \"{}\" not found", *account));
  }
  auto stream = request.param("stream").value_or("");
  auto consumer = request.param("consumer").value_or("");
  if (stream.empty()) {
    if (consumer.empty()) return std::nullopt;
    return answer(400, "error", "\"stream\" must not be empty when checking consumer health");
  }
  if (subject_.streams == nullptr || subject_.streams->find(stream) == nullptr) {
    return answer(404, "unavailable",
                  fmt::format("JetStream stream \"{}\" not found on account \"{}\"", stream, kGlobalAccount));
  }
  if (consumer.empty() || subject_.consumers->find(stream, consumer) != nullptr) return std::nullopt;
  return answer(404, "unavailable",
                fmt::format("JetStream consumer \"{}\" not found for stream \"{}\" on account \"{}\"", consumer,
                            stream, kGlobalAccount));
}

HttpResponse Monitor::healthz(const HttpRequest& request) {
  if (auto missing = missing_asset(request)) return *std::move(missing);
  HttpResponse response;
  std::string wrong = trouble();
  if (wrong.empty()) {
    response.body = R"({"status":"ok"})";
  } else {
    response.status = 503;
    response.body = Json{{"status", "unavailable"}, {"error", wrong}}.dump();
  }
  return response;
}

HttpResponse Monitor::metrics() {
  PrometheusText out;
  ProcessFigures process = process_();
  out.gauge("process_resident_memory_bytes", "Resident memory of the process", {},
            static_cast<double>(process.resident_bytes));
  out.counter("process_cpu_seconds_total", "User and system time of the process", {}, process.cpu_seconds);
  out.gauge("sluice_build_info", "1; the versions are the labels",
            {{"version", kSluiceVersion}, {"compatibility_version", kCompatVersion}}, 1);
  subject_.server.collect(out);
  if (subject_.store != nullptr) subject_.store->collect(out);
  if (subject_.streams != nullptr) subject_.streams->collect(out);
  if (subject_.consumers != nullptr) subject_.consumers->collect(out);
  http_.collect(out);
  for (const auto& collect : metrics_) collect(out);
  HttpResponse response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = out.text();
  return response;
}

}  // namespace sluice
