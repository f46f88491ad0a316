#include "monitor/page_json.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/time_format.h"
#include "server/version.h"

namespace sluice {

PageAnswer json_page(const PageJson& json) {
  return {.status = 200, .body = json.dump(2, ' ', false, PageJson::error_handler_t::replace)};
}

PageAnswer bad_request(std::string why) {
  return {.status = 400, .body = std::move(why), .json = false};
}

PageAnswer bad_request(const Error& why) { return bad_request(why.detail); }

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

JetStreamTotals totals_of(const std::vector<AccountJetStream>& accounts) {
  JetStreamTotals t;
  for (const AccountJetStream& account : accounts) {
    t.api_total += account.api_total;
    t.api_errors += account.api_errors;
    account.streams->each([&](Stream& stream) {
      const StreamState state = stream.store().state();
      const bool file = stream.config().storage == StorageKind::kFile;
      ++t.streams;
      t.consumers += account.consumers->count(stream.config().name);
      t.messages += state.messages;
      t.bytes += state.bytes;
      (file ? t.file_bytes : t.memory_bytes) += state.bytes;
      const auto reserved = static_cast<uint64_t>(std::max<int64_t>(stream.config().max_bytes, 0));
      (file ? t.reserved_file_bytes : t.reserved_memory_bytes) += reserved;
    });
  }
  return t;
}

PageJson jetstream_stats(const JetStreamTotals& t, size_t accounts) {
  return {{"memory", t.memory_bytes},
          {"storage", t.file_bytes},
          {"reserved_memory", t.reserved_memory_bytes},
          {"reserved_storage", t.reserved_file_bytes},
          {"accounts", accounts},
          {"ha_assets", 0},
          {"api", {{"level", kApiLevel}, {"total", t.api_total}, {"errors", t.api_errors}}}};
}

PageJson jetstream_config(const MonitorSubject& subject) {
  PageJson out = {{"max_memory", subject.max_memory_bytes},
                  {"max_storage", subject.max_file_bytes},
                  {"store_dir", subject.store_dir}};
  if (subject.sync == SyncMode::kAlways) {
    out["sync_interval"] = 0;
    out["sync_always"] = true;
  } else {
    out["sync_interval"] = std::chrono::nanoseconds(subject.sync_interval).count();
  }
  if (const std::string& domain = subject.server.options().domain; !domain.empty())
    out["domain"] = domain;
  out["compress_ok"] = true;
  out["strict"] = !subject.server.options().lenient_requests;
  return out;
}

PageJson subscription_json(const SubscriptionInfo& s, bool with_account) {
  PageJson out = PageJson::object();
  if (with_account) out["account"] = s.account;
  out["subject"] = s.subject;
  if (!s.queue.empty()) out["qgroup"] = s.queue;
  out["sid"] = s.sid;
  out["msgs"] = s.delivered;
  if (s.max != 0) out["max"] = s.max;
  out["cid"] = s.cid;
  return out;
}

Result<PageWindow> page_window(const PageQuery& query) {
  auto offset = query.integer("offset", 0);
  if (!offset) return std::unexpected(offset.error());
  auto limit = query.integer("limit", PageWindow{}.limit);
  if (!limit) return std::unexpected(limit.error());
  return PageWindow{std::max<int64_t>(*offset, 0), *limit > 0 ? *limit : PageWindow{}.limit};
}

}  // namespace sluice
