#include "simulate/site_record.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/headers.h"
#include "base/parse_number.h"
#include "replicator/provenance.h"

namespace sluice::simulate {

namespace {

const Provenance kMark{"ORDERS", {}, "edge", "reg", 0};

std::string text(SourcePlace place) { return fmt::format("{}@{}", place.seq, place.life); }

std::string value_of(const std::string& subject) { return subject.substr(subject.rfind('.') + 1); }

}  // namespace

uint64_t SiteRecord::make(sim::SimRandom& random) {
  const uint64_t number = sent_.size() + 1;
  Sent sent;
  sent.subject = fmt::format("s.{}.{}", static_cast<char>('a' + random.below(3)), random.below(4));
  const bool named_by_payload = random.chance(20);
  if (named_by_payload) sent.payload = fmt::format("{}|", number);
  if (!random.chance(10))
    sent.payload.append(random.below(random.chance(static_cast<unsigned>(config_.large_percent)) ? 20'000 : 100), 'p');
  if (!named_by_payload) {
    append_header(sent.headers, "n", std::to_string(number));
    if (random.chance(30)) append_header(sent.headers, "Nats-Msg-Id", fmt::format("id-{}", number));
    if (random.chance(10)) append_header(sent.headers, "Nats-Expected-Stream", "ORDERS");
    if (random.chance(20)) append_header(sent.headers, "x-note", "  kept as it is ");
  }
  sent_[number] = std::move(sent);
  return number;
}

std::optional<uint64_t> SiteRecord::number_of(std::string_view headers, std::string_view payload) const {
  const auto named = find_header(headers, "n");
  const auto number = parse_decimal<uint64_t>(named ? *named : payload.substr(0, payload.find('|')));
  if (!number || !sent_.contains(*number)) return std::nullopt;
  return number;
}

void SiteRecord::place_is(uint64_t number, SourcePlace place, const char* who) {
  auto& known = sent_.at(number).place;
  if (known && *known != place)
    return claim(fmt::format("{}: message {} is {} but was {}", who, number, text(place), text(*known)));
  known = place;
  const auto [other, fresh] = at_.emplace(place, number);
  if (!fresh && other->second != number)
    claim(fmt::format("{}: {} is message {} but was {}", who, text(place), number, other->second));
}

void SiteRecord::acknowledged(uint64_t number, SourcePlace place) { place_is(number, place, "ack"); }

void SiteRecord::source_holds(const StoredCopy& message, WallNanos life) {
  const auto number = number_of(message.headers, message.payload);
  if (!number) return claim(fmt::format("source holds a strange message at {}", message.seq.value()));
  place_is(*number, {life, message.seq.value()}, "source");
  at_source_[*number] = {life, message.seq.value()};
}

void SiteRecord::target_holds(const StoredCopy& message) {
  if (message.subject.starts_with("foreign.")) {
    ++foreign_seen_[parse_decimal<uint64_t>(message.payload).value_or(0)];
    return;
  }
  if (message.subject == kFenceSubject) return;
  const auto number = number_of(message.headers, message.payload);
  const auto mark = find_provenance(message.headers, kMark);
  const auto header = find_header(message.headers, kPositionHeader);
  const auto record = header ? parse_position_header(*header) : std::nullopt;
  if (!number || !mark || !record)
    return claim(fmt::format("target holds a strange message at {}", message.seq.value()));
  const Sent& sent = sent_.at(*number);
  if (message.payload != sent.payload || message.subject != config_.target_subject(sent.subject) ||
      find_header(message.headers, "x-note") != find_header(sent.headers, "x-note") ||
      find_header(message.headers, "Nats-Expected-Stream"))
    return claim(fmt::format("target holds message {} changed, at {}", *number, message.seq.value()));
  if (!record->ledger.balanced()) claim(fmt::format("unbalanced ledger in the headers at {}", message.seq.value()));
  if (!config_.matches(sent.subject)) claim(fmt::format("message {} was not selected", *number));
  const SourcePlace place{record->origin_created, mark->seq.value()};
  place_is(*number, place, "target");
  copies_.push_back({*number, place, message.seq.value(), sent.subject});
  ++copied_times_[*number];
}

void SiteRecord::check(const Ending& ending) {
  for (const auto& [number, times] : copied_times_) {
    if (times > 1 + ending.begun_anew + ending.target_purges) claim(fmt::format("message {} was copied {} times", number, times));
  }
  check_order(ending.begun_anew + 3 * ending.target_purges, ending.source_shortened);
  check_all_there(ending);
  check_ledger(ending);
  for (const uint64_t number : foreign_acked_) {
    if (foreign_seen_[number] != 1) claim(fmt::format("message {} of others is there {} times", number, foreign_seen_[number]));
  }
}

/// On a target of its own all of it; where others write, that of each subject.
void SiteRecord::check_order(uint64_t begun_anew, bool source_shortened) {
  const bool whole = config_.copy.target_writers != TargetWriters::kShared && !config_.others_write;
  if (!whole && source_shortened) return;
  std::map<std::string, SourcePlace> last;
  uint64_t back = 0;
  std::string where;
  for (const Copy& copy : copies_) {
    SourcePlace place = copy.place;  // lives in the order in which they were
    place.life = std::find(lives_.begin(), lives_.end(), place.life) - lives_.begin();
    SourcePlace& before = last[whole ? "" : copy.subject];
    if (place < before) {
      ++back;
      where = fmt::format("{} at {} of the target comes behind {}", text(place), copy.target_seq, text(before));
    }
    before = place;
  }
  if (back > begun_anew * (whole ? 1 : 12)) claim("order is not kept: " + where);
}

void SiteRecord::check_all_there(const Ending& ending) {
  std::set<std::string> values;  // sampled, in the source's order
  std::map<SourcePlace, uint64_t> in_order;
  for (const auto& [number, place] : at_source_) in_order[place] = number;
  for (const Copy& copy : copies_) {
    if (copy.place.life != ending.life) values.insert(value_of(copy.subject));
    in_order[copy.place] = copy.number;
  }
  // A queue gives away what was copied: all that was ever acknowledged there must be.
  if (config_.source_is_queue && !ending.source_shortened && lives_.size() == 1) {
    for (const auto& [number, sent] : sent_) {
      if (sent.place) in_order[*sent.place] = number;
    }
  }
  for (const auto& [place, number] : in_order) {
    const Sent& sent = sent_.at(number);
    if (copied_times_.contains(number)) {
      values.insert(value_of(sent.subject));
      continue;
    }
    if (!config_.matches(sent.subject) || place.seq < config_.copy.start_sequence) continue;
    if (config_.copy.max_age.count() != 0) continue;  // the ledger's count tells
    if (config_.has_sampling() && values.contains(value_of(sent.subject))) continue;
    claim(fmt::format("message {} ({}) is at the source and not at the target", number, text(place)));
  }
}

void SiteRecord::check_ledger(const Ending& ending) {
  const Ledger& ledger = ending.position.ledger;
  if (!ledger.balanced()) claim("the ledger does not balance");
  // Where others write, the headers carry what was settled: the tail of one life may go uncounted in the next, and what a
  // leader's old connection still brings is not refused.
  const bool exact = !ending.position.shared || (lives_.size() == 1 && ending.begun_anew == 0 && config_.place != CopierPlace::kTwoApart);
  if (!exact) return;
  // What a queue took and gave away, while nobody heard of it, and the source has lost since, can't be told from what was never copied.
  const bool at_most = ending.target_purges != 0 || (config_.target_is_queue && (ending.source_shortened || lives_.size() > 1));
  if (at_most ? ledger.copied > copies_.size() : ledger.copied != copies_.size())
    claim(fmt::format("the ledger says {} copied, the target has taken {}", ledger.copied, copies_.size()));
  if (ending.begun_anew != 0) return;
  const uint64_t begin = std::max<uint64_t>(config_.copy.start_sequence, 1);
  if (lives_.size() == 1 && config_.source_max_msgs == 0 && ledger.read > ending.source_last - std::min(begin, ending.source_last + 1) + 1)
    claim(fmt::format("the ledger says {} read of {} sequences from {}", ledger.read, ending.source_last, begin));
  if (config_.copy.filters().empty() && ledger.filtered != 0)
    claim(fmt::format("the ledger says {} filtered, without a filter", ledger.filtered));
  if (!config_.has_sampling() && ledger.sampled != 0) claim("the ledger says sampled, without sampling");
  uint64_t selected = 0, elsewhere = 0;
  for (const auto& [number, sent] : sent_) {
    if (!at_source_.contains(number)) ++elsewhere;
    else if (config_.matches(sent.subject) && sent.place->seq >= begin && !copied_times_.contains(number)) ++selected;
  }
  const uint64_t skipped = ledger.sampled + ledger.expired;
  if (skipped < selected)
    claim(fmt::format("{} messages are not at the target, the ledger explains {}", selected, skipped));
  if (lives_.size() == 1 && ledger.lost() > elsewhere)
    claim(fmt::format("the ledger says {} lost at the source, {} are not there any more", ledger.lost(), elsewhere));
}

}  // namespace sluice::simulate
