#include "replicator/resume_point.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/headers.h"

namespace sluice {
namespace {

constexpr std::chrono::seconds kLookAtScan{5};

}  // namespace

ResumePoint::ResumePoint(Env& env, StreamClient& source, StreamClient& target, const StreamCopyOptions& options,
                         const SubjectRewrite& rewrite, Provenance copy, Known known, Events events)
    : env_(env),
      source_(source),
      target_(target),
      options_(options),
      rewrite_(rewrite),
      copy_(std::move(copy)),
      known_(std::move(known)),
      events_(std::move(events)),
      scan_timer_(env.timers.make([this] { look_at_scan(); })),
      later_(env.timers.make([this] { scan_done(); })) {}

ResumePoint::~ResumePoint() {
  if (known_.fence) known_.fence->cancel();
}

void ResumePoint::ask() {
  asked_ = env_.clock.now();
  step_ = source_.stream_info(options_.stream, [this](Result<StreamFigures> info) { on_source(std::move(info)); });
}

void ResumePoint::on_source(Result<StreamFigures> info) {
  if (!info) return events_.on_failed(fmt::format("source stream '{}': {}", options_.stream, info.error().detail));
  plan_.source = *std::move(info);
  plan_.source_trip = env_.clock.now() - std::exchange(asked_, env_.clock.now());
  step_ = target_.stream_info(options_.target_stream,
                              [this](Result<StreamFigures> found) { on_target(std::move(found)); });
}

void ResumePoint::on_target(Result<StreamFigures> info) {
  if (!info) {
    if (info.error().code == Errc::kNotFound && options_.create_target)
      return read_source_config([this](const std::string& source) { create_target(source); });
    return events_.on_failed(fmt::format("target stream '{}': {}", options_.target_stream, info.error().detail));
  }
  plan_.target = *std::move(info);
  if (plan_.target_trip.count() == 0) plan_.target_trip = env_.clock.now() - asked_;
  if (std::exchange(known_.look_at_config, false))
    return read_source_config([this](const std::string& source) { compare_configs(source); });
  weigh();
}

void ResumePoint::read_source_config(std::move_only_function<void(const std::string&)> then) {
  step_ = source_.api("STREAM.INFO", options_.stream, "",
                      [this, go_on = std::move(then)](Result<std::string> info) mutable {
                        if (!info) return events_.on_failed(fmt::format("source stream '{}': {}", options_.stream, info.error().detail));
                        go_on(*info);
                      });
}

void ResumePoint::create_target(const std::string& source_info) {
  auto config = target_config(source_info, options_, rewrite_);
  if (!config) return events_.on_blocked(fmt::format("target stream '{}': {}", options_.target_stream, config.error().detail));
  step_ = target_.api("STREAM.CREATE", options_.target_stream, *config, [this](Result<std::string> made) {
    if (!made)
      return events_.on_failed(fmt::format("target stream '{}' can't be made: {}", options_.target_stream, made.error().detail));
    known_.look_at_config = false;
    step_ = target_.stream_info(options_.target_stream,
                                [this](Result<StreamFigures> found) { on_target(std::move(found)); });
  });
}

void ResumePoint::compare_configs(const std::string& source_info) {
  step_ = target_.api("STREAM.INFO", options_.target_stream, "", [this, source_info](Result<std::string> target) {
    if (!target)
      return events_.on_failed(fmt::format("target stream '{}': {}", options_.target_stream, target.error().detail));
    const auto differences = config_differences(source_info, *target, options_, rewrite_);
    events_.on_differences(differences);
    if (differences.empty() || !options_.update_target) return weigh();
    auto updated = updated_config(*target, differences);
    if (!updated) return weigh();
    step_ = target_.api("STREAM.UPDATE", options_.target_stream, *updated, [this](Result<std::string> done) {
      if (!done)
        return events_.on_blocked(fmt::format("target stream '{}' can't be made like the source: {}", options_.target_stream, done.error().detail));
      events_.on_differences({});
      weigh();
    });
  });
}

bool ResumePoint::is_known_as_shared() const {
  if (options_.target_writers != TargetWriters::kAuto) return options_.target_writers == TargetWriters::kShared;
  return seen_as_shared_ || (known_.remembered && known_.remembered->shared);
}

/// Then all is looked at anew: it may have changed until the mark stood.
void ResumePoint::put_fence() {
  step_ = {};
  known_.fence->place(plan_.target, {.on_placed =
                                         [this](StreamSeq mark) {
                                           plan_.fence = mark;
                                           step_ = target_.stream_info(options_.target_stream, [this](Result<StreamFigures> info) { on_target(std::move(info)); });
                                         },
                                     .on_failed = [this](const std::string& why) { events_.on_failed(why); },
                                     .on_blocked = [this](const std::string& why) { events_.on_blocked(why); }});
}

void ResumePoint::weigh() {
  const auto& remembered = known_.remembered;
  if (known_.fence && plan_.fence.is_zero() && is_known_as_shared()) return put_fence();
  if (plan_.target.last_seq.is_zero()) {
    // Nothing was ever written there: then the file tells only of what needed no writing.
    if (remembered && remembered->target_seq.is_zero()) return go_on_at(*remembered);
    CopyPosition base = remembered.value_or(CopyPosition{});
    base.target_seq = StreamSeq(0);
    base.shared = false;
    return begin_fresh(base, true);
  }
  step_ = target_.last_message(options_.target_stream, ">",
                               [this](Result<StoredCopy> last) { on_target_last(std::move(last)); });
}

void ResumePoint::on_target_last(Result<StoredCopy> last) {
  if (!last && last.error().code != Errc::kNotFound)
    return events_.on_failed(fmt::format("target's last message: {}", last.error().detail));
  // What an earlier session sent may have come since the stream's figures.
  if (last) plan_.target.last_seq = std::max(plan_.target.last_seq, last->seq);
  const auto& remembered = known_.remembered;
  const bool shared = is_known_as_shared();
  const bool unchanged = remembered && remembered->target_seq <= plan_.target.last_seq &&
                         (!last || last->seq <= remembered->target_seq);
  if (!shared && !unchanged && last) {
    if (const auto mark = find_provenance(last->headers, copy_)) {
      CopyPosition position;
      const auto header = find_header(last->headers, kPositionHeader);
      const auto record = header ? parse_position_header(*header) : std::nullopt;
      if (record) position = *record;
      // Written while others wrote too: then what was settled lies behind the mark.
      const bool was_shared = record && record->source_seq != mark->seq;
      if (was_shared && options_.target_writers == TargetWriters::kAuto)
        return scan_target(remembered && remembered->target_seq <= plan_.target.last_seq ? remembered->target_seq : StreamSeq(0),
                           last->seq);
      position.source_seq = mark->seq;
      position.target_seq = last->seq;
      return go_on_at(position);
    }
  }
  if (!shared && unchanged) return go_on_at(*remembered);
  if (!last) {  // emptied: nothing that begins anew could be there twice
    CopyPosition base = remembered.value_or(CopyPosition{});
    // A queue may have taken these very messages, and given them away before anybody noted where the copy stands: it is asked.
    const bool is_asked = is_into_queue() && !shared && !remembered;
    base.target_seq = is_asked ? StreamSeq(0) : plan_.target.last_seq;
    if (remembered && remembered->target_seq <= base.target_seq) return go_on_at(base);
    return begin_fresh(base, true);
  }
  if (options_.target_writers == TargetWriters::kExclusive && !is_ordered_anew()) {
    return events_.on_blocked(fmt::format("target stream '{}' ends with a message that this copy did not write: give "
                                          "the copy a target of its own, or set target_writers: shared",
                                          options_.target_stream));
  }
  const StreamSeq after = remembered && remembered->target_seq <= plan_.target.last_seq ? remembered->target_seq : StreamSeq(0);
  scan_target(after, last->seq);
}

void ResumePoint::scan_target(StreamSeq after, StreamSeq last) {
  if (known_.fence && plan_.fence.is_zero() && !std::exchange(seen_as_shared_, true)) return put_fence();
  scan_end_ = scan_until_ = last;
  scanned_to_ = after;
  if (after >= last) return scan_done();
  ReadPlan plan{.stream = options_.target_stream,
                .first = after.next(),
                .headers_only = true,
                .consumer_prefix = "SR_resume",
                .description = fmt::format("Sluice replicator {}: looks for its copies", copy_.replicator)};
  scan_ = std::make_unique<StreamReader>(
      env_, target_, std::move(plan),
      StreamReader::Events{[this](const ConsumedMessage& message) { on_scanned(message); },
                           [this](const std::string& why) { events_.on_failed(why); }});
  scan_->start();
  scan_timer_->start(kLookAtScan);
}

/// What is waited for may have been purged or removed since.
void ResumePoint::look_at_scan() {
  scan_timer_->start(kLookAtScan);
  step_ = target_.last_message(options_.target_stream, ">", [this](const Result<StoredCopy>& last) {
    if (later_->active()) return;
    if (!last && last.error().code != Errc::kNotFound) return;  // asked again, or the scan itself fails
    scan_until_ = std::min(scan_until_, last ? last->seq : StreamSeq(0));
    if (scanned_to_ >= scan_until_) later_->start({});
  });
}

void ResumePoint::on_scanned(const ConsumedMessage& message) {
  if (later_->active()) return;
  if (const auto mark = find_provenance(message.headers, copy_)) {
    CopyPosition record;
    const auto header = find_header(message.headers, kPositionHeader);
    if (auto parsed = header ? parse_position_header(*header) : std::nullopt)
      record = *parsed;
    else
      record.source_seq = mark->seq;  // Stream Replicator's own: it copies one after the other
    if (record.origin_created == 0) record.origin_created = plan_.source.created;
    Found& life = scanned_[record.origin_created];
    life.marks.insert_or_assign(mark->seq.value(), std::string(message.subject));
    if (record.source_seq >= life.record.source_seq) life.record = record;
    life.marks.erase(life.marks.begin(), life.marks.upper_bound(life.record.source_seq.value()));
  }
  scanned_to_ = message.stream_seq;
  if (scanned_to_ >= scan_until_) {
    scan_->pause();
    later_->start({});  // the reader is on the stack
  }
}

void ResumePoint::scan_done() {
  scan_.reset();
  scan_timer_->stop();
  step_ = {};  // look_at_scan() may have asked
  const auto& remembered = known_.remembered;
  // Of the life that the source has now, else of the one that came furthest.
  auto found = scanned_.find(plan_.source.created);
  if (found == scanned_.end()) {
    found = std::max_element(scanned_.begin(), scanned_.end(), [](const auto& a, const auto& b) {
      return a.second.record.ledger.read < b.second.record.ledger.read;
    });
  }
  CopyPosition position = remembered.value_or(CopyPosition{});
  if (found != scanned_.end()) {
    const CopyPosition& record = found->second.record;
    const bool same_life = position.origin_created == record.origin_created;
    const bool is_newer = same_life ? record.source_seq > position.source_seq
                                    : record.origin_created == plan_.source.created ||
                                          record.ledger.read > position.ledger.read;
    if (is_newer) {
      const StreamSeq known = position.target_seq, end = position.source_end;
      position = record;
      position.target_seq = known;
      if (same_life) position.source_end = end;
    }
    if (position.origin_created == record.origin_created) take_marks(found->second, position.source_seq);
  }
  position.shared = options_.target_writers != TargetWriters::kExclusive;
  if (!remembered && scanned_.empty()) {
    position.target_seq = scan_end_;
    return begin_fresh(position, true);
  }
  if (plan_.on_target.empty()) position.target_seq = scan_end_;
  go_on_at(position);
}

void ResumePoint::take_marks(const Found& life, StreamSeq after) {
  for (auto mark = life.marks.upper_bound(after.value()); mark != life.marks.end(); ++mark) {
    plan_.on_target.insert(mark->first);
    plan_.newest_on_target[mark->second] = mark->first;
  }
}

/// What the target took beyond a position that is not gone on from.
void ResumePoint::count_what_was_taken(CopyPosition& position) {
  const uint64_t taken = plan_.on_target.size();
  position.ledger.read += taken;
  position.ledger.copied += taken;
  if (!plan_.on_target.empty())
    position.source_seq = std::max(position.source_seq, StreamSeq(plan_.on_target.ranges().rbegin()->second));
  plan_.on_target.clear();
  plan_.newest_on_target.clear();
  // What a queue took since may be of what is copied from here on, by a session that nobody heard of: it is asked.
  if (!is_into_queue() || position.shared) position.target_seq = plan_.target.last_seq;
}

/// The start settings name a sequence that the source has not come to yet.
bool ResumePoint::waits_for_start(const CopyPosition& position) const {
  return options_.start_sequence != 0 && position.source_seq.value() + 1 == options_.start_sequence;
}

void ResumePoint::begin_fresh(CopyPosition base, bool by_start_settings) {
  const uint64_t first = plan_.source.first_seq.value();
  const uint64_t last = plan_.source.last_seq.value();
  uint64_t start = std::max<uint64_t>(first, 1);
  plan_.is_anchored = true;
  if (known_.begin_at && plan_.source.retention == StreamRetention::kLimits) {
    start = std::min(std::max<uint64_t>(known_.begin_at->value(), 1), last + 1);
  } else if (by_start_settings) {
    if (options_.start_at_end) {
      start = last + 1;
    } else if (options_.start_sequence != 0) {
      start = std::max(start, options_.start_sequence);
    } else if (options_.start_delta.count() != 0 || options_.start_time != 0) {
      plan_.is_anchored = false;
      plan_.start_time = options_.start_delta.count() != 0 ? env_.clock.wall() - options_.start_delta.count()
                                                           : options_.start_time;
    }
  }
  plan_.position = base;
  plan_.position.origin_created = plan_.source.created;
  plan_.position.source_seq = StreamSeq(start - 1);
  plan_.position.source_end = plan_.source.last_seq;
  found();
}

void ResumePoint::go_on_at(CopyPosition position) {
  const StreamFigures& source = plan_.source;
  if (is_ordered_anew()) {
    count_what_was_taken(position);
    return begin_fresh(position, true);
  }
  const bool other_life = position.origin_created != 0 && position.origin_created != source.created;
  if (other_life || (position.source_seq > source.last_seq && !waits_for_start(position))) {
    plan_.gap = other_life ? fmt::format("source stream '{}' was made anew since the last copy", options_.stream)
                           : fmt::format("source stream '{}' ends at {} but {} was copied already: it was made anew "
                                         "or restored to an older state",
                                         options_.stream, source.last_seq.value(), position.source_seq.value());
    if (options_.on_gap == OnGap::kStop) return events_.on_blocked(plan_.gap);
    count_what_was_taken(position);
    if (position.source_end > position.source_seq) {
      const uint64_t lost = position.source_end.value() - position.source_seq.value();
      position.ledger.read += lost;
      position.ledger.recreated += lost;
    }
    return begin_fresh(position, options_.on_gap == OnGap::kRestart);
  }
  position.origin_created = source.created;
  if (!pass_vanished_front(position)) return;
  position.source_end = source.last_seq;
  plan_.position = position;
  found();
}

/// @return false when this ended otherwise.
bool ResumePoint::pass_vanished_front(CopyPosition& position) {
  const uint64_t first = plan_.source.first_seq.value();
  if (first <= position.source_seq.value() + 1) return true;
  const uint64_t gone = first - position.source_seq.value() - 1;
  const bool is_queue = plan_.source.retention != StreamRetention::kLimits;
  const uint64_t marked = plan_.on_target.size();  // some of them the target had taken before
  plan_.on_target.erase_below(first);
  const uint64_t copied = marked - plan_.on_target.size();
  const uint64_t lost = gone - copied;
  if (is_queue) {  // taken by others, who have their share of it, or removed
    position.ledger.read += gone;
    position.ledger.copied += copied;
    (options_.filters().empty() ? position.ledger.removed : position.ledger.filtered) += lost;
    position.source_seq = StreamSeq(first - 1);
    return true;
  }
  if (lost != 0) {
    plan_.gap = fmt::format("{} messages of source stream '{}' went before they were copied, the last one {}", lost,
                            options_.stream, first - 1);
    if (options_.on_gap == OnGap::kStop) {
      events_.on_blocked(plan_.gap);
      return false;
    }
  }
  position.ledger.read += gone;
  position.ledger.copied += copied;
  position.ledger.purged += lost;
  position.source_seq = StreamSeq(first - 1);
  if (lost != 0 && options_.on_gap == OnGap::kRestart) {
    count_what_was_taken(position);
    begin_fresh(position, true);
    return false;
  }
  return true;
}

void ResumePoint::found() {
  plan_.position.shared = plan_.position.shared || options_.target_writers == TargetWriters::kShared;
  events_.on_found(std::move(plan_));
}

}  // namespace sluice
