#include "stream/stream_advisory.h"

#include <string>

#include <fmt/format.h>

#include "base/nuid.h"
#include "base/time_format.h"
#include "stream/pub_ack.h"

namespace sluice {

void advise_batch_abandoned(Env& env, Bus& bus, const AbandonedBatch& batch) {
  const std::string subject = fmt::format("$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.{}", batch.stream);
  if (!bus.has_interest(subject, "")) return;
  std::string body = fmt::format(
      R"({{"type":"io.nats.jetstream.advisory.v1.stream_batch_abandoned","id":"{}","timestamp":"{}",)"
      R"("stream":{},"batch":{},"reason":"{}")",
      make_nuid(env.random), format_rfc3339(env.clock.wall()), json_quoted(batch.stream),
      json_quoted(batch.id), batch.reason);
  if (!batch.domain.empty()) body += fmt::format(R"(,"domain":{})", json_quoted(batch.domain));
  body += '}';
  bus.publish({.subject = subject, .reply = {}, .headers = {}, .payload = body});
}

}  // namespace sluice
