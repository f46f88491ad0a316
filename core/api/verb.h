// What one call of the JetStream API is: its row in the table of verbs, the request, the answer.
//
// To add a verb: write `ApiAnswer name(ApiContext&, const ApiCall&)` in a .cc of this room, declare it
// in stream_verbs.h or consumer_verbs.h, and add its row to verbs.cc.
// Source: the public JetStream API reference (ADR-1, ADR-31) and the nats-server error list (ADR-7).
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "bus/bus.h"
#include "io/env.h"
#include "store/store.h"
#include "stream/streams.h"
#include "stream/unknown_keys.h"

namespace sluice {

class Backups;
class Consumers;

/// Of an account, as INFO shows them; -1 = unlimited.
struct ApiLimits {
  int64_t max_memory = -1;
  int64_t max_storage = -1;
  int64_t max_streams = -1;
  int64_t max_consumers = -1;
  int64_t max_ack_pending = -1;
  int64_t memory_max_stream_bytes = -1;
  int64_t storage_max_stream_bytes = -1;
  bool max_bytes_required = false;
};

struct ApiOptions {
  /// Who a connection is, as JSON for audit advisories; "" or no function: only its id is told.
  std::function<std::string(uint64_t connection_id)> client_info;
  std::string server_name = "sluice";
  std::string server_id;              ///< shown in audit advisories
  std::string domain;                 ///< empty = none
  std::string version = "0.0.0";      ///< compatibility version, `_nats.ver`
  int api_level = 0;                  ///< `_nats.level`; 0 also refuses any higher Nats-Required-Api-Level
  ApiLimits limits;
  /// By replicas, "R1"…; when there are any, they are what counts, and all streams are of R1.
  std::vector<std::pair<std::string, ApiLimits>> tiers;
  UnknownKeys unknown_keys = UnknownKeys::kRefuse;  ///< of requests; pulls and direct gets ignore them always
  std::chrono::nanoseconds max_duplicate_window{0};  ///< server limit; 0 = none
};

struct ApiStats {
  uint64_t total = 0;
  uint64_t errors = 0;
};

/// What a verb may use. All of it outlives the dispatcher.
struct ApiContext {
  Env& env;
  Bus& bus;
  Store* store;  ///< nullptr = memory streams only
  Streams& streams;
  Consumers& consumers;
  Backups& backups;
  const ApiOptions& options;
  const ApiStats& stats;
};

/// One request. All views are for the call only.
struct ApiCall {
  std::string_view subject;  ///< as sent; with a domain prefix when the client used one
  /// What the pattern's wildcards stand for, in order; a final `>` gives the rest, dots included.
  std::array<std::string_view, 3> token;
  std::string_view body;
  std::string_view headers;  ///< whole block; empty = none
};

struct ApiAnswer;
using ApiAnswerDone = std::function<void(const ApiAnswer&)>;  // a move_only_function wants the whole type

/// The members of the reply after "type". The reply leaves once everything that was changed before it
/// is durable, so it never shows a state that a crash could take back.
struct ApiAnswer {
  std::string fields;          ///< text of a JSON object, "{…}"; empty = no further members, errors have none
  std::optional<Error> error;  ///< api_code set; its text goes before the fields
  bool audited = true;         ///< false: no API audit advisory for this one
  std::string headers{};       ///< whole block of the reply; empty = none
  /// Not ready, and nothing else is set: takes whom to call, once, from a later turn of the loop.
  std::move_only_function<void(ApiAnswerDone)> later{};

  static ApiAnswer ok(std::string json_object) { return {std::move(json_object), std::nullopt, true, {}, {}}; }
  /// An error without an api_code of its own is shown as `otherwise`.
  static ApiAnswer failed(Error error, uint16_t otherwise = 10003) {
    if (error.api_code == 0) error.api_code = otherwise;
    return {std::string(), std::move(error), true, {}, {}};
  }
  static ApiAnswer failed(uint16_t api_code, std::string detail = {}) {
    return failed(Error{Errc::kInvalidArgument, api_code, std::move(detail)});
  }
};

struct ApiVerb {
  std::string_view pattern;   ///< after "$JS.API."; `*` = one token, final `>` = one or more
  std::string_view response;  ///< after "io.nats.jetstream.api.v1."
  ApiAnswer (*handle)(ApiContext&, const ApiCall&);
  std::string_view failed = {};  ///< the reply's members at zero, as errors show them: a JSON object
};

/// Every verb this server answers (verbs.cc).
std::span<const ApiVerb> api_verbs();

}  // namespace sluice
