// /connz: the connections, open and closed.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "base/time_format.h"
#include "monitor/page_json.h"
#include "server/account_options.h"
#include "subject/subject.h"

namespace sluice {
namespace {

std::string_view reason_of(const ConnectionInfo& c) {
  return c.reason ? to_string(*c.reason) : std::string_view();
}

using Before = bool (*)(const ConnectionInfo&, const ConnectionInfo&);
struct Sort {
  std::string_view name;
  Before before;
};
// Counters are sorted from large to small, ids and times from small to large.
constexpr Sort kSorts[] = {
    {"cid", [](const ConnectionInfo& a, const ConnectionInfo& b) { return a.cid < b.cid; }},
    {"start", [](const ConnectionInfo& a, const ConnectionInfo& b) { return a.start < b.start; }},
    {"subs", [](const ConnectionInfo& a,
                const ConnectionInfo& b) { return a.subscriptions > b.subscriptions; }},
    {"pending", [](const ConnectionInfo& a,
                   const ConnectionInfo& b) { return a.pending_bytes > b.pending_bytes; }},
    {"msgs_to",
     [](const ConnectionInfo& a, const ConnectionInfo& b) { return a.out_msgs > b.out_msgs; }},
    {"msgs_from",
     [](const ConnectionInfo& a, const ConnectionInfo& b) { return a.in_msgs > b.in_msgs; }},
    {"bytes_to",
     [](const ConnectionInfo& a, const ConnectionInfo& b) { return a.out_bytes > b.out_bytes; }},
    {"bytes_from",
     [](const ConnectionInfo& a, const ConnectionInfo& b) { return a.in_bytes > b.in_bytes; }},
    {"last", [](const ConnectionInfo& a,
                const ConnectionInfo& b) { return a.last_activity > b.last_activity; }},
    {"idle", [](const ConnectionInfo& a, const ConnectionInfo& b) { return a.idle > b.idle; }},
    {"uptime",
     [](const ConnectionInfo& a, const ConnectionInfo& b) { return a.uptime > b.uptime; }},
    {"stop", [](const ConnectionInfo& a, const ConnectionInfo& b) { return a.stop > b.stop; }},
    {"reason",
     [](const ConnectionInfo& a, const ConnectionInfo& b) { return reason_of(a) < reason_of(b); }},
    {"rtt", [](const ConnectionInfo& a, const ConnectionInfo& b) { return a.rtt > b.rtt; }},
};

enum class Subs : uint8_t { kNone, kSubjects, kDetail };

struct Wanted {
  PageWindow window;
  const Sort* sort = nullptr;
  std::string_view state;
  Subs subs = Subs::kNone;
  bool auth = false;
  std::string_view user;
  std::string_view account;
  std::string_view filter;
  uint64_t cid = 0;  ///< 0 = all
};

Result<Wanted> read_wanted(const PageQuery& query) {
  Wanted out;
  const auto wrong = [](std::string why) { return fail(Errc::kInvalidArgument, std::move(why)); };
  const std::string_view sort = query.has("sort") ? query.text("sort") : "cid";
  auto auth = query.flag("auth");
  if (!auth) return std::unexpected(auth.error());
  out.auth = *auth;
  if (query.text("subs") == "detail") {
    out.subs = Subs::kDetail;
  } else {
    auto subs = query.flag("subs");
    if (!subs) return std::unexpected(subs.error());
    out.subs = *subs ? Subs::kSubjects : Subs::kNone;
  }
  auto window = page_window(query);
  if (!window) return std::unexpected(window.error());
  out.window = *window;
  auto cid = query.integer("cid", 0);
  if (!cid) return std::unexpected(cid.error());
  out.cid = static_cast<uint64_t>(*cid);
  out.state = query.has("state") ? query.text("state") : "open";
  if (out.state == "all") out.state = "any";
  if (out.state != "open" && out.state != "closed" && out.state != "any")
    return wrong(fmt::format("Error decoding state for {}", out.state));
  out.sort = std::ranges::find(kSorts, sort, &Sort::name);
  if (out.sort == std::end(kSorts)) return wrong(fmt::format("invalid sorting option: {}", sort));
  if ((sort == "stop" || sort == "reason") && out.state != "closed")
    return wrong(fmt::format("sort by {} only valid on closed connections", sort));
  out.user = query.text("user");
  out.account = query.text("acc");
  out.filter = query.text("filter_subject");
  if (!out.filter.empty() && !is_valid_subject(out.filter))
    return wrong(fmt::format("invalid filter subject: {}", out.filter));
  if (query.has("mqtt_client")) return wrong("mqtt_client: this server does not speak MQTT");
  return out;
}

bool subscribes_to(const Server& server, const ConnectionInfo& info, std::string_view filter) {
  const Connection* connection = server.connection(info.cid);
  if (connection == nullptr) return false;
  const auto subjects = connection->subscribed_subjects();
  return std::ranges::any_of(subjects, [&](const std::string& subject) {
    return subject == filter || subjects_collide(subject, filter);
  });
}

void add_subscriptions(PageJson& j, const Server& server, uint64_t cid, Subs subs) {
  const Connection* connection = server.connection(cid);
  if (connection == nullptr) return;
  PageJson list = PageJson::array();
  for (const SubscriptionInfo& s : connection->subscription_infos()) {
    list.push_back(subs == Subs::kDetail ? subscription_json(s, false) : PageJson(s.subject));
  }
  if (list.empty()) return;
  j[subs == Subs::kDetail ? "subscriptions_list_detail" : "subscriptions_list"] = std::move(list);
}

PageJson connection_json(const ConnectionInfo& c) {
  PageJson j = {{"cid", c.cid},
                {"kind", "Client"},
                {"type", c.kind == ConnectionKind::kWebSocket ? "websocket" : "nats"},
                {"ip", c.ip},
                {"port", c.port},
                {"start", format_rfc3339(c.start)},
                {"last_activity", format_rfc3339(c.last_activity)}};
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
  if (!c.tls_version.empty()) j["tls_version"] = c.tls_version;
  if (!c.tls_cipher_suite.empty()) j["tls_cipher_suite"] = c.tls_cipher_suite;
  return j;
}

void add_identity(PageJson& j, const ConnectionInfo& c) {
  if (!c.user.empty()) j["authorized_user"] = c.user;
  if (c.account != kGlobalAccount) j["account"] = c.account;  // as the reference has it
  if (!c.issuer_key.empty()) j["issuer_key"] = c.issuer_key;
  if (!c.name_tag.empty()) j["name_tag"] = c.name_tag;
  if (!c.tags.empty()) j["tags"] = c.tags;
}

}  // namespace

PageAnswer MonitorPages::connz(const PageQuery& query) {
  auto wanted = read_wanted(query);
  if (!wanted) return bad_request(wanted.error());
  const Server& server = subject_.server;
  std::vector<ConnectionInfo> all;
  if (wanted->state != "closed") all = server.connections();
  if (wanted->state != "open") {
    const auto& closed = server.closed_connections();
    all.insert(all.end(), closed.begin(), closed.end());
  }
  std::erase_if(all, [&](const ConnectionInfo& c) {
    return (wanted->cid != 0 && c.cid != wanted->cid) ||
           (!wanted->user.empty() && c.user != wanted->user) ||
           (!wanted->account.empty() && c.account != wanted->account) ||
           (!wanted->filter.empty() && !subscribes_to(server, c, wanted->filter));
  });
  std::ranges::stable_sort(all, wanted->sort->before);
  PageJson shown = PageJson::array();
  const size_t begin = std::min(static_cast<size_t>(wanted->window.offset), all.size());
  const size_t end =
      std::min(all.size(), begin + std::min(static_cast<size_t>(wanted->window.limit), all.size()));
  for (size_t i = begin; i < end; ++i) {
    PageJson one = connection_json(all[i]);
    if (wanted->auth) add_identity(one, all[i]);
    if (wanted->subs != Subs::kNone) add_subscriptions(one, server, all[i].cid, wanted->subs);
    shown.push_back(std::move(one));
  }
  return json_page({{"server_id", server.id()},
                    {"now", format_rfc3339(env_.clock.wall())},
                    {"num_connections", shown.size()},
                    {"total", all.size()},
                    {"offset", wanted->window.offset},
                    {"limit", wanted->window.limit},
                    {"connections", std::move(shown)}});
}

}  // namespace sluice
