#include "adapters/kafka/rd_client.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>

#include "adapters/kafka/kafka_port.h"
#include "base/log.h"

namespace sluice {
namespace {

constexpr Logger kLog{"kafka"};
constexpr size_t kError_bytes = 512;

/// The adapters stand on these, or they load code into the daemon.
constexpr std::string_view kRefused[] = {
    "bootstrap.servers", "metadata.broker.list", "group.id",           "group.instance.id",    "client.software.name",
    "enable.auto.commit", "auto.commit.enable",  "enable.auto.offset.store", "auto.offset.reset", "isolation.level",
    "enable.idempotence", "transactional.id",    "acks",               "request.required.acks", "plugin.library.paths",
    "enable.partition.eof", "log.queue",         "opaque",             "default_topic_conf",    "builtin.features",
    "internal.termination.signal", "enable.gapless.guarantee", "consume.callback.max.messages", "allow.auto.create.topics",
    "enable.sasl.oauthbearer.unsecure.jwt",
};

bool is_refused(std::string_view name) {
  return std::ranges::find(kRefused, name) != std::end(kRefused) || name.ends_with("_cb");
}

Status set(rd_kafka_conf_t* conf, const std::string& name, const std::string& value, bool is_secret_free) {
  char why[kError_bytes] = "";
  if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), why, sizeof why) == RD_KAFKA_CONF_OK) return {};
  // librdkafka's text may repeat the value.
  return fail(Errc::kInvalidArgument, "property '" + name + "': " + (is_secret_free ? why : "librdkafka does not take it"));
}

bool is_secret(std::string_view name) {
  return name.contains("password") || name.contains("secret") || name.ends_with(".pem") || name.contains("sasl.oauthbearer.config");
}

void on_log(const rd_kafka_t*, int level, const char* facility, const char* line) noexcept {
  constexpr int kWarning = 4;
  if (level <= kWarning)
    SLUICE_LOG(kLog, kWarn, "librdkafka says facility={} line=\"{}\"", facility, line);
  else
    SLUICE_LOG(kLog, kDebug, "librdkafka says facility={} line=\"{}\"", facility, line);
}

}  // namespace

void RdConfGone::operator()(rd_kafka_conf_s* conf) const { rd_kafka_conf_destroy(conf); }

Result<RdConf> make_rd_conf(const KafkaClientOptions& options, bool is_writer,
                            const std::vector<std::pair<std::string, std::string>>& ours) {
  RdConf conf(rd_kafka_conf_new());
  rd_kafka_conf_set_log_cb(conf.get(), &on_log);
  std::string brokers;
  for (const std::string& broker : options.brokers) brokers += (brokers.empty() ? "" : ",") + broker;
  if (brokers.empty()) return fail(Errc::kInvalidArgument, "no brokers are named");
  if (auto done = set(conf.get(), "bootstrap.servers", brokers, true); !done) return std::unexpected(done.error());
  // Defaults that an operator may change: quick after a broker's restart, and bounded.
  std::vector<std::pair<std::string, std::string>> base = {{"client.id", "sluice"}, {"reconnect.backoff.ms", "50"},
                                                           {"reconnect.backoff.max.ms", "2000"},
                                                           {"topic.metadata.refresh.interval.ms", "60000"}};
  if (is_writer) base.emplace_back("partitioner", "murmur2_random");  // as Java's producers part keys
  if (!is_writer) base.emplace_back("queued.max.messages.kbytes", "16384");
  for (const auto& [name, value] : base)
    if (auto done = set(conf.get(), name, value, true); !done) return std::unexpected(done.error());
  for (const auto& [name, value] : options.properties) {
    if (is_refused(name)) return fail(Errc::kInvalidArgument, "property '" + name + "' is the adapter's own");
    if (auto done = set(conf.get(), name, value, !is_secret(name)); !done) return std::unexpected(done.error());
  }
  for (const auto& [name, value] : ours)
    if (auto done = set(conf.get(), name, value, true); !done) return std::unexpected(done.error());
  return conf;
}

Result<rd_kafka_s*> make_rd_client(RdConf conf, bool is_writer) {
  char why[kError_bytes] = "";
  rd_kafka_t* client = rd_kafka_new(is_writer ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, conf.get(), why, sizeof why);
  if (client == nullptr) return fail(Errc::kInvalidArgument, std::string("librdkafka: ") + why);
  (void)conf.release();  // the client has it now
  return client;
}

Status check_kafka_properties(const KafkaClientOptions& options, bool is_writer) {
  auto conf = make_rd_conf(options, is_writer, {});
  if (!conf) return std::unexpected(conf.error());
  return {};
}

}  // namespace sluice
