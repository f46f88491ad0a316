#include "gateway/cli/verify_heal.h"

#include <fmt/format.h>

#include "proof/copy_marks.h"
#include "replicator/healed_message.h"

namespace sluice {
namespace {

constexpr int kMaxTries = 3;  ///< of a publish without an answer: its id keeps it from being there twice

std::string words(const Error& why) { return why.detail.empty() ? to_string(why.code) : why.detail; }

/// Where a stream keeps so many of each subject, the newest one is what counts.
Result<bool> would_push_aside(VerifySide& target, const StoredCopy& original, const std::string& source_stream) {
  if (target.info().max_msgs_per_subject == 0) return false;
  auto last = target.last_message(original.subject);
  if (!last && last.error().code == Errc::kNotFound) return false;
  if (!last) return std::unexpected(last.error());
  const auto origin = find_copy_mark(last->headers, source_stream).origin;
  return !origin || *origin > original.seq;
}

/// @return why it was not written; empty = it was.
Result<std::string> write(VerifySide& target, const StoredCopy& original, const std::string& headers) {
  for (int tries = 1;; ++tries) {
    auto ack = target.publish({original.subject, {}, headers, original.payload});
    if (!ack && ack.error().code == Errc::kTimeout && tries < kMaxTries) continue;
    if (!ack && ack.error().api_code != 0) return words(ack.error());
    if (!ack) return std::unexpected(Error{ack.error().code, 0, fmt::format("target: {}", words(ack.error()))});
    if (ack->stream != target.stream())
      return fail(Errc::kRefused, fmt::format("target: the subject {} belongs to stream {}", original.subject, ack->stream));
    if (ack->duplicate && tries == 1) return std::string("the target's duplicate window knows a healed copy of it: try again after that");
    return std::string();
  }
}

}  // namespace

Result<HealReport> heal(VerifySide& source, VerifySide& target, const std::vector<StreamSeq>& missing, bool dry_run) {
  if (!target.info().mirror_of.empty()) return fail(Errc::kUnsupported, "a mirror takes messages of its origin only: it can't be healed");
  HealReport report;
  for (const StreamSeq seq : missing) {
    auto original = source.message(seq);
    if (!original) {
      report.left.emplace_back(seq, fmt::format("source: {}", words(original.error())));
      continue;
    }
    const auto headers = healed_headers(*original, source.stream());
    if (!headers) {
      report.left.emplace_back(seq, headers.error().detail);
      continue;
    }
    const auto aside = would_push_aside(target, *original, source.stream());
    if (!aside) return std::unexpected(aside.error());
    if (*aside) {
      report.left.emplace_back(seq, "the target has a newer message of its subject and keeps the newest ones");
      continue;
    }
    if (!dry_run) {
      const auto refused = write(target, *original, *headers);
      if (!refused) return std::unexpected(refused.error());
      if (!refused->empty()) {
        report.left.emplace_back(seq, *refused);
        continue;
      }
    }
    ++report.healed;
  }
  return report;
}

}  // namespace sluice
