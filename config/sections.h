// The rows of each section of the file.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"
#include "config/field.h"

namespace sluice {

const FieldRows& config_fields();               ///< the file itself; target: Config
const FieldRows& core_fields();                 ///< CoreSettings
void read_core(ReadContext& context, const YamlNode& node, const FieldRow& row, Config& config);
const FieldRows& server_fields();               ///< ServerSettings
const FieldRows& tls_listener_fields();         ///< TlsListenerOptions
const FieldRows& websocket_fields();            ///< WebSocketOptions
const FieldRows& leafnodes_fields();            ///< LeafOptions
const FieldRows& store_fields();                ///< StoreSettings
const FieldRows& monitor_fields();              ///< MonitorSettings
const FieldRows& log_fields();                  ///< LogOptions
const FieldRows& alerts_fields();               ///< AlertSettings
const FieldRows& auto_streams_fields();         ///< AutoStreamsSettings
const FieldRows& replicator_fields();           ///< ReplicatorOptions
const FieldRows& jetstream_remote_fields();     ///< RemoteSettings

/// A type of adapter: its word, its rows, and how its options begin.
struct AdapterKind {
  std::string name;
  const FieldRows& (*rows)();
  /// Puts options of this kind, with their defaults, into `into`. @return them, for the rows.
  void* (*begin)(AdapterOptions& into);
};
const std::vector<AdapterKind>& adapter_kinds();
const FieldRows& http_channel_fields();         ///< HttpChannelOptions
const FieldRows& kafka_source_fields();         ///< KafkaSourceOptions
const FieldRows& kafka_sink_fields();           ///< KafkaSinkOptions
const FieldRows& http_events_fields();          ///< HttpEventsOptions
void read_adapters(ReadContext& context, const YamlNode& node, const FieldRow& row, Config& config);

}  // namespace sluice
