// The rows of the adapters that speak to Kafka.
#include <fmt/format.h>

#include "config/adapter_table.h"
#include "config/config.h"
#include "config/sections.h"

namespace sluice {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

/// A map of names to texts. The values may be secrets: none of them is shown, and those that are written into the
/// file make it private.
void read_properties(ReadContext& context, const YamlNode& node, const FieldRow& row, KafkaClientOptions& into, bool from_files) {
  if (node.kind == YamlNode::Kind::kNull) return;
  if (node.kind != YamlNode::Kind::kMap) {
    context.problems.add(node.place, fmt::format("'{}' must be a section of names and values", row.name));
    return;
  }
  for (const YamlNode::Entry& entry : node.entries) {
    const bool secret = entry.key.find("password") != std::string::npos || entry.key.find("secret") != std::string::npos ||
                        entry.key.ends_with(".pem");
    inside(context, entry.key, entry.place, [&] {
      auto value = from_files ? read_secret_file(context, entry.value) : secret ? read_secret(context, entry.value) : read_text(context, entry.value);
      if (!value) return;
      if (!into.properties.emplace(entry.key, *std::move(value)).second)
        context.problems.add(entry.place, fmt::format("'{}' stands in 'properties' and in 'property_files'", entry.key));
    });
  }
}

/// What both directions begin with.
template <class O>
FieldTable<O> table_of(const char* sentence, const char* kind) {
  auto t = adapter_table<O>(sentence, kind, "Name of the adapter in logs, metrics, dead letters, and of its position.");
  t.text_list("brokers", &O::brokers).needed().doc("Some of the brokers, `host:port`.");
  t.own("properties", FieldKind::kSection, "",
        [](ReadContext& c, const YamlNode& n, const FieldRow& r, O& o) { read_properties(c, n, r, o, false); })
      .doc("Further settings by librdkafka's own names: `security.protocol`, `sasl.mechanism`, `ssl.ca.location` … Refused: those "
           "the adapter stands on, and `plugin.library.paths`.");
  t.own("property_files", FieldKind::kSection, "",
        [](ReadContext& c, const YamlNode& n, const FieldRow& r, O& o) { read_properties(c, n, r, o, true); })
      .doc("The same, each value in a file of its own that must not be world-readable: `sasl.password`, `ssl.key.password`.");
  t.word("cloud_events", &O::events, {{"auto", KafkaEvents::kAuto}, {"require", KafkaEvents::kRequire}, {"off", KafkaEvents::kOff}})
      .doc("`auto`: CloudEvents change between the forms of Kafka and of NATS. `require`: what is none is a dead letter.");
  return t;
}

const FieldRows& source_stream_fields() {
  using O = KafkaSourceOptions;
  static const FieldRows rows = [] {
    FieldTable<O> t("Where records go.");
    t.text("name", &O::stream)
        .needed()
        .doc("Stream; created when missing. An existing one must have `allow_atomic`, `allow_rollup_hdrs` and limits retention.");
    t.text("subject", &O::subject)
        .shown_as("<name>.{topic}.{key}")
        .doc("Subject of each message: `{topic}`, `{partition}` and `{key}` stand for the record's. What can't stand in a token is "
             "percent-encoded.");
    t.size("max_size", &O::max_bytes).at_least(-1).doc("Bytes of all messages. -1: without limit.");
    t.time("max_age", &O::max_age).doc("Of a message. 0: for ever.");
    t.word("storage", &O::memory, {{"file", false}, {"memory", true}}).doc("Where they are kept.");
    return t.take();
  }();
  return rows;
}

const FieldRows& sink_stream_fields() {
  using O = KafkaSinkOptions;
  static const FieldRows rows = [] {
    FieldTable<O> t("What is taken.");
    t.text("name", &O::stream).needed().doc("Stream; waited for when missing.");
    t.text("subject", &O::filter_subject).doc("Filter. Empty: all subjects.");
    t.word("from", &O::from_start, {{"new", false}, {"start", true}})
        .doc("Where to begin when Kafka has no position of this adapter.");
    return t.take();
  }();
  return rows;
}

}  // namespace

const FieldRows& kafka_source_fields() {
  using O = KafkaSourceOptions;
  static const FieldRows rows = [] {
    auto t = table_of<O>("Takes topics of Kafka into a stream, each record once: the position is stored with the data.", "kafka_source");
    t.text_list("topics", &O::topics).needed().doc("Topics.");
    t.word("from", &O::from_start, {{"new", false}, {"start", true}}).doc("Where to begin in a topic that was never read.");
    t.word("on_recreated", &O::restart_recreated, {{"stop", false}, {"restart", true}})
        .doc("When a topic was deleted and made again: read it from its start, or no more.");
    t.word("on_expired", &O::pass_expired, {{"stop", false}, {"continue", true}})
        .doc("When records were gone before they were read: count them as lost and go on, or read no more.");
    t.time("refresh", &O::refresh).between(seconds(1), hours(1)).doc("New partitions are looked for that often.");
    t.group("stream", source_stream_fields()).doc("Where records go.");
    t.size("max_message_size", &O::max_message_bytes)
        .between(1024, int64_t{32} * kMiB)
        .doc("Headers and payload; larger ones are dead letters. The server's max_payload must allow it.");
    t.count("max_in_flight", &O::max_in_flight)
        .between(1, 100'000)
        .doc("Records read and not yet durable, before reading pauses; a batch has 999 at most.");
    return t.take();
  }();
  return rows;
}

const FieldRows& kafka_sink_fields() {
  using O = KafkaSinkOptions;
  static const FieldRows rows = [] {
    auto t = table_of<O>("Writes a stream into a topic of Kafka, each message once: the position is committed in the same transaction.",
                         "kafka_sink");
    t.group("stream", sink_stream_fields()).doc("What is taken.");
    t.text("topic", &O::topic).needed().doc("Topic.");
    t.word("key", &O::key, {{"subject", KafkaKeySource::kSubject}, {"none", KafkaKeySource::kNone}})
        .doc("Key of a message that did not come from Kafka: its subject, or none. Records of one key keep their order.");
    t.text("transactional_id", &O::transactional_id)
        .shown_as("sluice-<name>")
        .doc("Of the producer, and the group whose offset is the position. Of two with the same one the later wins.");
    t.count("max_batch", &O::max_batch).between(1, 50'000).doc("Messages in one transaction.");
    t.size("max_batch_size", &O::max_batch_bytes).between(1024, int64_t{64} * kMiB).doc("Bytes of them.");
    return t.take();
  }();
  return rows;
}

}  // namespace sluice
