// Settings of an event source. Plain data; config/ fills it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/limits.h"
#include "crypto/tls_acceptor.h"

namespace sluice {

/// What ends the life of an event in the source's stream.
enum class EventRetention : uint8_t {
  kAge,       ///< max_age
  kLimits,    ///< whichever of max_age, max_bytes, max_events comes first
  kSize,      ///< max_bytes, the oldest go first
  kInterest,  ///< every consumer has acknowledged it; without consumers at once
};

enum class DigestText : uint8_t { kHex, kBase64 };

/// Who may send. Bearer token or user and password, either of those that are set; and where a
/// signature secret is set, every body must be signed with it too.
struct HttpEventsAuthentication {
  std::string token;
  std::string previous_token;  ///< still good while senders change over
  std::string user;
  std::string password;
  std::string signature_secret;
  std::string previous_signature_secret;
  std::string signature_header = "X-Hub-Signature-256";
  std::string signature_prefix = "sha256=";  ///< before the digest
  DigestText signature_text = DigestText::kHex;

  bool anonymous() const { return token.empty() && user.empty() && signature_secret.empty(); }
};

struct HttpEventsOptions {
  std::string name = "events";
  std::string account;  ///< of the embedded core, whose messages and streams these are; empty = the global one
  std::string host = "127.0.0.1";
  uint16_t port = 8080;
  std::string path = "/";
  TlsListenerOptions tls;
  HttpEventsAuthentication authentication;
  bool allow_anonymous = false;  ///< beyond loopback without any authentication
  std::vector<std::string> allowed_origins = {"*"};  ///< of the webhook handshake

  uint64_t rate = 0;   ///< events a second; 0 = without limit
  uint64_t burst = 0;  ///< events at once; 0 = one second's worth
  size_t max_event_bytes = 768 * kKiB;
  size_t max_batch_bytes = 4 * kMiB;
  size_t max_batch_count = 1000;
  size_t max_connections = 1024;
  std::chrono::nanoseconds request_timeout = std::chrono::seconds(30);
  std::chrono::nanoseconds idle_timeout = std::chrono::seconds(60);
  std::chrono::nanoseconds busy_timeout = std::chrono::seconds(1);
  std::chrono::nanoseconds answer_timeout = std::chrono::seconds(30);

  std::string stream;   ///< empty = "eventsource-<name>-stream"; created when missing
  std::string subject;  ///< before the event's type; empty = "eventsource.<name>"
  EventRetention retention = EventRetention::kLimits;
  std::chrono::nanoseconds max_age = std::chrono::hours(7 * 24);
  int64_t max_bytes = int64_t{kGiB};
  int64_t max_events = -1;
  bool memory = false;
  std::chrono::nanoseconds duplicate_window = std::chrono::minutes(10);
  size_t max_in_flight = 2000;
};

}  // namespace sluice
