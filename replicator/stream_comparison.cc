#include "replicator/stream_comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace sluice {
namespace {

constexpr uint64_t kFanOut = 256;      ///< parts asked for of one part that differs
constexpr uint64_t kMaxParts = 4096;   ///< and of a run of neighbours
constexpr uint64_t kMaxRun = 64;       ///< so many at most
constexpr uint64_t kSingles = 1024;    ///< a range of so few sequences is asked for one by one

uint64_t size_of(const SequenceRange& range) { return range.last.value() - range.first.value() + 1; }

uint64_t span_for(const SequenceRange& range, uint64_t parts) {
  const uint64_t size = size_of(range);
  return size <= kSingles ? 1 : (size - 1) / parts + 1;
}

SequenceRange part_range(const SequenceRange& range, uint64_t span, uint64_t index) {
  const uint64_t first = range.first.value() + index * span;
  return {StreamSeq(first), StreamSeq(std::min(range.last.value(), first + span - 1))};
}

const RangePart* find(const std::map<uint64_t, RangePart>& parts, uint64_t index) {
  const auto found = parts.find(index);
  return found == parts.end() ? nullptr : &found->second;
}

void widen(SequenceRange& range, const SequenceRange& by) {
  range.first = range.first.is_zero() ? by.first : std::min(range.first, by.first);
  range.last = std::max(range.last, by.last);
}

std::vector<uint64_t> indices_of(const std::map<uint64_t, RangePart>& a, const std::map<uint64_t, RangePart>& b) {
  std::vector<uint64_t> out;
  for (const auto& [index, part] : a) out.push_back(index);
  for (const auto& [index, part] : b) out.push_back(index);
  std::ranges::sort(out);
  out.erase(std::ranges::unique(out).begin(), out.end());
  return out;
}

}  // namespace

bool ComparisonReport::holds(bool exact) const {
  if (different != 0 || doubled != 0 || missing != 0 || stopped) return false;
  return !exact || (behind == 0 && only_at_target == 0 && of_others == 0 && removed_at_target == 0 && disordered == 0);
}

StreamComparison::StreamComparison(ComparisonOptions options, StreamDigests& source, StreamDigests& target, Wait wait)
    : options_(std::move(options)), source_(source), target_(target), wait_(std::move(wait)) {}

DigestRequest StreamComparison::of_source(SequenceRange range, uint64_t span, SequenceRange own) const {
  return {.key = options_.key, .subjects = options_.compare_subjects, .rewrite = options_.rewrite,
          .max_hops = options_.max_hops, .filters = options_.filters, .own = own, .range = range, .span = span};
}

DigestRequest StreamComparison::of_target(SequenceRange range, uint64_t span, SequenceRange own) const {
  if (options_.same_sequences)
    return {.key = options_.key, .subjects = options_.compare_subjects, .own = own, .range = range, .span = span};
  return {.key = options_.key, .origin = options_.source_stream, .replicator = options_.replicator, .worker = options_.worker,
          .hop = options_.hop, .subjects = options_.compare_subjects, .own = own, .range = range, .span = span};
}

/// Both at the same time; who is not asked has nothing.
Result<StreamComparison::Answers> StreamComparison::ask(std::optional<DigestRequest> source,
                                                        std::optional<DigestRequest> target) {
  std::optional<Result<DigestAnswer>> got[2];
  if (source) source_.ask(*std::move(source), false, [&](Result<DigestAnswer> answer) { got[0] = std::move(answer); });
  else got[0] = DigestAnswer{};
  if (target) target_.ask(*std::move(target), false, [&](Result<DigestAnswer> answer) { got[1] = std::move(answer); });
  else got[1] = DigestAnswer{};
  if (!wait_([&] { return got[0] && got[1]; })) return fail(Errc::kTimeout, "given up");
  constexpr std::string_view kNames[] = {"source", "target"};
  for (size_t i = 0; i < 2; ++i) {
    if (*got[i]) continue;
    Error why = got[i]->error();
    why.detail = fmt::format("{}: {}", kNames[i], why.detail.empty() ? to_string(why.code) : why.detail);
    return std::unexpected(std::move(why));
  }
  return Answers{**std::move(got[0]), **std::move(got[1])};
}

Result<DigestAnswer> StreamComparison::ask_page(StreamDigests& side, DigestRequest request) {
  std::optional<Result<DigestAnswer>> got;
  side.ask(std::move(request), true, [&](Result<DigestAnswer> answer) { got = std::move(answer); });
  if (!wait_([&] { return got.has_value(); })) return fail(Errc::kTimeout, "given up");
  return *std::move(got);
}

