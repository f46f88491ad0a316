// Shared by the pages' own files; heavy, so nobody else includes it.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "monitor/pages.h"

namespace sluice {

using PageJson = nlohmann::ordered_json;

/// Indented by two blanks, as the reference shows it to people.
PageAnswer json_page(const PageJson& json);
PageAnswer bad_request(std::string why);
PageAnswer bad_request(const Error& why);

/// "1d2h3m4s", largest unit first, as the reference shows uptimes.
std::string uptime_text(std::chrono::nanoseconds up);

/// JetStream of several accounts, added up.
struct JetStreamTotals {
  uint64_t streams = 0, consumers = 0, messages = 0, bytes = 0, file_bytes = 0, memory_bytes = 0;
  uint64_t reserved_file_bytes = 0, reserved_memory_bytes = 0, api_total = 0, api_errors = 0;
};
JetStreamTotals totals_of(const std::vector<AccountJetStream>& accounts);
/// memory, storage, reserved_…, accounts, ha_assets, api.
PageJson jetstream_stats(const JetStreamTotals& totals, size_t accounts);
PageJson jetstream_config(const MonitorSubject& subject);

/// What the pages about accounts show of one.
struct AccountFigures {
  std::string name;
  bool system = false;
  size_t connections = 0;
  size_t leaf_connections = 0;
  uint64_t total_connections = 0;
  size_t subscriptions = 0;
  uint64_t in_msgs = 0, in_bytes = 0, out_msgs = 0, out_bytes = 0;
  uint64_t slow_consumers = 0;
  const AccountOptions* options = nullptr;  ///< for this callback only
};
/// In order of name.
std::vector<AccountFigures> account_figures(const Server& server);

/// `account`, `subject`, `qgroup`, `sid`, `msgs`, `max`, `cid`.
PageJson subscription_json(const SubscriptionInfo& subscription, bool with_account);

/// Where a page begins and how much it holds.
struct PageWindow {
  int64_t offset = 0;
  int64_t limit = 1024;
};
Result<PageWindow> page_window(const PageQuery& query);

}  // namespace sluice
