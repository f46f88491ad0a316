#include "replicator/provenance.h"

#include <fmt/compile.h>
#include <fmt/format.h>

#include <vector>

#include "base/headers.h"
#include "base/parse_number.h"

namespace sluice {
namespace {

/// Mark, position, id and fence are appended one by one.
constexpr size_t kRoomForOurs_bytes = 400;

std::optional<Provenance> parse_mark(std::string_view value) {
  std::string_view words[5];
  for (size_t i = 0; i < 5; ++i) {
    size_t blank = value.find(' ');
    if ((blank == value.npos) != (i == 4)) return std::nullopt;
    words[i] = value.substr(0, blank);
    if (words[i].empty()) return std::nullopt;
    if (i < 4) value.remove_prefix(blank + 1);
  }
  const auto seq = parse_decimal<uint64_t>(words[1]);
  const auto time_ms = parse_decimal<int64_t>(words[4]);
  if (!seq || !time_ms) return std::nullopt;
  return Provenance{std::string(words[0]), StreamSeq(*seq), std::string(words[2]), std::string(words[3]), *time_ms};
}

}  // namespace

std::string format_provenance(const Provenance& p) {
  return fmt::format(FMT_COMPILE("{} {} {} {} {}"), p.stream, p.seq.value(), p.replicator, p.worker, p.time_ms);
}

std::optional<Provenance> find_provenance(std::string_view headers, const Provenance& copy) {
  std::optional<Provenance> newest;
  each_header(headers, [&](std::string_view name, std::string_view value) {
    if (name != kProvenanceHeader) return;
    auto mark = parse_mark(value);
    if (mark && mark->same_copy(copy)) newest = std::move(mark);
  });
  return newest;
}

uint32_t count_hops(std::string_view headers) {
  uint32_t hops = 0;
  each_header(headers, [&](std::string_view name, std::string_view) { hops += name == kProvenanceHeader ? 1 : 0; });
  return hops;
}

std::string copy_headers(std::string_view source_headers, const Provenance& mark, const CopyPosition& position) {
  std::string block;
  block.reserve(source_headers.size() + kRoomForOurs_bytes);
  block.append(source_headers);
  if (block.find("Nats-Expected-") != block.npos) remove_headers_with_prefix(block, "Nats-Expected-");
  if (block.find("Nats-Batch-") != block.npos) remove_headers_with_prefix(block, "Nats-Batch-");
  if (block.find(kPositionHeader) != block.npos) remove_header(block, kPositionHeader);
  append_header(block, kProvenanceHeader, format_provenance(mark));
  append_header(block, kPositionHeader, format_position_header(position));
  return block;
}

std::string copy_message_id(const Provenance& mark, WallNanos origin_created) {
  return fmt::format(FMT_COMPILE("{}:{}:{}:{}:{:x}"), mark.stream, mark.seq.value(), mark.replicator, mark.worker, origin_created);
}

}  // namespace sluice
