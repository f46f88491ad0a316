// What a copy of another stream's message still has to pass. Nothing here answers a publisher: a refusal
// makes the copying wait.
#include <utility>

#include "base/limits.h"
#include "stream/ingest.h"

namespace sluice {

/// Also what a discard-new limit does not let in is skipped: a mirror keeps its origin's sequences.
Verdict Ingest::judge_mirrored(const Offered& offered) {
  const Message& m = offered.message;
  const Verdict skip{.kind = Verdict::Kind::kSkip, .rollup = Rollup::kNone, .seq = {}};
  if (auto room = s_.room_for(size_of(m)); !room)
    return {.kind = Verdict::Kind::kRefuse, .rollup = Rollup::kNone, .seq = {}, .why = room.error()};
  if (check_sizes(offered) || check_discard_new(offered, Rollup::kNone)) return skip;
  if (s_.config.retention == Retention::kInterest &&
      !s_.observers.any([&m](const StreamObserver& o) { return o.selects(m.subject); }))
    return skip;
  Verdict verdict;
  if (s_.config.allow_msg_ttl && !offered.headers.ttl.empty())
    verdict.ttl = parse_message_ttl(offered.headers.ttl);
  return verdict;
}

/// Rollups need no permission, expectations were the origin's.
Verdict Ingest::judge_sourced(const Offered& offered) {
  const PublishHeaders& h = offered.headers;
  const Message& m = offered.message;
  auto refuse = [](Error why) {
    return Verdict{Verdict::Kind::kRefuse, Rollup::kNone, {}, std::move(why)};
  };
  if (s_.config.sealed) return refuse(Error{Errc::kRefused, 10109, {}});
  if (auto room = s_.room_for(size_of(m)); !room) return refuse(room.error());
  if (auto no = check_sequences_left()) return refuse(*std::move(no));
  if (auto no = check_sizes(offered)) return refuse(*std::move(no));
  if (!h.msg_id.empty()) {
    if (auto original = s_.dedup.find(h.msg_id, offered.now))
      return Verdict{Verdict::Kind::kDuplicate, Rollup::kNone, *original, {}};
  }
  Verdict verdict;
  if (s_.config.allow_msg_counter)
    if (auto no = count_copied(offered, verdict)) return refuse(*std::move(no));
  const Rollup asked = parse_rollup(h.rollup);
  const Rollup rollup = asked == Rollup::kInvalid ? Rollup::kNone : asked;
  if (s_.config.retention == Retention::kInterest &&
      !s_.observers.any([&m](const StreamObserver& o) { return o.selects(m.subject); }))
    return Verdict{Verdict::Kind::kSkip, rollup, {}, {}};
  if (auto no = check_discard_new(offered, rollup)) return refuse(*std::move(no));
  verdict.rollup = rollup;
  if (s_.config.allow_msg_ttl && !h.ttl.empty()) verdict.ttl = parse_message_ttl(h.ttl);
  return verdict;
}

}  // namespace sluice
