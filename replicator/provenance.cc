#include "replicator/provenance.h"

#include <fmt/format.h>

#include <vector>

#include "base/headers.h"
#include "base/parse_number.h"

namespace sluice {
namespace {

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
  return fmt::format("{} {} {} {} {}", p.stream, p.seq.value(), p.replicator, p.worker, p.time_ms);
}

std::optional<Provenance> find_provenance(std::string_view headers, std::string_view stream,
                                          std::string_view worker) {
  std::optional<Provenance> newest;
  each_header(headers, [&](std::string_view name, std::string_view value) {
    if (name != kProvenanceHeader) return;
    auto mark = parse_mark(value);
    if (mark && mark->stream == stream && mark->worker == worker) newest = std::move(mark);
  });
  return newest;
}

std::string copy_headers(std::string_view source_headers, const Provenance& mark,
                         StreamSeq expected_target_last) {
  std::string block(source_headers);
  if (block.find("Nats-Expected-") != block.npos) remove_headers_with_prefix(block, "Nats-Expected-");
  append_header(block, kProvenanceHeader, format_provenance(mark));
  append_header(block, "Nats-Expected-Last-Sequence", fmt::format("{}", expected_target_last.value()));
  return block;
}

}  // namespace sluice
