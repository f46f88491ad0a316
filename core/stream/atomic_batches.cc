#include "stream/atomic_batches.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/headers.h"
#include "base/parse_number.h"
#include "stream/api_level.h"

namespace sluice {
namespace {

constexpr std::string_view kCommitHeader = "Nats-Batch-Commit";

/// How a message ends its batch: not at all, as its last message, or as a mere end mark.
enum class Ending : uint8_t { kNone, kCommit, kEndMark, kInvalid };

Ending ending_of(std::string_view commit) {
  if (commit.data() == nullptr) return Ending::kNone;
  if (commit == "1") return Ending::kCommit;
  if (commit == "eob") return Ending::kEndMark;
  return Ending::kInvalid;
}

}  // namespace

const char* to_string(AtomicBatches::Reason reason) {
  switch (reason) {
    case AtomicBatches::Reason::kTimeout: return "timeout";
    case AtomicBatches::Reason::kLarge: return "large";
    case AtomicBatches::Reason::kIncomplete: return "incomplete";
    case AtomicBatches::Reason::kUnsupported: return "unsupported";
  }
  return "";
}

AtomicBatches::AtomicBatches(Env& env, const BatchLimits& limits, BatchesOpen& open, OnAbandoned on_abandoned)
    : env_(env), limits_(limits), open_in_all_(open), on_abandoned_(std::move(on_abandoned)),
      idle_timer_(env.timers.make([this] { abandon_idle(); })) {}

std::unexpected<Error> AtomicBatches::refuse(std::string_view id, uint16_t code, std::optional<Reason> reason) {
  const std::string named(id);
  const auto at = open_here_.find(named);
  if (at != open_here_.end()) close(at);
  if (reason) on_abandoned_(named, *reason);
  return fail_api(Errc::kRefused, code, code == 10199 ? fmt::format("{}", limits_.atomic_messages) : "");
}

Result<std::optional<AtomicBatches::Batch>> AtomicBatches::take(const PublishHeaders& headers, const Message& message,
                                                                int api_level) {
  const std::string_view id = headers.batch_id;
  if (id.size() > kMaxBatchId_bytes) return fail_api(Errc::kRefused, 10179, "");
  // A message without a number of its own says nothing about the batch that is open.
  const auto sequence = parse_decimal<uint64_t>(headers.batch_seq);
  if (!sequence) return fail_api(Errc::kRefused, 10175, "");
  const Ending ending = ending_of(headers.batch_commit);
  const bool is_message = ending != Ending::kEndMark;
  const bool too_large = *sequence > limits_.atomic_messages + (is_message ? 0 : 1);
  auto found = open_here_.find(id);
  if (found == open_here_.end()) {
    if (*sequence != 1) return refuse(id, too_large ? 10199 : 10176, std::nullopt);
    const auto begun = begin(id);
    if (!begun) return std::unexpected(begun.error());
    found = *begun;
  }
  Batch& batch = found->second;
  if (ending == Ending::kInvalid) return refuse(id, 10200, std::nullopt);
  if (!api_level_suffices(message.headers, api_level)) return refuse(id, 10185, Reason::kUnsupported);
  if (*sequence != batch.messages.size() + 1 || (*sequence == 1 && !is_message))
    return refuse(id, 10176, Reason::kIncomplete);
  if (too_large) return refuse(id, 10199, Reason::kLarge);
  if (is_message) {
    const size_t size = message.subject.size() + message.headers.size() + message.payload.size();
    if (batch.bytes + size > limits_.atomic_bytes) return refuse(id, 10199, Reason::kLarge);
    if (open_in_all_.atomic_bytes + size > limits_.atomic_bytes_in_all)
      return refuse(id, 10210, Reason::kLarge);
    batch.bytes += size;
    open_in_all_.atomic_bytes += size;
    Staged& staged = batch.messages.emplace_back(std::string(message.subject), std::string(message.headers),
                                                 std::string(message.payload));
    if (!headers.required_api_level.empty()) remove_header(staged.headers, "Nats-Required-Api-Level");
  } else {
    // The last stored message carries the mark, as if it had been known as the last.
    set_header(batch.messages.back().headers, kCommitHeader, "1");
  }
  batch.last_heard = env_.clock.now();
  if (ending != Ending::kNone) return finish(found);
  if (!idle_timer_->active()) idle_timer_->start(limits_.idle);
  return std::nullopt;
}

Result<AtomicBatches::Open::iterator> AtomicBatches::begin(std::string_view id) {
  if (open_here_.size() >= limits_.atomic_per_stream || open_in_all_.atomic >= limits_.atomic_in_all)
    return refuse(id, 10210, std::nullopt);
  ++open_in_all_.atomic;
  const auto made = open_here_.emplace(id, Batch{}).first;
  made->second.id = id;
  return made;
}

AtomicBatches::Batch AtomicBatches::finish(Open::iterator at) {
  Batch whole = std::move(at->second);
  at->second.bytes = whole.bytes;
  close(at);
  return whole;
}

void AtomicBatches::close(Open::iterator at) {
  --open_in_all_.atomic;
  open_in_all_.atomic_bytes -= at->second.bytes;
  open_here_.erase(at);
}

void AtomicBatches::forget(std::string_view id) {
  if (const auto at = open_here_.find(id); at != open_here_.end()) close(at);
}

void AtomicBatches::forget_all() {
  while (!open_here_.empty()) close(open_here_.begin());
  idle_timer_->stop();
}

void AtomicBatches::abandon_idle() {
  const MonoTime now = env_.clock.now();
  std::vector<std::string> gone;
  std::optional<MonoTime> next;
  for (auto at = open_here_.begin(); at != open_here_.end();) {
    const auto here = at++;
    const MonoTime due = here->second.last_heard + limits_.idle;
    if (due <= now) {
      gone.push_back(here->first);
      close(here);
    } else {
      next = next ? std::min(*next, due) : due;
    }
  }
  if (next) idle_timer_->start(*next - now);
  for (const std::string& id : gone) on_abandoned_(id, Reason::kTimeout);
}

}  // namespace sluice
