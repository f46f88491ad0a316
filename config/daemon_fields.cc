// Store, monitor, log, and the file itself.
#include <fmt/format.h>

#include <limits>

#include "config/config.h"
#include "config/sections.h"

namespace sluice {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
constexpr int64_t kGi = static_cast<int64_t>(kGiB);
constexpr int64_t kMi = static_cast<int64_t>(kMiB);

const FieldRows& encryption_fields() {
  static const FieldRows rows = [] {
    using O = StoreEncryption;
    FieldTable<O> t(
        "Encryption of what the store writes from now on; what is there stays readable and is encrypted when it is written again.");
    t.word("cipher", &O::cipher, {{"aes-256-gcm", SealCipher::kAes256Gcm}, {"chacha20-poly1305", SealCipher::kChaCha20Poly1305}})
        .doc("`chacha20-poly1305` is faster on a processor without AES instructions.");
    t.secret("key", &O::key,
             "At least 32 characters that nobody can guess (`openssl rand -base64 48`). Without it an encrypted store can't be read "
             "any more: keep a copy elsewhere. A systemd credential: `key_file: ${CREDENTIALS_DIRECTORY}/store-key`.");
    t.secret("previous_key", &O::previous_key,
             "The key before, as long as files under it are left: until a start without it is not refused.");
    return t.take();
  }();
  return rows;
}

}  // namespace

const FieldRows& store_fields() {
  static const FieldRows rows = [] {
    using O = StoreSettings;
    FieldTable<O> t("Where streams are kept.");
    t.text("dir", &O::dir)
        .doc("Folder of the store; created when missing, locked while the daemon runs.");
    t.word("sync", &O::sync,
           {{"always", SyncMode::kAlways},
            {"interval", SyncMode::kInterval},
            {"none", SyncMode::kNone}})
        .doc(
            "What an acknowledgement promises. `always`: on disk; `interval`: handed to the "
            "kernel, synced "
            "every `sync_interval`; `none`: handed to the kernel.");
    t.time("sync_interval", &O::sync_interval)
        .between(milliseconds(1), hours(24))
        .doc("With `sync: interval`: longest time an acknowledged message may be unsynced.");
    t.size("journal_file_size", &O::journal_file_bytes)
        .between(kMi, 4 * kGi)
        .doc("Size of one journal file, written in advance and recycled.");
    t.size("segment_size", &O::segment_max_bytes)
        .between(kMi, 4 * kGi)
        .doc("Bytes a segment of a stream holds before a new one is opened.");
    t.size("cache_size", &O::cache_bytes)
        .between(kMi, 1024 * kGi)
        .doc("Memory for messages read and written lately.");
    t.size("max_size", &O::max_bytes)
        .doc("Bytes the store may take. 0: the free space of the disk decides.");
    t.size("reserve", &O::reserve_bytes)
        .doc("Disk space kept free so that removals and acks go on when the disk is full.");
    t.size("journal_max_size", &O::journal_max_bytes)
        .between(64 * kMi, 1024 * kGi)
        .doc("Bytes the journal may grow to; beyond it commits wait until its oldest files are retired.");
    t.size("scrub_rate", &O::scrub_bytes_per_second)
        .between(0, 16 * kGi)
        .doc("Bytes of segments verified a second in the background, damaged pages rebuilt from parity. 0: never.");
    t.time("scrub_every", &O::scrub_every)
        .between(hours(0), hours(24 * 365))
        .doc("Pause between two passes over all segments.");
    t.section("encryption", &O::encryption, encryption_fields()).doc("Encryption at rest.");
    return t.take();
  }();
  return rows;
}

const FieldRows& monitor_fields() {
  static const FieldRows rows = [] {
    using O = MonitorSettings;
    FieldTable<O> t("The HTTP port for /healthz, /varz, /jsz and /metrics.");
    t.flag("enabled", &O::enabled).doc("Serve it at all.");
    t.address("listen", &O::host, &O::port)
        .doc("Address of the HTTP port. It has no authentication.");
    return t.take();
  }();
  return rows;
}

const FieldRows& alerts_fields() {
  static const FieldRows rows = [] {
    using O = AlertSettings;
    FieldTable<O> t(
        "Looks at streams, consumers, adapters, copies and the store now and then; what a person should know is logged, counted and published on "
        "`sluice.advisory.alert.<kind>`. Prometheus rules with advice: config/prometheus/sluice.rules.yml.");
    t.flag("enabled", &O::enabled).doc("Look at all.");
    t.time("interval", &O::interval).between(std::chrono::seconds(1), hours(1)).doc("Time between two looks.");
    t.count("consumer_lag", &O::consumer_lag).doc("Messages before a consumer, beyond which it lags.");
    return t.take();
  }();
  return rows;
}

const FieldRows& log_fields() {
  static const FieldRows rows = [] {
    using O = LogOptions;
    FieldTable<O> t("The log.");
    t.word("level", &O::level,
           {{"trace", LogLevel::kTrace},
            {"debug", LogLevel::kDebug},
            {"info", LogLevel::kInfo},
            {"warn", LogLevel::kWarn},
            {"error", LogLevel::kError},
            {"off", LogLevel::kOff}})
        .reloadable()
        .doc("Least important level that is written.");
    t.word("format", &O::json, {{"text", false}, {"json", true}})
        .reloadable()
        .doc("Lines of text, or one JSON object a line.");
    t.text("file", &O::file).reloadable().doc("File to append to; standard error when empty.");
    return t.take();
  }();
  return rows;
}

const FieldRows& jetstream_remote_fields() {
  static const FieldRows rows = [] {
    using O = RemoteSettings;
    FieldTable<O> t("JetStreams elsewhere that streams here may mirror or source.");
    t.text("name", &O::name)
        .needed()
        .doc("A mirror or source names it by `external.api: $JS.<name>.API`.");
    t.text("domain", &O::domain)
        .doc("Domain of its JetStream; empty: it is asked by `$JS.API`.");
    t.link("system", &O::system).doc("Where it is.");
    return t.take();
  }();
  return rows;
}

const FieldRows& config_fields() {
  static const FieldRows rows = [] {
    FieldTable<Config> t("");
    t.own("core", FieldKind::kLink, "embedded", &read_core)
        .nest(core_fields())
        .doc("The JetStream behind adapters and copies. `embedded`: this daemon's own; otherwise one elsewhere, by its URL "
             "or a section.");
    t.section("server", &Config::server, server_fields());
    t.section("leafnodes", &Config::leafnodes, leafnodes_fields());
    t.section("store", &Config::store, store_fields());
    t.section("monitor", &Config::monitor, monitor_fields());
    t.section("log", &Config::log, log_fields());
    FieldRow& adapters = t.own("adapters", FieldKind::kSectionList, "", &read_adapters)
                             .doc("What brings messages into streams; each has a `type`.");
    for (const AdapterKind& kind : adapter_kinds()) adapters.kinds.emplace_back(kind.name, &kind.rows());
    t.section("alerts", &Config::alerts, alerts_fields());
    t.section("auto_streams", &Config::auto_streams, auto_streams_fields());
    t.section("replicator", &Config::replicator, replicator_fields());
    t.section_list("remotes", &Config::remotes, jetstream_remote_fields());
    return t.take();
  }();
  return rows;
}

}  // namespace sluice
