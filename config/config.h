// The whole configuration of the daemon, as plain data.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "adapters/choria_audit/options.h"
#include "adapters/choria_registration/options.h"
#include "adapters/choria_submission/options.h"
#include "adapters/file_drop/options.h"
#include "adapters/http_channel/options.h"
#include "adapters/http_events/options.h"
#include "adapters/kafka_sink/options.h"
#include "adapters/kafka_source/options.h"
#include "adapters/nats_subject/options.h"
#include "base/log.h"
#include "client/link_options.h"
#include "leaf/leaf_options.h"
#include "replicator/options.h"
#include "server/server_options.h"
#include "store/store.h"

namespace sluice {

struct ServerSettings : ServerOptions {
  ServerSettings() {
    host = "127.0.0.1";
    tls.private_keys_only = true;
    websocket.host = "127.0.0.1";
    websocket.tls.private_keys_only = true;
  }
  bool allow_anonymous = false;  ///< listen beyond loopback without any authentication
};

struct LeafSettings : LeafOptions {
  LeafSettings() {
    host = "127.0.0.1";
    tls.private_keys_only = true;
  }
};

/// `key` empty: the store is not encrypted.
struct StoreEncryption {
  SealCipher cipher = SealCipher::kAes256Gcm;
  std::string key{};
  std::string previous_key{};
};

/// Whoever opens the store makes its `keys` of `encryption`.
struct StoreSettings : StoreOptions {
  StoreSettings() { dir = "./sluice-data"; }
  StoreEncryption encryption{};
};

struct MonitorSettings {
  bool enabled = true;
  std::string host = "127.0.0.1";
  uint16_t port = 8222;
  std::string base_path{};  ///< before every page; empty, or "/" and more
};

/// Of one adapter, by its type.
using AdapterOptions =
    std::variant<ChoriaRegistrationOptions, ChoriaSubmissionOptions, NatsSubjectOptions, HttpEventsOptions,
                 HttpChannelOptions, FileDropOptions, ChoriaAuditOptions,
                 KafkaSourceOptions, KafkaSinkOptions>;

/// The JetStream that adapters and copies write to: this daemon's own, or one elsewhere.
struct CoreSettings : LinkOptions {
  std::string domain{};  ///< of the JetStream elsewhere; empty = asked by `$JS.API`
  int replicas = 1;      ///< of streams that adapters make there
  std::string api_prefix() const { return domain.empty() ? "$JS.API" : "$JS." + domain + ".API"; }
};

struct AutoStreamSettings {
  bool enabled = false;
  std::chrono::nanoseconds retention = std::chrono::hours(24);
  int replicas = 0;       ///< 0 = the core's
  int64_t max_bytes = 0;  ///< 0 = no limit
};

/// Streams that a Choria broker makes by itself; each on request.
struct AutoStreamsSettings {
  AutoStreamSettings events, machine, executor;
  AutoStreamSettings audit{.retention = std::chrono::hours(365 * 24)};
  AutoStreamSettings advisories{.retention = std::chrono::hours(7 * 24)};
  AutoStreamSettings leader_election{.retention = std::chrono::minutes(1)};
  std::string executor_collective = "choria";
};

/// A JetStream elsewhere that streams of this server may mirror or source over a client connection.
struct RemoteSettings {
  std::string name;    ///< a source names it by `external.api` = `$JS.<name>.API`
  std::string domain;  ///< of its JetStream; empty = asked by `$JS.API`
  LinkOptions system;
};

/// What is looked at now and then, so that a person is told.
struct AlertSettings {
  bool enabled = false;
  std::chrono::nanoseconds interval = std::chrono::seconds(30);
  uint64_t consumer_lag = 10'000;  ///< messages before a consumer, beyond which it lags
};

struct Config {
  CoreSettings core;
  ServerSettings server;
  LeafSettings leafnodes;
  StoreSettings store;
  MonitorSettings monitor;
  LogOptions log;
  std::vector<AdapterOptions> adapters;
  std::vector<std::string> adapter_texts;  ///< of each adapter, as section_texts
  AutoStreamsSettings auto_streams;
  AlertSettings alerts;
  ReplicatorOptions replicator;
  std::vector<RemoteSettings> remotes;
  /// Each section of the file as one text, to tell whether a fresh file differs from the running one.
  std::map<std::string, std::string, std::less<>> section_texts;
};

}  // namespace sluice
