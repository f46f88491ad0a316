#include "stream/fast_batches.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/parse_number.h"

namespace sluice {
namespace {

constexpr std::string_view kMark = ".$FI";
constexpr uint64_t kDefaultFlow = 10;
/// Messages of all open batches together between their acks.
constexpr uint64_t kFlowInAll = 500;

std::unexpected<Error> bad_pattern() { return fail_api(Errc::kRefused, 10206, ""); }

/// Cuts the last token off.
std::optional<std::string_view> take_last(std::string_view& subject) {
  const size_t dot = subject.rfind('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const std::string_view token = subject.substr(dot + 1);
  subject = subject.substr(0, dot);
  return token;
}

uint64_t read_flow(std::string_view text) {
  const auto flow = parse_decimal<uint64_t>(text);
  return flow && *flow > 0 && *flow <= UINT16_MAX ? *flow : kDefaultFlow;
}

}  // namespace

bool is_fast_reply(std::string_view reply) { return reply.ends_with(kMark); }

Result<FastReply> parse_fast_reply(std::string_view reply) {
  reply.remove_suffix(kMark.size());
  const auto operation = take_last(reply);
  const auto sequence = take_last(reply);
  const auto gap = take_last(reply);
  const auto flow = take_last(reply);
  const auto id = take_last(reply);
  if (!operation || !sequence || !gap || !flow || !id || reply.empty()) return bad_pattern();
  FastReply out;
  if (operation->size() != 1 || operation->front() < '0' || operation->front() > '4') return bad_pattern();
  out.operation = static_cast<FastReply::Operation>(operation->front() - '0');
  const auto number = parse_decimal<uint64_t>(*sequence);
  if (!number || *number == 0) return bad_pattern();
  out.sequence = *number;
  if (*gap != "ok" && *gap != "fail") return bad_pattern();
  out.stop_at_gap = *gap == "fail";
  out.flow = read_flow(*flow);
  if (id->empty() || id->size() > kMaxBatchId_bytes) return fail_api(Errc::kRefused, 10207, "");
  out.id = *id;
  return out;
}

FastBatches::FastBatches(Env& env, const BatchLimits& limits, BatchesOpen& open)
    : env_(env), limits_(limits), open_in_all_(open),
      idle_timer_(env.timers.make([this] { forget_idle(); })) {}

FastBatches::Batch* FastBatches::find(std::string_view id) {
  const auto at = open_here_.find(id);
  if (at == open_here_.end()) return nullptr;
  at->second.last_heard = env_.clock.now();
  return &at->second;
}

/// What a batch may have of all open ones' messages between two acks.
uint64_t FastBatches::share(const Batch& batch) const {
  return std::clamp<uint64_t>(kFlowInAll / std::max<size_t>(open_in_all_.fast, 1), 1, batch.wanted_flow);
}

Result<FastBatches::Batch*> FastBatches::begin(const FastReply& reply) {
  if (open_here_.size() >= limits_.fast_per_stream || open_in_all_.fast >= limits_.fast_in_all)
    return fail_api(Errc::kFull, 10211, "");
  ++open_in_all_.fast;
  Batch& batch = open_here_[std::string(reply.id)];
  batch.wanted_flow = reply.flow;
  batch.flow = open_in_all_.fast == 1 ? share(batch) : 1;  // among others it begins slowly
  batch.next_ack = batch.flow;
  batch.last_heard = env_.clock.now();
  if (!idle_timer_->active()) idle_timer_->start(limits_.idle);
  return &batch;
}

void FastBatches::acked(Batch& batch) {
  const uint64_t most = share(batch);
  batch.flow = batch.flow < most ? std::min(batch.flow * 2, most) : std::max(batch.flow / 2, most);
  batch.acked = batch.last;
  batch.next_ack = batch.last + batch.flow;
}

void FastBatches::close(std::string_view id) {
  const auto at = open_here_.find(id);
  if (at == open_here_.end()) return;
  --open_in_all_.fast;
  open_here_.erase(at);
}

void FastBatches::forget_all() {
  // A stream that is closed may outlive the registry whose count this is.
  if (!open_here_.empty()) open_in_all_.fast -= open_here_.size();
  open_here_.clear();
  idle_timer_->stop();
}

void FastBatches::forget_idle() {
  const MonoTime now = env_.clock.now();
  std::optional<MonoTime> next;
  for (auto at = open_here_.begin(); at != open_here_.end();) {
    const auto here = at++;
    const MonoTime due = here->second.last_heard + limits_.idle;
    if (due <= now) {
      --open_in_all_.fast;
      open_here_.erase(here);
    } else {
      next = next ? std::min(*next, due) : due;
    }
  }
  if (next) idle_timer_->start(*next - now);
}

}  // namespace sluice
