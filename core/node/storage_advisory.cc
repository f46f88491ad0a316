#include "node/storage_advisory.h"

#include <string>

#include <fmt/format.h>

#include "base/nuid.h"
#include "base/time_format.h"
#include "stream/pub_ack.h"

namespace sluice {

void advise_out_of_storage(Env& env, Bus& system, const StorageAdvisory& about) {
  constexpr std::string_view kSubject = "$JS.EVENT.ADVISORY.SERVER.OUT_OF_STORAGE";
  if (!system.has_interest(kSubject, "")) return;
  // `cluster` is always there and empty for a single server; `stream` is left out, as the disk is everybody's.
  std::string body = fmt::format(
      R"({{"type":"io.nats.jetstream.advisory.v1.server_out_of_space","id":"{}","timestamp":"{}",)"
      R"("server":{},"server_id":{},"cluster":"")",
      make_nuid(env.random), format_rfc3339(env.clock.wall()), json_quoted(about.server_name),
      json_quoted(about.server_id));
  if (!about.domain.empty()) body += fmt::format(R"(,"domain":{})", json_quoted(about.domain));
  body += '}';
  system.publish({.subject = kSubject, .reply = {}, .headers = {}, .payload = body});
}

}  // namespace sluice
