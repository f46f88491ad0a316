#include "replicator/healing.h"

#include <fmt/format.h>

#include <algorithm>

#include "proof/copy_marks.h"
#include "replicator/healed_message.h"

namespace sluice {
namespace {

constexpr int kMaxTries = 3;  ///< of a publish without an answer: its id keeps it from being there twice

std::string words(const Error& why) { return why.detail.empty() ? to_string(why.code) : why.detail; }

std::unexpected<Error> at_target(const Error& why) {
  return std::unexpected(Error{why.code, why.api_code, fmt::format("target: {}", words(why))});
}

}  // namespace

HealReport Healing::run(const HealWork& work) {
  const uint64_t all = work.missing.size() + work.wrong.size();
  uint64_t done = 0;
  const auto goes_on = [&](const Status& step) {
    if (!step) report_.ended = step.error();
    if (options_.progress) options_.progress(++done, all);
    return step.has_value();
  };
  for (const StreamSeq seq : work.missing) {
    const auto brought = bring(seq);
    if (!goes_on(brought ? Status() : std::unexpected(brought.error()))) return std::move(report_);
  }
  for (const HealWork::Wrong& place : work.wrong) {
    if (!goes_on(mend(place))) break;
  }
  return std::move(report_);
}

bool Healing::leave(StreamSeq seq, std::string why) {
  report_.left.emplace_back(seq, std::move(why));
  return false;
}

Result<bool> Healing::bring(StreamSeq seq) {
  auto original = source_.message(seq);
  if (!original && (original.error().code == Errc::kTimeout || original.error().code == Errc::kClosed))
    return std::unexpected(Error{original.error().code, 0, fmt::format("source: {}", words(original.error()))});
  if (!original) return leave(seq, fmt::format("source: {}", words(original.error())));
  const auto headers = healed_headers(*original, options_.source_stream, options_.replicator.empty() ? kHealReplicator : options_.replicator,
                                      options_.worker.empty() ? kHealWorker : options_.worker + std::string(kHealedWorkerSuffix));
  if (!headers) return leave(seq, headers.error().detail);
  const std::string subject = options_.rewrite.of_message(original->subject, 0);
  const auto aside = would_push_aside(*original, subject);
  if (!aside) return std::unexpected(aside.error());
  if (*aside) return leave(seq, "the target has a newer message of its subject and keeps the newest ones");
  if (!options_.dry_run) {
    const auto refused = write({subject, {}, *headers, original->payload});
    if (!refused) return std::unexpected(refused.error());
    if (!refused->empty()) return leave(seq, *refused);
  }
  ++report_.healed;
  return true;
}

/// Where a stream keeps so many of each subject, the newest one is what counts.
Result<bool> Healing::would_push_aside(const StoredCopy& original, const std::string& subject) {
  if (!options_.keeps_newest_of_subject) return false;
  auto last = target_.last_message(subject);
  if (!last && last.error().code == Errc::kNotFound) return false;
  if (!last) return at_target(last.error());
  const auto origin = find_copy_mark(last->headers, {options_.source_stream, options_.replicator, options_.worker}).origin;
  return !origin || *origin > original.seq;
}

Result<std::string> Healing::write(const LinkMessage& message) {
  for (int tries = 1;; ++tries) {
    auto ack = target_.publish(message);
    if (!ack && ack.error().code == Errc::kTimeout && tries < kMaxTries) continue;
    if (!ack && ack.error().api_code != 0) {
      if (++refused_in_a_row_ < kMaxRefusedInARow) return words(ack.error());
      return fail(Errc::kRefused, fmt::format("target: {} messages in a row were refused: {}", kMaxRefusedInARow, words(ack.error())));
    }
    if (!ack) return at_target(ack.error());
    if (ack->stream != options_.target_stream)
      return fail(Errc::kRefused, fmt::format("target: the subject {} belongs to stream {}", message.subject, ack->stream));
    refused_in_a_row_ = 0;
    if (ack->duplicate && tries == 1) return std::string("the target's duplicate window knows a healed copy of it: try again after that");
    return std::string();
  }
}

Status Healing::mend(const HealWork::Wrong& place) {
  const auto kept = std::ranges::find_if(place.copies, &HeldCopy::right);
  if (kept == place.copies.end()) {
    const auto brought = bring(place.seq);
    if (!brought) return std::unexpected(brought.error());
    if (!*brought) return {};
  }
  for (auto copy = place.copies.begin(); copy != place.copies.end(); ++copy) {
    if (copy == kept) continue;
    if (auto removed = remove(copy->own); !removed) return removed;
  }
  return {};
}

Status Healing::remove(StreamSeq own) {
  if (!options_.dry_run) {
    if (auto removed = target_.remove(own); !removed)
      return fail(removed.error().code, fmt::format("target: message {} can't be removed, its right copy is there: {}", own.value(),
                                                    words(removed.error())));
  }
  ++report_.removed;
  if (report_.removed_seqs.size() < HealReport::kMaxListed) report_.removed_seqs.push_back(own);
  return {};
}

}  // namespace sluice
