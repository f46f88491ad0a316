// What both clients of librdkafka share. Its own header is seen by .cc files alone.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "adapters/kafka/options.h"
#include "base/error.h"

struct rd_kafka_s;
struct rd_kafka_conf_s;

namespace sluice {

struct RdConfGone {
  void operator()(rd_kafka_conf_s* conf) const;
};
using RdConf = std::unique_ptr<rd_kafka_conf_s, RdConfGone>;

/// Brokers, the operator's properties, and then ours. kInvalidArgument names the property.
Result<RdConf> make_rd_conf(const KafkaClientOptions& options, bool is_writer,
                            const std::vector<std::pair<std::string, std::string>>& ours);

/// Client of that kind; `conf` is used up. `opaque` is what its callbacks get.
Result<rd_kafka_s*> make_rd_client(RdConf conf, bool is_writer);

}  // namespace sluice
