// /jsz: JetStream, its accounts, streams and consumers.
#include <fmt/format.h>

#include <algorithm>

#include "base/time_format.h"
#include "consumer/consumer.h"
#include "monitor/page_json.h"
#include "stream/stream_info.h"

namespace sluice {
namespace {

struct Wanted {
  bool accounts = false;
  bool streams = false;
  bool consumers = false;
  bool direct_consumers = false;
  bool config = false;
  std::string_view account;
  PageWindow window;
};

Result<Wanted> read_wanted(const PageQuery& query) {
  Wanted out;
  bool unused = false;  // of clusters: this server leads whatever it has
  const std::pair<std::string_view, bool*> flags[] = {
      {"accounts", &out.accounts},     {"streams", &out.streams},
      {"consumers", &out.consumers},   {"direct-consumers", &out.direct_consumers},
      {"config", &out.config},         {"leader-only", &unused},
      {"stream-leader-only", &unused}, {"raft", &unused}};
  for (const auto& [name, to] : flags) {
    auto flag = query.flag(name);
    if (!flag) return std::unexpected(flag.error());
    *to = *flag;
  }
  auto window = page_window(query);
  if (!window) return std::unexpected(window.error());
  out.window = *window;
  out.account = query.text("acc");
  out.streams = out.streams || out.consumers || out.direct_consumers;
  out.accounts = out.accounts || out.streams;
  return out;
}

PageJson stream_detail(Stream& stream, Consumers& consumers, const Wanted& wanted,
                       const std::string& leader) {
  PageJson detail = {{"name", stream.config().name}, {"created", format_rfc3339(stream.created())}};
  detail["cluster"] = {{"leader", leader}};
  if (wanted.config)
    detail["config"] = PageJson::parse(stream_config_json(stream.config(), nullptr));
  StreamInfoShown shown;
  shown.consumer_count = consumers.count(stream.config().name);
  detail["state"] = PageJson::parse(stream_state_json(stream, shown));
  if (wanted.consumers) {
    PageJson list = PageJson::array();
    consumers.each(stream.config().name, [&](Consumer& consumer) {
      PageJson one = PageJson::parse(consumer_info_json(consumer, consumer.config().metadata));
      if (!wanted.config) one.erase("config");
      list.push_back(std::move(one));
    });
    if (!list.empty()) detail["consumer_detail"] = std::move(list);
  }
  return detail;
}

PageJson account_detail(const AccountJetStream& account, const Wanted& wanted,
                        const std::string& leader) {
  PageJson out = {{"name", account.account}, {"id", account.account}};
  out.update(jetstream_stats(totals_of({account}), 0));
  if (!wanted.streams) return out;
  PageJson details = PageJson::array();
  account.streams->each([&](Stream& stream) {
    details.push_back(stream_detail(stream, *account.consumers, wanted, leader));
  });
  if (!details.empty()) out["stream_detail"] = std::move(details);
  return out;
}

}  // namespace

PageAnswer MonitorPages::jsz(const PageQuery& query) {
  auto wanted = read_wanted(query);
  if (!wanted) return bad_request(wanted.error());
  const Server& server = subject_.server;
  const PageJson head = {{"server_id", server.id()}, {"now", format_rfc3339(env_.clock.wall())}};
  if (subject_.store == nullptr) {
    PageJson j = jetstream_stats({}, 0);
    j.update(head);
    j.update({{"disabled", true},
              {"config",
               {{"max_memory", 0}, {"max_storage", 0}, {"sync_interval", 0}, {"strict", false}}},
              {"limits", PageJson::object()},
              {"streams", 0},
              {"consumers", 0},
              {"messages", 0},
              {"bytes", 0},
              {"total", 0}});
    return json_page(j);
  }
  const auto accounts = subject_.jetstream();
  const JetStreamTotals t = totals_of(accounts);
  PageJson j = jetstream_stats(t, accounts.size());
  j.update(head);
  j.update({{"config", jetstream_config(subject_)},
            {"limits", PageJson::object()},
            {"streams", t.streams},
            {"consumers", t.consumers},
            {"messages", t.messages},
            {"bytes", t.bytes}});
  if (wanted->accounts || !wanted->account.empty()) {
    PageJson details = PageJson::array();
    int64_t at = 0;
    for (const AccountJetStream& account : accounts) {
      if (!wanted->account.empty() && account.account != wanted->account) continue;
      const int64_t index = at++;
      if (index < wanted->window.offset || index - wanted->window.offset >= wanted->window.limit)
        continue;
      details.push_back(account_detail(account, *wanted, server.name()));
    }
    if (!details.empty()) j["account_details"] = std::move(details);
  }
  j["total"] = accounts.size();
  return json_page(j);
}

}  // namespace sluice
