#include "consumer/priority_group.h"

#include <algorithm>

#include "base/nuid.h"

namespace sluice {
namespace {

std::unexpected<Error> bad_request(const char* text) { return fail(Errc::kInvalidArgument, text); }

constexpr int64_t kLowestPriority = 9;

}  // namespace

PriorityGroup::PriorityGroup(Env& env, const ConsumerConfig& config, PriorityHost host)
    : env_(env), config_(config), host_(std::move(host)), timer_(env.timers.make([this] { drop_pin("timeout"); })) {}

bool PriorityGroup::knows(std::string_view group) const {
  return std::find(config_.priority_groups.begin(), config_.priority_groups.end(), group) !=
         config_.priority_groups.end();
}

Status PriorityGroup::check(const GroupClaim& claim) const {
  const PriorityPolicy policy = config_.priority_policy;
  if (policy != PriorityPolicy::kOverflow && (claim.min_pending != 0 || claim.min_ack_pending != 0))
    return bad_request("Not a Overflow Priority consumer");
  if (policy != PriorityPolicy::kPinnedClient && !claim.id.empty())
    return bad_request("Not a Pinned Client Priority consumer");
  if (claim.priority < 0 || claim.priority > kLowestPriority)
    return bad_request("Priority must be between 0 and 9");
  if (policy == PriorityPolicy::kNone) return {};
  if (claim.group.empty()) return bad_request("Priority Group missing");
  if (!knows(claim.group)) return bad_request("Invalid Priority Group");
  return {};
}

PriorityGroup::Turn PriorityGroup::turn(const GroupClaim& claim, uint64_t pending, uint64_t ack_pending) const {
  switch (config_.priority_policy) {
    case PriorityPolicy::kNone:
    case PriorityPolicy::kPrioritized: return Turn::kServe;
    case PriorityPolicy::kOverflow: {
      if (claim.min_pending <= 0 && claim.min_ack_pending <= 0) return Turn::kServe;
      const bool many = claim.min_pending > 0 && static_cast<uint64_t>(claim.min_pending) <= pending;
      const bool slow = claim.min_ack_pending > 0 && static_cast<uint64_t>(claim.min_ack_pending) <= ack_pending;
      return many || slow ? Turn::kServe : Turn::kStandBy;
    }
    case PriorityPolicy::kPinnedClient:
      if (claim.id.empty()) return is_pinned() ? Turn::kStandBy : Turn::kServe;
      return claim.id == id_ ? Turn::kServe : Turn::kWrongPin;
  }
  return Turn::kServe;
}

std::string_view PriorityGroup::serve(const GroupClaim& claim) {
  if (config_.priority_policy != PriorityPolicy::kPinnedClient) return {};
  if (!is_pinned()) {
    id_ = make_nuid(env_.random);
    group_ = claim.group;
    pinned_at_ = env_.clock.wall();
    timer_->start(config_.priority_timeout);
    host_.pinned(group_, id_);
  }
  return id_;
}

void PriorityGroup::heard(const GroupClaim& claim) {
  if (is_pinned() && claim.id == id_) timer_->start(config_.priority_timeout);
}

Status PriorityGroup::unpin(std::string_view group) {
  if (!knows(group)) return fail_api(Errc::kNotFound, 10160, {});
  if (is_pinned() && group_ != group) return {};
  group_ = group;
  drop_pin("admin");
  return {};
}

void PriorityGroup::reconfigure() {
  if (!is_pinned()) return;
  if (config_.priority_policy != PriorityPolicy::kPinnedClient || !knows(group_)) drop_pin("admin");
}

void PriorityGroup::drop_pin(const char* reason) {
  timer_->stop();
  id_.clear();
  pinned_at_ = kZeroTime;
  host_.unpinned(group_, reason);
}

}  // namespace sluice
