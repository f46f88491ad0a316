// /leafz, /routez, /gatewayz, /ipqueuesz, /raftz: links to other servers, and what only those have.
#include "base/time_format.h"
#include "monitor/page_json.h"

namespace sluice {

PageAnswer MonitorPages::leafz(const PageQuery& query) {
  auto subs = query.flag("subs");
  if (!subs) return bad_request(subs.error());
  PageJson list = PageJson::array();
  for (const LeafFigures& leaf : subject_.leafs()) {
    PageJson one = {{"id", leaf.id},
                    {"name", leaf.name},
                    {"is_spoke", leaf.is_spoke},
                    {"account", leaf.account},
                    {"ip", leaf.ip},
                    {"port", leaf.port}};
    if (leaf.rtt.count() != 0) one["rtt"] = format_go_duration(leaf.rtt);
    one.update({{"in_msgs", leaf.in_msgs},
                {"out_msgs", leaf.out_msgs},
                {"in_bytes", leaf.in_bytes},
                {"out_bytes", leaf.out_bytes},
                {"subscriptions", leaf.subjects.size()}});
    if (*subs && !leaf.subjects.empty()) one["subscriptions_list"] = leaf.subjects;
    list.push_back(std::move(one));
  }
  return json_page({{"server_id", subject_.server.id()},
                    {"now", format_rfc3339(env_.clock.wall())},
                    {"leafnodes", list.size()},
                    {"leafs", std::move(list)}});
}

PageAnswer MonitorPages::routez(const PageQuery& query) {
  if (auto subs = query.flag("subs"); query.text("subs") != "detail" && !subs)
    return bad_request(subs.error());
  return json_page({{"server_id", subject_.server.id()},
                    {"server_name", subject_.server.name()},
                    {"now", format_rfc3339(env_.clock.wall())},
                    {"num_routes", 0},
                    {"routes", PageJson::array()}});
}

PageAnswer MonitorPages::gatewayz(const PageQuery& /*query*/) {
  return json_page({{"server_id", subject_.server.id()},
                    {"now", format_rfc3339(env_.clock.wall())},
                    {"outbound_gateways", PageJson::object()},
                    {"inbound_gateways", PageJson::object()}});
}

PageAnswer MonitorPages::ipqueuesz(const PageQuery& /*query*/) {
  return json_page(PageJson::object());
}

PageAnswer MonitorPages::raftz(const PageQuery& /*query*/) {
  return {.status = 404, .body = "No Raft nodes registered", .json = false};
}

}  // namespace sluice
