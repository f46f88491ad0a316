// A stream into a topic of Kafka: each message once, in the order of its key.
#pragma once

#include <memory>

#include "adapters/adapter.h"
#include "adapters/kafka/kafka_port.h"
#include "adapters/kafka_sink/options.h"
#include "client/stream_client.h"
#include "io/env.h"

namespace sluice {

/// Happy path: messages are read in order → become records → are written, a transaction at a time, each with the
/// stream's position in it → the next one, which was read meanwhile.
///
/// Failures: whatever goes wrong ends the session. The next one fences it, which settles what was under way, asks for
/// the position and reads the stream from there. What Kafka refuses for good is found by halves and becomes a dead
/// letter, on disk before the position passes it. README.md of adapters/kafka has the policies.
/// @param make_writer  the way to Kafka, a session each
/// @return kInvalidArgument when a setting can't be used.
Result<std::unique_ptr<Adapter>> make_kafka_sink(Env& env, StreamClient& source, KafkaSinkOptions options,
                                                 KafkaWriterFactory make_writer);
/// On librdkafka.
Result<std::unique_ptr<Adapter>> make_kafka_sink(Env& env, StreamClient& source, KafkaSinkOptions options);

}  // namespace sluice