Status StreamComparison::run() {
  const Status done = options_.sampled ? compare_sampled() : compare_trees();
  finish();
  return done;
}

void StreamComparison::note_target(const DigestAnswer& whole) {
  report_.of_others += whole.others;
  report_.disordered += whole.disordered;
  report_.newest_copy = whole.newest;
  report_.newest_copy_own = whole.newest_own;
  oldest_copy_ = whole.oldest;
}

/// What the target should have; a mirror's last sequence tells even when the message has gone.
SequenceRange StreamComparison::compared() const {
  const StreamSeq newest = options_.same_sequences ? options_.target_end : report_.newest_copy;
  const StreamSeq oldest = options_.target_limited && !oldest_copy_.is_zero() ? oldest_copy_ : StreamSeq(1);
  return {oldest, std::min(options_.source_end, newest)};
}

Status StreamComparison::compare_trees() {
  const SequenceRange all{StreamSeq(1), std::max(options_.source_end, StreamSeq(1))};
  const uint64_t span = span_for(all, kFanOut);
  std::optional<DigestRequest> source;
  std::optional<DigestRequest> target;
  if (!options_.source_end.is_zero()) source = of_source(all, span, all);
  if (!options_.target_end.is_zero()) target = of_target(all, span, {StreamSeq(1), options_.target_end});
  auto answers = ask(std::move(source), std::move(target));
  if (!answers) return std::unexpected(answers.error());
  note_target(answers->target);
  const SequenceRange inside = compared();
  Parts source_parts;
  Parts target_parts;
  for (const uint64_t index : indices_of(answers->source.parts, answers->target.parts)) {
    const SequenceRange range = part_range(all, span, index);
    const RangePart* here = find(answers->source.parts, index);
    const RangePart* there = find(answers->target.parts, index);
    if (inside.first <= range.first && range.last <= inside.last) {
      if (here != nullptr) source_parts.emplace(index, *here);
      if (there != nullptr) target_parts.emplace(index, *there);
      continue;
    }
    const Node border{.range = range, .source_own = here == nullptr ? SequenceRange{} : here->own,
                      .target_own = there == nullptr ? SequenceRange{} : there->own};
    if (auto done = compare_border(border, inside); !done) return done;
  }
  compare_parts({.range = all, .span = span}, source_parts, target_parts);
  return walk();
}

/// A part that lies, wholly or not, above the newest copy or below the oldest one.
Status StreamComparison::compare_border(const Node& part, SequenceRange inside) {
  if (part.range.first < inside.first) {
    const SequenceRange below{part.range.first, std::min(part.range.last, inside.first.prev())};
    if (auto done = count_outside(below, part.source_own, report_.removed_at_target); !done) return done;
  }
  if (part.range.last > inside.last) {
    const SequenceRange above{std::max(part.range.first, inside.last.next()), part.range.last};
    if (auto done = count_outside(above, part.source_own, report_.behind); !done) return done;
  }
  Node node = part;
  node.range = {std::max(part.range.first, inside.first), std::min(part.range.last, inside.last)};
  if (node.range.last < node.range.first) return {};
  node.span = span_for(node.range, kFanOut);
  open_.push_back(node);
  return {};
}

Status StreamComparison::count_outside(SequenceRange outside, SequenceRange own, uint64_t& counter) {
  if (own.first.is_zero() || own.last < outside.first || own.first > outside.last) return {};
  const SequenceRange looked_at{std::max(own.first, outside.first), std::min(own.last, outside.last)};
  auto answers = ask(of_source(outside, size_of(outside), looked_at), std::nullopt);
  if (!answers) return std::unexpected(answers.error());
  for (const auto& [index, part] : answers->source.parts) counter += part.count;
  return {};
}

Status StreamComparison::walk() {
  while (!open_.empty()) {
    if (report_.different + report_.doubled + report_.missing_parts.size() >= options_.max_found) {
      report_.stopped = true;
      return {};
    }
    const Node node = open_.back();
    open_.pop_back();
    std::optional<DigestRequest> source;
    std::optional<DigestRequest> target;
    if (!node.source_own.first.is_zero()) source = of_source(node.range, node.span, node.source_own);
    if (!node.target_own.first.is_zero()) target = of_target(node.range, node.span, node.target_own);
    auto answers = ask(std::move(source), std::move(target));
    if (!answers) return std::unexpected(answers.error());
    compare_parts(node, answers->source.parts, answers->target.parts);
  }
  return {};
}

