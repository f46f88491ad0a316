// The pages of the monitor as texts, whoever asks for them: the HTTP port, or a request to $SYS.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "consumer/consumers.h"
#include "io/env.h"
#include "monitor/page_query.h"
#include "server/leaf_figures.h"
#include "server/server.h"
#include "store/store.h"
#include "stream/streams.h"

namespace sluice {

/// JetStream of one account.
struct AccountJetStream {
  std::string account;
  Streams* streams = nullptr;
  Consumers* consumers = nullptr;
  uint64_t api_total = 0;
  uint64_t api_errors = 0;
};

/// What the monitor looks at. All of it outlives the monitor.
struct MonitorSubject {
  Server& server;
  Store* store = nullptr;  ///< nullptr = no JetStream
  /// In order of the accounts' names.
  std::function<std::vector<AccountJetStream>()> jetstream = [] {
    return std::vector<AccountJetStream>();
  };
  std::function<std::vector<LeafFigures>()> leafs = [] { return std::vector<LeafFigures>(); };
  std::string store_dir = {};
  int64_t max_file_bytes = -1;
  int64_t max_memory_bytes = -1;
  SyncMode sync = SyncMode::kAlways;
  std::chrono::milliseconds sync_interval{0};  ///< SyncMode::kInterval only
  std::string config_digest = {};              ///< "sha256:…"; empty = no file
};

/// Memory and CPU of this process, from the operating system; the one who builds the daemon gives
/// it.
struct ProcessFigures {
  uint64_t resident_bytes = 0;
  double cpu_seconds = 0;
};

struct PageAnswer {
  uint16_t status = 200;
  std::string body;  ///< JSON, or the reason of a 400 in words
  bool json = true;
};

/// Where the HTTP port listens; what /varz says of it.
struct MonitorAddress {
  std::string host = {};
  uint16_t port = 0;
  std::string base_path = {};
};

/// Loop thread only.
class MonitorPages {
 public:
  MonitorPages(Env& env, MonitorSubject subject, std::function<ProcessFigures()> process);
  MonitorPages(const MonitorPages&) = delete;
  MonitorPages& operator=(const MonitorPages&) = delete;

  /// `name` as in "/varz" or as in $SYS.REQ.SERVER.PING.VARZ, without slash, in small letters: varz
  /// connz subsz jsz accountz accstatz leafz routez gatewayz healthz ipqueuesz raftz. 404
  /// otherwise.
  PageAnswer answer(std::string_view name, const PageQuery& query);
  /// The names, in the order of the index.
  static std::vector<std::string_view> names();

  /// A further condition for healthz: empty = well, else what is wrong.
  void add_health(std::function<std::string()> check) { checks_.push_back(std::move(check)); }
  void set_address(MonitorAddress address) { address_ = std::move(address); }
  void set_config_digest(std::string digest);
  /// A request over HTTP, for varz' http_req_stats.
  void count_request(std::string_view path) { ++requests_[std::string(path)]; }
  const MonitorSubject& subject() const { return subject_; }
  ProcessFigures process() const { return process_(); }

 private:
  PageAnswer varz(const PageQuery& query);
  PageAnswer connz(const PageQuery& query);
  PageAnswer subsz(const PageQuery& query);
  PageAnswer jsz(const PageQuery& query);
  PageAnswer accountz(const PageQuery& query);
  PageAnswer accstatz(const PageQuery& query);
  PageAnswer leafz(const PageQuery& query);
  PageAnswer routez(const PageQuery& query);
  PageAnswer gatewayz(const PageQuery& query);
  PageAnswer healthz(const PageQuery& query);
  PageAnswer ipqueuesz(const PageQuery& query);
  PageAnswer raftz(const PageQuery& query);
  std::string trouble() const;

  Env& env_;
  MonitorSubject subject_;
  std::function<ProcessFigures()> process_;
  MonitorAddress address_;
  WallNanos config_load_time_;
  std::vector<std::function<std::string()>> checks_;
  std::map<std::string, uint64_t> requests_;
  double last_cpu_s_ = 0;
  MonoTime last_cpu_at_{0};
};

}  // namespace sluice
