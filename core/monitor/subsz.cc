// /subsz: the subscriptions of all clients, and how well subjects are found.
#include <fmt/format.h>

#include <algorithm>

#include "base/time_format.h"
#include "monitor/page_json.h"
#include "subject/subject.h"

namespace sluice {

PageAnswer MonitorPages::subsz(const PageQuery& query) {
  auto listed = query.flag("subs");
  if (!listed) return bad_request(listed.error());
  auto window = page_window(query);
  if (!window) return bad_request(window.error());
  const std::string_view test = query.text("test");
  if (!test.empty() && !is_valid_literal(test)) {
    return bad_request(
        fmt::format("invalid test subject, must be valid publish subject: {}", test));
  }
  const std::string_view account = query.text("acc");
  const Server& server = subject_.server;
  const Account* only = account.empty() ? nullptr : server.accounts().find(account);
  InterestStats stats;
  size_t count = 0;
  if (account.empty()) {
    stats = server.interest_stats();
    count = server.subscription_count();
  } else if (only != nullptr) {
    stats = only->router().interest_stats();
    count = only->router().subscription_count();
  }
  PageJson j = {{"server_id", server.id()},
                {"now", format_rfc3339(env_.clock.wall())},
                {"num_subscriptions", count},
                {"num_cache", stats.remembered},
                {"num_inserts", stats.inserts},
                {"num_removes", stats.removes},
                {"num_matches", stats.hits + stats.misses},
                {"cache_hit_rate", stats.hits + stats.misses == 0
                                       ? 0.0
                                       : static_cast<double>(stats.hits) /
                                             static_cast<double>(stats.hits + stats.misses)},
                {"max_fanout", stats.max_fanout},
                {"avg_fanout", stats.avg_fanout}};
  uint64_t total = 0;
  PageJson list = PageJson::array();
  if (*listed || !test.empty()) {
    for (const ConnectionInfo& c : server.connections()) {
      const Connection* connection = server.connection(c.cid);
      if (connection == nullptr) continue;
      for (const SubscriptionInfo& s : connection->subscription_infos()) {
        if (!test.empty() && !subject_matches(s.subject, test)) continue;
        if (!account.empty() && s.account != account) continue;
        const auto at = static_cast<int64_t>(total++);
        if (at >= window->offset && at - window->offset < window->limit)
          list.push_back(subscription_json(s, true));
      }
    }
  }
  j["total"] = list.size();
  j["offset"] = window->offset;
  j["limit"] = window->limit;
  if (*listed && !list.empty()) j["subscriptions_list"] = std::move(list);
  return json_page(j);
}

}  // namespace sluice