void StreamComparison::compare_parts(const Node& node, const Parts& source, const Parts& target) {
  Node run;
  uint64_t run_parts = 0;
  uint64_t before = 0;
  for (const uint64_t index : indices_of(source, target)) {
    const SequenceRange range = part_range(node.range, node.span, index);
    const RangePart* here = find(source, index);
    const RangePart* there = find(target, index);
    if (settle(range, here, there)) continue;
    if (node.span == 1) {
      settle_single(range.first, *here, *there);
      continue;
    }
    if (run_parts == kMaxRun || (run_parts != 0 && index != before + 1)) push_run(run, node.span, std::exchange(run_parts, 0));
    add_run(run, range, *here, *there);
    ++run_parts;
    before = index;
  }
  if (run_parts != 0) push_run(run, node.span, run_parts);
}

/// @return false: both have something there, and not the same.
bool StreamComparison::settle(SequenceRange range, const RangePart* source, const RangePart* target) {
  if (source == nullptr) {
    report_.only_at_target += target->count;
  } else if (target == nullptr) {
    report_.missing += source->count;
    report_.missing_parts.push_back({range, source->own, source->count});
  } else if (source->same_messages(*target)) {
    report_.equal += source->count;
  } else {
    return false;
  }
  return true;
}

void StreamComparison::settle_single(StreamSeq seq, const RangePart& source, const RangePart& target) {
  const bool same = target.digest == source.digest.times(target.count);
  if (target.count > 1) {
    report_.doubled += target.count - 1;
    report_.doubled_seqs.push_back(seq);
  }
  if (target.count > 1 || !same) report_.wrong_places.push_back({seq, target.own, target.count});
  if (same) {
    ++report_.equal;
  } else {
    ++report_.different;
    report_.different_seqs.push_back(seq);
  }
}

void StreamComparison::add_run(Node& run, const SequenceRange& range, const RangePart& source, const RangePart& target) {
  widen(run.range, range);
  widen(run.source_own, source.own);
  widen(run.target_own, target.own);
}

void StreamComparison::push_run(Node& run, uint64_t span, uint64_t parts) {
  run.span = span_for(run.range, std::min(kFanOut * parts, kMaxParts));
  SLUICE_CHECK(run.span < span);
  open_.push_back(std::exchange(run, Node{}));
}

// -- sampled copies

Status StreamComparison::compare_sampled() {
  const SequenceRange all{StreamSeq(1), std::max(options_.source_end, StreamSeq(1))};
  DigestAnswer whole;
  uint64_t met = 0;
  for (StreamSeq from(1); from <= options_.target_end;) {
    DigestRequest request = of_target(all, 1, {from, options_.target_end});
    request.seen = whole.newest;
    auto page = ask_page(target_, std::move(request));
    if (!page) return std::unexpected(page.error());
    const uint64_t before = report_.equal + report_.different;
    if (auto done = compare_listed(page->parts); !done) return done;
    met += report_.equal + report_.different - before;
    from = page->next;
    page->parts.clear();
    whole.merge(*std::move(page));
    if (from.is_zero()) break;
  }
  note_target(whole);
  if (options_.source_end.is_zero()) return {};
  const SequenceRange inside = compared();
  uint64_t held = 0;
  if (inside.first > StreamSeq(1)) {
    const SequenceRange below{StreamSeq(1), inside.first.prev()};
    if (auto done = count_outside(below, below, report_.removed_at_target); !done) return done;
  }
  if (inside.first <= inside.last) {
    if (auto done = count_outside(inside, inside, held); !done) return done;
  }
  if (inside.last < options_.source_end) {
    const SequenceRange above{inside.last.next(), options_.source_end};
    if (auto done = count_outside(above, above, report_.behind); !done) return done;
  }
  report_.left_out = held - std::min(held, met);
  return {};
}

