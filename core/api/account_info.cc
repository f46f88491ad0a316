#include <algorithm>

#include <fmt/format.h>

#include "api/stream_verbs.h"
#include "consumer/consumers.h"
#include "stream/pub_ack.h"

namespace sluice::verbs {
namespace {

struct Usage {
  uint64_t memory = 0;
  uint64_t storage = 0;
  uint64_t reserved_memory = 0;
  uint64_t reserved_storage = 0;
};

Usage usage_of(Streams& streams) {
  Usage usage;
  streams.each([&usage](Stream& stream) {
    const StreamConfig& config = stream.config();
    const uint64_t bytes = stream.store().state().bytes;
    const auto reserved = static_cast<uint64_t>(std::max<int64_t>(config.max_bytes, 0));
    const bool in_memory = config.storage == StorageKind::kMemory;
    (in_memory ? usage.memory : usage.storage) += bytes;
    (in_memory ? usage.reserved_memory : usage.reserved_storage) += reserved;
  });
  return usage;
}

std::string usage_json(const Usage& usage, size_t streams, size_t consumers) {
  return fmt::format(
      R"("memory":{},"storage":{},"reserved_memory":{},"reserved_storage":{},"streams":{},"consumers":{})",
      usage.memory, usage.storage, usage.reserved_memory, usage.reserved_storage, streams, consumers);
}

std::string limits_json(const ApiLimits& l) {
  return fmt::format(
      R"("limits":{{"max_memory":{},"max_storage":{},"max_streams":{},"max_consumers":{},)"
      R"("max_ack_pending":{},"memory_max_stream_bytes":{},"storage_max_stream_bytes":{},)"
      R"("max_bytes_required":{}}})",
      l.max_memory, l.max_storage, l.max_streams, l.max_consumers, l.max_ack_pending,
      l.memory_max_stream_bytes, l.storage_max_stream_bytes, l.max_bytes_required);
}

}  // namespace

ApiAnswer account_info(ApiContext& context, const ApiCall&) {
  const ApiOptions& o = context.options;
  const std::string usage =
      usage_json(usage_of(context.streams), context.streams.size(), context.consumers.size());
  // Where there are tiers nothing is allowed besides them.
  constexpr ApiLimits kNothing{0, 0, 0, 0, 0, 0, 0, false};
  std::string out = fmt::format("{{{},{},", usage, limits_json(o.tiers.empty() ? o.limits : kNothing));
  if (!o.domain.empty()) out += fmt::format(R"("domain":{},)", json_quoted(o.domain));
  // This request counts as answered.
  out += fmt::format(R"("api":{{"level":{},"total":{},"errors":{}}})", o.api_level,
                     context.stats.total, context.stats.errors);
  std::string tiers;
  for (const auto& [name, limits] : o.tiers) {
    if (!tiers.empty()) tiers += ',';
    tiers += fmt::format(R"("{}":{{{},{}}})", name, name == "R1" ? usage : usage_json({}, 0, 0),
                         limits_json(limits));
  }
  if (!tiers.empty()) out += fmt::format(R"(,"tiers":{{{}}})", tiers);
  return ApiAnswer::ok(out + '}');
}

}  // namespace sluice::verbs
