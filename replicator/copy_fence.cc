#include "replicator/copy_fence.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/headers.h"
#include "base/parse_number.h"
#include "replicator/target_writer.h"
#include "subject/subject.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr uint16_t kWrongLastSequence = 10071;
constexpr auto kPatience = 10s;
constexpr auto kPutTimeout = 10s;

/// The last word of a mark; 0 when it is none.
uint64_t token_of(std::string_view headers) {
  const auto mark = find_header(headers, kFenceHeader);
  if (!mark) return 0;
  return parse_decimal<uint64_t>(mark->substr(mark->rfind(' ') + 1)).value_or(0);
}

}  // namespace

CopyFence::CopyFence(Env& env, StreamClient& target, std::string target_stream, std::string subject, Provenance copy)
    : env_(env), target_(target), target_stream_(std::move(target_stream)), subject_(std::move(subject)), copy_(std::move(copy)) {}

void CopyFence::begin_term(uint64_t token) {
  token_ = token;
  superseded_ = false;
}

void CopyFence::place(const StreamFigures& target, Events events) {
  may_roll_up_ = target.allow_rollup_hdrs;
  events_ = std::move(events);
  const auto takes = [this](const std::string& subject) { return subject_matches(subject, subject_); };
  if (std::none_of(target.subjects.begin(), target.subjects.end(), takes))
    return blocked(fmt::format("target stream '{}' takes no 'fence_subject' {}: add it to the stream's subjects", target_stream_, subject_));
  if (target.retention != StreamRetention::kLimits)
    return blocked(fmt::format("target stream '{}' is a queue, which would not keep the mark of 'fence_subject'", target_stream_));
  step_ = target_.last_message(target_stream_, subject_, [this](const Result<StoredCopy>& mark) { on_looked(mark); });
}

void CopyFence::cancel() {
  step_.cancel();
  events_ = {};
}

void CopyFence::on_looked(const Result<StoredCopy>& mark) {
  step_.release();
  if (!mark && mark.error().code != Errc::kNotFound) return failed("the fence's mark can't be read: " + mark.error().detail);
  const StreamSeq stands = mark ? mark->seq : StreamSeq();
  if (was_refused_ && !ours_.is_zero() && stands == ours_) {
    return blocked(fmt::format("the server of target stream '{}' does not know the fence of 'fence_subject' (nats-server does from 2.12 on)",
                               target_stream_));
  }
  if (const uint64_t later = mark ? token_of(mark->headers) : 0; later > token_ && token_ != 0) {
    if (!std::exchange(superseded_, true)) superseded_at_ = env_.clock.now();
    if (env_.clock.now() - superseded_at_ < kPatience)
      return failed(fmt::format("the mark of a later leader stands on the target, term {}; ours is {}", later, token_));
  }
  superseded_ = false;
  put(stands);
}

void CopyFence::put(StreamSeq stands) {
  std::string headers;
  append_header(headers, kFenceHeader, fmt::format("{} {} {} {}", copy_.stream, copy_.replicator, copy_.worker, token_));
  append_header(headers, "Nats-Expected-Last-Subject-Sequence", fmt::format_int(stands.value()).str());
  if (may_roll_up_) append_header(headers, "Nats-Rollup", "sub");
  step_ = target_.publish({subject_, "", headers, ""}, kPutTimeout, [this](const Result<PubAck>& put) { on_put(put); });
}

void CopyFence::on_put(const Result<PubAck>& put) {
  step_.release();
  if (!put && (put.error().api_code == kWrongLastSequence || passes_by_itself(put.error())))
    return failed("the fence's mark can't be put: " + put.error().detail);
  if (!put) return blocked(fmt::format("target stream '{}' refuses the fence's mark: {}", target_stream_, put.error().detail));
  if (put->stream != target_stream_)
    return blocked(fmt::format("'fence_subject' {} is stored in {} instead of {}", subject_, put->stream, target_stream_));
  ours_ = put->seq;
  was_refused_ = false;
  auto told = std::exchange(events_, {});
  told.on_placed(ours_);
}

void CopyFence::failed(const std::string& why) {
  auto told = std::exchange(events_, {});
  told.on_failed(why);
}

void CopyFence::blocked(const std::string& why) {
  auto told = std::exchange(events_, {});
  told.on_blocked(why);
}

}  // namespace sluice