Status StreamComparison::compare_listed(const Parts& listed) {
  if (listed.empty()) return {};
  SequenceRange range{StreamSeq(listed.begin()->first + 1), StreamSeq(listed.rbegin()->first + 1)};
  std::vector<SequenceRange> only;
  RangePart sum;
  for (const auto& [index, part] : listed) {
    const StreamSeq seq(index + 1);
    if (!only.empty() && only.back().last.next() == seq)
      only.back().last = seq;
    else
      only.push_back({seq, seq});
    sum.merge(part);
  }
  DigestRequest request = of_source(range, size_of(range), range);
  request.only = only;
  auto answers = ask(request, std::nullopt);
  if (!answers) return std::unexpected(answers.error());
  const RangePart* there = find(answers->source.parts, 0);
  if (there != nullptr && there->same_messages(sum)) {
    report_.equal += sum.count;
    return {};
  }
  request.span = 1;
  answers = ask(std::move(request), std::nullopt);
  if (!answers) return std::unexpected(answers.error());
  Parts source;  // under the target's indices
  for (const auto& [index, part] : answers->source.parts) source.emplace(index + range.first.value() - 1, part);
  compare_parts({.range = {StreamSeq(1), range.last}, .span = 1}, source, listed);
  return {};
}

// -- the end

void StreamComparison::finish() {
  std::ranges::sort(report_.different_seqs);
  std::ranges::sort(report_.doubled_seqs);
  std::ranges::sort(report_.missing_parts, {}, [](const auto& part) { return part.range.first; });
  std::ranges::sort(report_.wrong_places, {}, &ComparisonReport::WrongPlace::seq);
}

Result<std::vector<StreamSeq>> StreamComparison::list_missing(uint64_t max) {
  std::vector<StreamSeq> out;
  for (const auto& part : report_.missing_parts) {
    for (StreamSeq from = part.own.first; !from.is_zero() && from <= part.own.last && out.size() < max;) {
      if (part.range.first == part.range.last) {
        out.push_back(part.range.first);
        break;
      }
      DigestRequest request = of_source(part.range, 1, {from, part.own.last});
      request.max_parts = std::min<uint64_t>(DigestRequest::kMaxParts, max - out.size());
      auto page = ask_page(source_, std::move(request));
      if (!page) return std::unexpected(page.error());
      for (const auto& [index, single] : page->parts) out.push_back(StreamSeq(part.range.first.value() + index));
      from = page->next;
    }
  }
  return out;
}

/// `count` 0: nothing of that message there.
Result<RangePart> StreamComparison::ask_single(StreamSeq seq, bool of_the_source, SequenceRange own) {
  const SequenceRange place{seq, seq};
  std::optional<DigestRequest> source;
  std::optional<DigestRequest> target;
  if (of_the_source) source = of_source(place, 1, own);
  if (!of_the_source) target = of_target(place, 1, own);
  auto answers = ask(std::move(source), std::move(target));
  if (!answers) return std::unexpected(answers.error());
  const RangePart* part = find(of_the_source ? answers->source.parts : answers->target.parts, 0);
  return part == nullptr ? RangePart{} : *part;
}

/// The outer two are known by the answer about all; between them is asked again.
Result<std::vector<HeldCopy>> StreamComparison::copies_of(const ComparisonReport::WrongPlace& place) {
  const auto original = ask_single(place.seq, true, {place.seq, place.seq});
  if (!original) return std::unexpected(original.error());
  if (original->count == 0) return fail(Errc::kNotFound, "gone at the source");
  std::vector<HeldCopy> out;
  for (SequenceRange left = place.target_own; left.first <= left.last;) {
    const auto held = ask_single(place.seq, false, left);
    if (!held) return std::unexpected(held.error());
    if (held->count == 0) break;
    std::vector<StreamSeq> outer{held->own.first};
    if (held->count > 1) outer.push_back(held->own.last);
    for (const StreamSeq own : outer) {
      const auto one = ask_single(place.seq, false, {own, own});
      if (!one) return std::unexpected(one.error());
      if (one->count == 1) out.push_back({own, one->digest == original->digest});
    }
    if (held->count <= 2) break;
    left = {held->own.first.next(), held->own.last.prev()};
  }
  std::ranges::sort(out, {}, &HeldCopy::own);
  return out;
}

std::string describe(const ComparisonReport& r) {
  std::string out = fmt::format("{} messages are equal\n", r.equal);
  const auto line = [&out](uint64_t count, std::string_view what) {
    if (count != 0) out += fmt::format("{} {}\n", count, what);
  };
  line(r.different, "differ");
  line(r.missing, "are missing at the target");
  line(r.doubled, "are there more than once");
  line(r.left_out, "are not at the target, which is sampled");
  line(r.removed_at_target, "are older than what the target's limits keep");
  line(r.behind, "are not copied yet");
  line(r.only_at_target, "are no longer at the source");
  line(r.of_others, "at the target are not of this source");
  line(r.disordered, "stand behind a copy of a later message");
  if (r.stopped) out += "so many differences that the rest was not looked at\n";
  return out;
}

}  // namespace sluice
