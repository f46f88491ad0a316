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

}  // namespace

ApiAnswer account_info(ApiContext& context, const ApiCall&) {
  const Usage usage = usage_of(context.streams);
  const ApiOptions& o = context.options;
  std::string out = fmt::format(
      R"({{"memory":{},"storage":{},"reserved_memory":{},"reserved_storage":{},"streams":{},"consumers":{},)",
      usage.memory, usage.storage, usage.reserved_memory, usage.reserved_storage,
      context.streams.size(), context.consumers.size());
  out += fmt::format(
      R"("limits":{{"max_memory":{},"max_storage":{},"max_streams":{},"max_consumers":{},)"
      R"("max_ack_pending":{},"memory_max_stream_bytes":{},"storage_max_stream_bytes":{},)"
      R"("max_bytes_required":{}}},)",
      o.max_memory_bytes, o.max_file_bytes, o.max_streams, o.max_consumers, o.max_ack_pending,
      o.max_memory_stream_bytes, o.max_file_stream_bytes, o.max_bytes_required);
  if (!o.domain.empty()) out += fmt::format(R"("domain":{},)", json_quoted(o.domain));
  // This request counts as answered.
  out += fmt::format(R"("api":{{"level":{},"total":{},"errors":{}}}}})", o.api_level,
                     context.stats.total, context.stats.errors);
  return ApiAnswer::ok(std::move(out));
}

}  // namespace sluice::verbs
