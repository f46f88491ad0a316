#include "replicator/stream_comparison.h"

#include <fmt/format.h>

#include <algorithm>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/headers.h"
#include "base/parse_number.h"
#include "replicator/provenance.h"

namespace sluice {

namespace {

constexpr std::string_view kSourcedHeader = "Nats-Stream-Source";

/// What copiers write, take off or replace.
bool is_copiers_own(std::string_view name) {
  return name == kProvenanceHeader || name == kPositionHeader || name == kOriginalIdHeader || name == kSourcedHeader ||
         name == "Nats-Msg-Id" || name.starts_with("Nats-Expected-");
}

void add(XXH3_state_t& state, std::string_view part) {
  const uint64_t size = part.size();
  XXH3_128bits_update(&state, &size, sizeof size);
  XXH3_128bits_update(&state, part.data(), part.size());
}

void name(std::vector<StreamSeq>& list, StreamSeq seq) {
  if (list.size() < StreamComparison::kMaxNamed) list.push_back(seq);
}

std::string named(const std::vector<StreamSeq>& list, uint64_t count) {
  if (list.empty()) return {};
  std::string out = ": ";
  for (size_t i = 0; i < list.size(); ++i) out += fmt::format("{}{}", i == 0 ? "" : ", ", list[i].value());
  if (list.size() < count) out += ", …";
  return out;
}

}  // namespace

StreamComparison::Digest StreamComparison::digest_of(const ConsumedMessage& message) const {
  XXH3_state_t state;
  XXH3_128bits_reset(&state);
  add(state, options_.compare_subjects ? message.subject : std::string_view());
  each_header(message.headers, [&state](std::string_view key, std::string_view value) {
    if (is_copiers_own(key)) return;
    add(state, key);
    add(state, value);
  });
  add(state, message.payload);
  const XXH128_hash_t hash = XXH3_128bits_digest(&state);
  return {hash.low64, hash.high64};
}

/// The sequence that a message of the target had at the source.
std::optional<StreamSeq> StreamComparison::origin_of(const ConsumedMessage& message) const {
  if (options_.same_sequences) return message.stream_seq;
  if (const auto mark = find_provenance_of(message.headers, options_.source_stream)) return mark->seq;
  // ADR-36 and later: "<stream>[:<hash>] <seq> …"
  const auto sourced = find_header(message.headers, kSourcedHeader);
  if (!sourced) return std::nullopt;
  const size_t blank = sourced->find(' ');
  const std::string_view stream = sourced->substr(0, std::min(blank, sourced->find(':')));
  if (blank == sourced->npos || stream != options_.source_stream) return std::nullopt;
  const std::string_view rest = sourced->substr(blank + 1);
  const auto seq = parse_decimal<uint64_t>(rest.substr(0, rest.find(' ')));
  if (!seq) return std::nullopt;
  return StreamSeq(*seq);
}

void StreamComparison::meet(StreamSeq seq, const Digest& source, const Digest& target) {
  matched_.insert(seq.value());
  if (source == target) {
    ++report_.equal;
    return;
  }
  ++report_.different;
  name(report_.different_seqs, seq);
}

void StreamComparison::add_source(const ConsumedMessage& message) {
  const Digest digest = digest_of(message);
  last_source_ = message.stream_seq;
  if (const auto copy = target_.find(message.stream_seq); copy != target_.end()) {
    meet(message.stream_seq, digest, copy->second);
    target_.erase(copy);
    return;
  }
  source_.emplace(message.stream_seq, digest);
  if (target_ended_) settle_source();
}

void StreamComparison::add_target(const ConsumedMessage& message) {
  const auto origin = origin_of(message);
  if (!origin) {
    ++report_.of_others;
    return;
  }
  newest_copy_ = std::max(newest_copy_, *origin);
  if (*origin > options_.source_end) return;  // arrived while we read
  const Digest digest = digest_of(message);
  if (matched_.contains(origin->value()) || target_.contains(*origin)) {
    ++report_.doubled;
    name(report_.doubled_seqs, *origin);
    return;
  }
  if (const auto here = source_.find(*origin); here != source_.end()) {
    meet(*origin, here->second, digest);
    source_.erase(here);
    return;
  }
  // The source is read in its order: what it has passed it does not hold.
  if (*origin <= last_source_ || source_ended_) {
    ++report_.only_at_target;
    matched_.insert(origin->value());
    return;
  }
  target_.emplace(*origin, digest);
}

void StreamComparison::settle_source() {
  for (const auto& [seq, digest] : source_) {
    if (seq > newest_copy_) {
      ++report_.behind;
      continue;
    }
    ++report_.missing;
    name(report_.missing_seqs, seq);
  }
  source_.clear();
}

void StreamComparison::end_source() {
  source_ended_ = true;
  report_.only_at_target += target_.size();
  for (const auto& [seq, digest] : target_) matched_.insert(seq.value());
  target_.clear();
}

void StreamComparison::end_target() {
  target_ended_ = true;
  settle_source();
}

std::string describe(const ComparisonReport& r) {
  std::string out = fmt::format("{} messages are equal\n", r.equal);
  const auto line = [&out](uint64_t count, std::string_view what, const std::vector<StreamSeq>& seqs) {
    if (count != 0) out += fmt::format("{} {}{}\n", count, what, named(seqs, count));
  };
  line(r.different, "differ", r.different_seqs);
  line(r.missing, "are missing at the target", r.missing_seqs);
  line(r.doubled, "are there more than once", r.doubled_seqs);
  line(r.behind, "are not copied yet", {});
  line(r.only_at_target, "are no longer at the source", {});
  line(r.of_others, "at the target are not of this source", {});
  return out;
}

}  // namespace sluice
