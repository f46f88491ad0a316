#include "stream/stream_advisory.h"

#include <string>

#include <fmt/format.h>

#include "base/nuid.h"
#include "base/time_format.h"
#include "stream/pub_ack.h"

namespace sluice {

void advise_batch_abandoned(Env& env, Bus& own, Bus* system, const AbandonedBatch& batch) {
  const std::string subject = fmt::format("$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.{}", batch.stream);
  const bool told_own = own.has_interest(subject, "");
  const bool told_system = system != nullptr && system != &own && system->has_interest(subject, "");
  if (!told_own && !told_system) return;
  // One event: both copies have the same id and time.
  const std::string head =
      fmt::format(R"({{"type":"io.nats.jetstream.advisory.v1.stream_batch_abandoned","id":"{}","timestamp":"{}",)",
                  make_nuid(env.random), format_rfc3339(env.clock.wall()));
  std::string tail = fmt::format(R"("stream":{},"batch":{},"reason":"{}")", json_quoted(batch.stream),
                                 json_quoted(batch.id), batch.reason);
  if (!batch.domain.empty()) tail += fmt::format(R"(,"domain":{})", json_quoted(batch.domain));
  tail += '}';
  const auto send = [&](Bus& bus, const std::string& body) {
    bus.publish({.subject = subject, .reply = {}, .headers = {}, .payload = body});
  };
  if (told_own) send(own, head + tail);
  if (told_system) send(*system, fmt::format(R"({}"account":{},{})", head, json_quoted(batch.account), tail));
}

}  // namespace sluice
