// May one configuration become another?
#include <utility>

#include <fmt/format.h>

#include "stream/stream_config.h"

namespace sluice {
namespace {

std::unexpected<Error> invalid(std::string text) {
  return fail_api(Errc::kInvalidArgument, 10052, std::move(text));
}

std::unexpected<Error> forbidden(const char* what) {
  return invalid(fmt::format("stream configuration update can not {}", what));
}

void apply_seal(StreamConfig& c) {
  c.max_age = std::chrono::nanoseconds(0);
  c.discard = Discard::kNew;
  c.deny_delete = true;
  c.deny_purge = true;
  c.allow_rollup_hdrs = false;
}

}  // namespace

Status check_stream_update(const StreamConfig& was, StreamConfig& updated) {
  // Delete markers switch TTLs on, which a new stream's checks see only afterwards.
  if (updated.allow_msg_counter && updated.allow_msg_ttl)
    return invalid("counter stream cannot use message TTLs");
  if (was.name != updated.name) return invalid("stream configuration name must match original");
  if (was.storage != updated.storage) return forbidden("change storage type");
  if (was.retention != updated.retention &&
      (was.retention == Retention::kWorkQueue || updated.retention == Retention::kWorkQueue))
    return forbidden("change retention policy to/from workqueue");
  if (was.sealed && !updated.sealed) return forbidden("unseal a sealed stream");
  // Sealing sets these by itself, so a sealed stream's own configuration may be sent back.
  if (was.deny_delete && !updated.deny_delete) return forbidden("cancel deny message deletes");
  if (was.deny_purge && !updated.deny_purge) return forbidden("cancel deny purge");
  if (updated.mirror && was.mirror != updated.mirror)
    return fail_api(Errc::kInvalidArgument, 10055, "");
  if (was.allow_msg_ttl && !updated.allow_msg_ttl)
    return invalid("message TTL status can not be disabled");
  if (was.allow_msg_counter != updated.allow_msg_counter)
    return forbidden("change message counter setting");
  if (was.allow_msg_schedules && !updated.allow_msg_schedules)
    return invalid("message schedules can not be disabled");
  if (was.persist_mode != updated.persist_mode) return forbidden("change persist mode");
  if (updated.sealed) apply_seal(updated);
  return {};
}

}  // namespace sluice
