// /varz: the server as a whole.
#include <algorithm>
#include <thread>

#include "base/time_format.h"
#include "monitor/page_json.h"
#include "server/version.h"

namespace sluice {
namespace {

PageJson kinds(uint64_t clients) {
  return {{"clients", clients}, {"routes", 0}, {"gateways", 0}, {"leafs", 0}};
}

void add_identity(PageJson& j, const Server& server) {
  const ServerOptions& o = server.options();
  j.update({{"server_id", server.id()},
            {"server_name", server.name()},
            {"version", kCompatVersion},
            {"sluice_version", kSluiceVersion},
            {"proto", 1},
            {"go", "none"},
            {"host", o.host},
            {"port", server.port()}});
  if (server.auth_required()) j["auth_required"] = true;
  if (o.tls.enabled()) j["tls_required"] = !o.allow_non_tls;
}

void add_limits(PageJson& j, const ServerOptions& o, const MonitorAddress& address) {
  j["max_connections"] = o.max_connections;
  if (o.max_subscriptions != 0) j["max_subscriptions"] = o.max_subscriptions;
  j.update({{"ping_interval", o.ping_interval.count()},
            {"ping_max", o.ping_max},
            {"http_host", address.host},
            {"http_port", address.port},
            {"http_base_path", address.base_path},
            {"https_port", 0},
            {"auth_timeout", std::chrono::duration<double>(o.auth_timeout).count()},
            {"max_control_line", o.max_control_line},
            {"max_payload", o.max_payload},
            {"max_pending", o.max_pending},
            {"cluster", PageJson::object()},
            {"gateway", PageJson::object()},
            {"leaf", PageJson::object()},
            {"mqtt", PageJson::object()},
            {"websocket", PageJson::object()}});
  if (const WebSocketOptions& ws = o.websocket; ws.enabled) {
    j["websocket"] = {{"host", ws.host},
                      {"port", ws.port},
                      {"no_tls", ws.no_tls},
                      {"same_origin", ws.same_origin},
                      {"allowed_origins", ws.allowed_origins},
                      {"compression", ws.compression},
                      {"handshake_timeout", ws.handshake_timeout.count()}};
  }
}

void add_traffic(PageJson& j, const Server& server) {
  const ServerCounters& c = server.counters();
  j.update({{"connections", server.connection_count()},
            {"total_connections", c.total_connections},
            {"routes", 0},
            {"remotes", 0},
            {"leafnodes", 0},
            {"in_msgs", c.in_msgs},
            {"in_bytes", c.in_bytes},
            {"in_client_msgs", c.in_msgs},
            {"in_client_bytes", c.in_bytes},
            {"out_msgs", c.out_msgs},
            {"out_bytes", c.out_bytes},
            {"out_client_msgs", c.out_msgs},
            {"out_client_bytes", c.out_bytes},
            {"slow_consumers", c.slow_consumers_pending + c.slow_consumers_deadline},
            {"stale_connections", c.stale_connections},
            {"stalled_clients", c.read_pauses},
            {"subscriptions", server.subscription_count()}});
}

}  // namespace

PageAnswer MonitorPages::varz(const PageQuery& /*query*/) {
  const Server& server = subject_.server;
  const ServerOptions& o = server.options();
  const ProcessFigures process = process_();
  const MonoTime now = env_.clock.now();
  const double span_s = std::chrono::duration<double>(now - last_cpu_at_).count();
  const double cpu = span_s > 0 ? (process.cpu_seconds - last_cpu_s_) / span_s * 100 : 0;
  last_cpu_s_ = process.cpu_seconds;
  last_cpu_at_ = now;
  const WallNanos wall = env_.clock.wall();

  PageJson j = PageJson::object();
  add_identity(j, server);
  add_limits(j, o, address_);
  PageJson jetstream = PageJson::object();
  if (subject_.store != nullptr) {
    const auto accounts = subject_.jetstream();
    jetstream["config"] = jetstream_config(subject_);
    jetstream["stats"] = jetstream_stats(totals_of(accounts), accounts.size());
    jetstream["limits"] = PageJson::object();
  }
  j.update({{"jetstream", std::move(jetstream)},
            {"tls_timeout", 2},
            {"write_deadline", o.write_deadline.count()},
            {"start", format_rfc3339(server.start_time())},
            {"now", format_rfc3339(wall)},
            {"uptime", uptime_text(std::chrono::nanoseconds(wall - server.start_time()))},
            {"mem", process.resident_bytes},
            {"cores", std::thread::hardware_concurrency()},
            {"gomaxprocs", 1},
            {"cpu", cpu}});
  add_traffic(j, server);
  j["leafnodes"] = subject_.leafs().size();
  j["http_req_stats"] = requests_;
  j["config_load_time"] = format_rfc3339(config_load_time_);
  j["config_digest"] = subject_.config_digest;
  if (!o.tags.empty()) j["tags"] = o.tags;
  if (!o.metadata.empty()) j["metadata"] = o.metadata;
  const std::string& system = o.system_account;
  j["system_account"] = system.empty() ? std::string(kSystemAccount) : system;
  const ServerCounters& c = server.counters();
  j["slow_consumer_stats"] = kinds(c.slow_consumers_pending + c.slow_consumers_deadline);
  j["stale_connection_stats"] = kinds(c.stale_connections);
  return json_page(j);
}

}  // namespace sluice
