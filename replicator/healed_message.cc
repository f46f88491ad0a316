#include "replicator/healed_message.h"

#include <fmt/format.h>

#include "base/headers.h"
#include "replicator/provenance.h"

namespace sluice {
namespace {

bool does_something(std::string_view header) {
  return header == "Nats-Rollup" || header == "Nats-Incr" || header.starts_with("Nats-Schedule") || header.starts_with("Nats-Batch-");
}

}  // namespace

Result<std::string> healed_headers(const StoredCopy& original, const std::string& source_stream,
                                   const std::string& replicator, const std::string& worker) {
  std::string acts;
  each_header(original.headers, [&acts](std::string_view name, std::string_view) {
    if (does_something(name)) acts = name;
  });
  if (!acts.empty()) return fail(Errc::kUnsupported, fmt::format("it carries {}, which would act once more", acts));
  const Provenance mark{source_stream, original.seq, replicator, worker, original.time / 1'000'000};
  std::string block = original.headers;
  remove_headers_with_prefix(block, "Nats-Expected-");
  remove_header(block, kPositionHeader);
  append_header(block, kProvenanceHeader, format_provenance(mark));
  const std::string id(find_header(block, "Nats-Msg-Id").value_or(""));
  set_header(block, "Nats-Msg-Id", fmt::format("{}:{}:{}:{}", mark.stream, mark.seq.value(), mark.replicator, mark.worker));
  if (!id.empty()) append_header(block, kOriginalIdHeader, id);
  return block;
}

}  // namespace sluice
