#include "stream/stream_info.h"

#include <iterator>

#include <fmt/format.h>

#include "stream/pub_ack.h"

namespace sluice {
namespace {

constexpr size_t kMaxLostListed = 10'000;

void append_deleted(std::string& out, const SeqSet& deleted) {
  out += R"(,"deleted":[)";
  bool first = true;
  for (const auto& [from, to] : deleted.ranges()) {
    for (uint64_t seq = from; seq <= to; ++seq) {
      fmt::format_to(std::back_inserter(out), "{}{}", first ? "" : ",", seq);
      first = false;
    }
  }
  out += ']';
}

void append_subjects(std::string& out, const SubjectCounts& subjects) {
  out += R"(,"subjects":{)";
  bool first = true;
  for (const auto& [subject, count] : subjects) {
    fmt::format_to(std::back_inserter(out), "{}{}:{}", first ? "" : ",", json_quoted(subject), count);
    first = false;
  }
  out += '}';
}

/// `mirror` or `sources`, as whoever copies tells it.
void append_sources(std::string& out, Stream& stream) {
  const StreamConfig& config = stream.config();
  if (!config.mirror && config.sources.empty()) return;
  std::vector<SourceStatus> status;
  if (const StreamInbox* inbox = stream.inbox()) status = inbox->source_status();
  status.resize(config.mirror ? 1 : config.sources.size());
  if (config.mirror) {
    out += fmt::format(R"(,"mirror":{})", source_info_json(*config.mirror, status.front()));
    return;
  }
  for (size_t i = 0; i < status.size(); ++i)
    out += fmt::format("{}{}", i == 0 ? R"(,"sources":[)" : ",",
                       source_info_json(config.sources[i], status[i]));
  out += ']';
}

/// Messages that were found damaged beyond repair, as the reference lists them. Their size is not known any more.
void append_lost(std::string& out, const SeqSet& lost) {
  if (lost.empty()) return;
  out += R"(,"lost":{"msgs":[)";
  size_t listed = 0;
  for (const auto& [first, last] : lost.ranges()) {
    for (uint64_t seq = first; seq <= last && listed < kMaxLostListed; ++seq, ++listed) {
      if (listed != 0) out += ',';
      out += std::to_string(seq);
    }
  }
  out += R"(],"bytes":0})";
}

}  // namespace

std::string stream_state_json(Stream& stream, const StreamInfoShown& shown) {
  const StreamState s = stream.store().state();
  std::string out = fmt::format(
      R"({{"messages":{},"bytes":{},"first_seq":{},"first_ts":"{}","last_seq":{},"last_ts":"{}")",
      s.messages, s.bytes, s.first_seq.value(), format_rfc3339(s.first_time), s.last_seq.value(),
      format_rfc3339(s.last_time));
  if (s.num_subjects > 0) out += fmt::format(R"(,"num_subjects":{})", s.num_subjects);
  if (shown.subjects != nullptr && !shown.subjects->empty()) append_subjects(out, *shown.subjects);
  if (s.num_deleted > 0) out += fmt::format(R"(,"num_deleted":{})", s.num_deleted);
  if (shown.deleted_details && s.num_deleted > 0) append_deleted(out, stream.store().deleted());
  append_lost(out, stream.store().lost());
  out += fmt::format(R"(,"consumer_count":{}}})", shown.consumer_count);
  return out;
}

std::string stream_info_members(Stream& stream, const StreamInfoShown& shown, WallNanos now) {
  std::string out = fmt::format(R"("config":{},"created":"{}","state":{})",
                                stream_config_json(stream.config(), shown.server),
                                format_rfc3339(stream.created()), stream_state_json(stream, shown));
  if (!shown.domain.empty()) out += fmt::format(R"(,"domain":{})", json_quoted(shown.domain));
  if (!shown.leader.empty())
    out += fmt::format(R"(,"cluster":{{"leader":{}}})", json_quoted(shown.leader));
  append_sources(out, stream);
  out += fmt::format(R"(,"ts":"{}")", format_rfc3339(now));
  return out;
}

}  // namespace sluice
