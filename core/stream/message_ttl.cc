#include "stream/message_ttl.h"

#include <cstdint>
#include <limits>

#include "base/parse_number.h"

namespace sluice {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;
using namespace std::chrono_literals;

bool says_never(std::string_view text) {
  constexpr std::string_view kNever = "never";
  if (text.size() != kNever.size()) return false;
  for (size_t i = 0; i < text.size(); ++i)
    if ((text[i] | 0x20) != kNever[i]) return false;
  return true;
}

/// A due time past the end of the clock's range is its end.
WallNanos add_saturating(WallNanos stored, seconds life) {
  constexpr WallNanos kEnd = std::numeric_limits<WallNanos>::max();
  constexpr int64_t kPerSecond = nanoseconds(1s).count();
  if (life.count() > kEnd / kPerSecond) return kEnd;
  const int64_t nanos = life.count() * kPerSecond;
  return stored > kEnd - nanos ? kEnd : stored + nanos;
}

}  // namespace

std::optional<MessageTtl> parse_message_ttl(std::string_view value) {
  if (says_never(value)) return MessageTtl{.never = true};
  if (const auto duration = parse_go_duration(value)) {
    if (*duration < 1s) return std::nullopt;
    return MessageTtl{.life = std::chrono::duration_cast<seconds>(*duration)};
  }
  const auto whole = parse_decimal<int64_t>(value);
  if (!whole || *whole < 1) return std::nullopt;
  return MessageTtl{.life = seconds(*whole)};
}

std::optional<WallNanos> TtlIndex::insert(StreamSeq seq, WallNanos stored, const MessageTtl& ttl) {
  if (ttl.never) {
    never_.insert(never_.end(), seq);
    return std::nullopt;
  }
  const WallNanos at = add_saturating(stored, ttl.life);
  due_of_.emplace_hint(due_of_.end(), seq, at);
  by_due_.insert({at, seq});
  return at;
}

void TtlIndex::forget(StreamSeq seq) {
  if (auto found = due_of_.find(seq); found != due_of_.end()) {
    by_due_.erase({found->second, seq});
    due_of_.erase(found);
    return;
  }
  never_.erase(seq);
}

void TtlIndex::forget_below(StreamSeq first_kept) {
  const auto kept = due_of_.lower_bound(first_kept);
  if (kept == due_of_.end()) {
    by_due_.clear();
  } else {
    for (auto gone = due_of_.begin(); gone != kept; ++gone) by_due_.erase({gone->second, gone->first});
  }
  due_of_.erase(due_of_.begin(), kept);
  never_.erase(never_.begin(), never_.lower_bound(first_kept));
}

std::optional<TtlIndex::Due> TtlIndex::next_due() const {
  if (by_due_.empty()) return std::nullopt;
  return *by_due_.begin();
}

std::optional<StreamSeq> TtlIndex::first_never() const {
  if (never_.empty()) return std::nullopt;
  return *never_.begin();
}

StreamSeq TtlIndex::after_never_run(StreamSeq from) const {
  for (auto at = never_.find(from); at != never_.end() && *at == from; ++at) from = from.next();
  return from;
}

}  // namespace sluice
