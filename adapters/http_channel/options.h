// Settings of an event channel. Plain data; config/ fills it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/limits.h"

namespace sluice {

/// Whose events are delivered one after the other, each only when the one before has been.
enum class ChannelOrder : uint8_t {
  kNone,     ///< nobody's: `concurrency` at a time, as they come
  kChannel,  ///< all of them, one at a time
  kKey,      ///< those with the same `key`
};

enum class ChannelMode : uint8_t { kBinary, kStructured };

/// What of a stream goes into the channel.
struct ChannelRoute {
  std::string stream;
  std::string subject = ">";            ///< filter
  std::vector<std::string> attributes;  ///< "type=com.example.*": all must fit; '*' stands for any text
  bool from_start = false;              ///< what the stream held before the route was made, too
};

struct ChannelAuthentication {
  std::string token;
  std::string user;
  std::string password;
  std::string signature_secret;
  std::string signature_header = "X-Hub-Signature-256";
  std::string signature_prefix = "sha256=";
};

struct HttpChannelOptions {
  std::string name = "channel";
  std::string account;  ///< of the embedded core, whose messages and streams these are; empty = the global one
  std::string endpoint;  ///< http:// or https://
  ChannelMode mode = ChannelMode::kBinary;
  std::vector<ChannelRoute> routes;
  ChannelOrder order = ChannelOrder::kChannel;
  std::string key = "subject";  ///< attribute, for kKey; events without it follow one another
  size_t concurrency = 8;       ///< requests at a time
  ChannelAuthentication authentication;
  std::string ca_file;
  std::string cert_file;
  std::string key_file;
  std::chrono::milliseconds connect_timeout{5000};
  std::chrono::milliseconds timeout{30000};
  std::chrono::nanoseconds first_retry = std::chrono::seconds(1);
  std::chrono::nanoseconds last_retry = std::chrono::minutes(5);
  uint64_t max_attempts = 0;                  ///< then the event is a dead letter; 0 = without end
  std::chrono::nanoseconds give_up_after{0};  ///< time in the channel, likewise; 0 = never

  std::string stream;  ///< empty = "eventchannel-<name>-stream"; created when missing
  int64_t max_bytes = int64_t{4} * kGiB;
  std::chrono::nanoseconds max_age{0};
  bool memory = false;
  std::chrono::nanoseconds duplicate_window = std::chrono::minutes(10);
  size_t max_in_flight = 256;  ///< events taken from the channel's stream and not yet delivered
};

}  // namespace sluice
