// Topics of Kafka into a stream: each record once, in the order of its partition.
#pragma once

#include <memory>

#include "adapters/adapter.h"
#include "adapters/kafka/kafka_port.h"
#include "adapters/kafka_source/options.h"
#include "client/stream_client.h"
#include "io/env.h"

namespace sluice {

/// Happy path: records are read → become messages → are stored, a batch at a time, in one atomic batch with the
/// position behind them → the next batch, which was read meanwhile. So a restart begins exactly behind what is stored.
///
/// Failures: README.md here tells what happens to a partition that is gone, shortened or made again; positioned_writer.h
/// what happens when the stream does not answer. A full window reads no more: then librdkafka's queue fills up and
/// it fetches no more.
/// @param make_reader  the way to Kafka
/// @return kInvalidArgument when a setting can't be used.
Result<std::unique_ptr<Adapter>> make_kafka_source(Env& env, StreamClient& target, KafkaSourceOptions options,
                                                   KafkaReaderFactory make_reader);
/// On librdkafka.
Result<std::unique_ptr<Adapter>> make_kafka_source(Env& env, StreamClient& target, KafkaSourceOptions options);

}  // namespace sluice
