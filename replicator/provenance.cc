#include "replicator/provenance.h"

#include <fmt/format.h>

#include <charconv>
#include <vector>

#include "base/headers.h"

namespace sluice {
namespace {

template <class T>
bool parse_number(std::string_view text, T& value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

std::optional<Provenance> parse_mark(std::string_view value) {
  std::string_view words[5];
  for (size_t i = 0; i < 5; ++i) {
    size_t blank = value.find(' ');
    if ((blank == value.npos) != (i == 4)) return std::nullopt;
    words[i] = value.substr(0, blank);
    if (words[i].empty()) return std::nullopt;
    if (i < 4) value.remove_prefix(blank + 1);
  }
  uint64_t seq = 0;
  Provenance mark{std::string(words[0]), {}, std::string(words[2]), std::string(words[3]), 0};
  if (!parse_number(words[1], seq) || !parse_number(words[4], mark.time_ms)) return std::nullopt;
  mark.seq = StreamSeq(seq);
  return mark;
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
