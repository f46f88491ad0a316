// How Kafka is reached; the same for both directions. Plain data; config/ fills it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace sluice {

struct KafkaClientOptions {
  std::vector<std::string> brokers;               ///< host:port, some of them
  std::map<std::string, std::string> properties;  ///< librdkafka's own names: SASL, TLS, sizes
};

/// What CloudEvents have of their own in messages.
enum class KafkaEvents : uint8_t {
  kAuto,     ///< a record that is a CloudEvent (binary mode) is stored as one, and the reverse
  kRequire,  ///< what is none goes to the dead letters
  kOff,      ///< nobody looks
};

/// What a message is keyed by that did not come from Kafka.
enum class KafkaKeySource : uint8_t { kSubject, kNone };

}  // namespace sluice
