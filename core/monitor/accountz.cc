// /accountz and /accstatz: the accounts.
#include <fmt/format.h>

#include <algorithm>

#include "base/time_format.h"
#include "monitor/page_json.h"
#include "subject/subject.h"

namespace sluice {
namespace {

PageJson traffic(uint64_t msgs, uint64_t bytes) {
  const PageJson none = {{"msgs", 0}, {"bytes", 0}};
  return {{"msgs", msgs}, {"bytes", bytes}, {"gateways", none}, {"routes", none}, {"leafs", none}};
}

PageJson latency_of(const LatencyOptions& latency) {
  PageJson out;
  if (latency.sampling == 0) {
    out["sampling"] = "headers";
  } else {
    out["sampling"] = latency.sampling;
  }
  out["results"] = latency.subject;
  return out;
}

/// What the service that is imported says of its latency; nullptr = nothing.
const LatencyOptions* latency_of(const ImportOptions& import, const std::vector<AccountFigures>& all) {
  const auto exporter = std::ranges::find(all, import.account, &AccountFigures::name);
  if (!import.service || exporter == all.end()) return nullptr;
  for (const ExportOptions& e : exporter->options->exports) {
    if (e.service && is_subset(import.subject, e.subject)) return e.latency ? &*e.latency : nullptr;
  }
  return nullptr;
}

/// What the account maps, exports and imports by its options.
void add_crossings(PageJson& detail, const AccountOptions& options, const std::vector<AccountFigures>& all) {
  PageJson mappings = PageJson::object(), exports = PageJson::array(), imports = PageJson::array();
  for (const MappingOptions& mapping : options.mappings) {
    PageJson& list = mappings[mapping.source] = PageJson::array();
    for (const MappingDestination& d : mapping.destinations)
      list.push_back({{"subject", d.subject}, {"weight", d.weight}});
  }
  for (const ExportOptions& e : options.exports) {
    PageJson one = {{"subject", e.subject}, {"type", e.service ? "service" : "stream"}};
    if (e.service)
      one["response_type"] = e.response == ResponseType::kStream    ? "Streamed"
                             : e.response == ResponseType::kChunked ? "Chunked"
                                                                    : "Singleton";
    if (e.latency) one["service_latency"] = latency_of(*e.latency);
    if (!e.accounts.empty()) one["approved_accounts"] = e.accounts;
    exports.push_back(std::move(one));
  }
  for (const ImportOptions& i : options.imports) {
    const std::string here = !i.to.empty()     ? i.to
                             : i.prefix.empty() ? i.subject
                                                : i.prefix + '.' + i.subject;
    PageJson one = {{"subject", i.subject}, {"account", i.account}};
    if (i.service) one["to"] = here;
    one.update({{"local_subject", here},
                {"type", i.service ? "service" : "stream"},
                {"invalid", false},
                {"share", i.share},
                {"tracking", false}});
    if (const LatencyOptions* latency = latency_of(i, all)) one["latency"] = latency_of(*latency);
    imports.push_back(std::move(one));
  }
  if (!mappings.empty()) detail["mappings"] = std::move(mappings);
  if (!exports.empty()) detail["exports"] = std::move(exports);
  if (!imports.empty()) detail["imports"] = std::move(imports);
  detail["name_tag"] = options.display_name.empty() ? options.name : options.display_name;
}

}  // namespace

PageAnswer MonitorPages::accountz(const PageQuery& query) {
  const Server& server = subject_.server;
  const auto all = account_figures(server);
  const auto system = std::ranges::find_if(all, &AccountFigures::system);
  PageJson j = {{"server_id", server.id()}, {"now", format_rfc3339(env_.clock.wall())}};
  if (system != all.end()) j["system_account"] = system->name;
  const std::string_view name = query.text("acc");
  if (name.empty()) {
    PageJson names = PageJson::array();
    for (const AccountFigures& account : all) names.push_back(account.name);
    j["accounts"] = std::move(names);
    return json_page(j);
  }
  const auto found = std::ranges::find(all, name, &AccountFigures::name);
  if (found == all.end()) return bad_request(fmt::format("Account {} does not exist", name));
  const auto engines = subject_.jetstream();
  PageJson detail = {{"account_name", found->name},
                     {"update_time", format_rfc3339(config_load_time_)}};
  if (found->system) detail["is_system"] = true;
  detail.update({{"expired", false},
                 {"complete", true},
                 {"jetstream_enabled", std::ranges::any_of(engines,
                                                           [&](const AccountJetStream& engine) {
                                                             return engine.account == name;
                                                           })},
                 {"leafnode_connections", found->leaf_connections},
                 {"client_connections", found->connections},
                 {"subscriptions", found->subscriptions}});
  add_crossings(detail, *found->options, all);
  j["account_detail"] = std::move(detail);
  return json_page(j);
}

PageAnswer MonitorPages::accstatz(const PageQuery& query) {
  auto unused = query.flag("unused");
  if (!unused) return bad_request(unused.error());
  const Server& server = subject_.server;
  PageJson list = PageJson::array();
  for (const AccountFigures& a : account_figures(server)) {
    if (!*unused && a.connections + a.leaf_connections == 0) continue;
    list.push_back({{"acc", a.name},
                    {"name", a.name},
                    {"conns", a.connections},
                    {"leafnodes", a.leaf_connections},
                    {"total_conns", a.connections + a.leaf_connections},
                    {"num_subscriptions", a.subscriptions},
                    {"sent", traffic(a.out_msgs, a.out_bytes)},
                    {"received", traffic(a.in_msgs, a.in_bytes)},
                    {"slow_consumers", a.slow_consumers}});
  }
  return json_page({{"server_id", server.id()},
                    {"now", format_rfc3339(env_.clock.wall())},
                    {"account_statz", std::move(list)}});
}

}  // namespace sluice
