#include "spool/daemon/age_alert.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/nuid.h"
#include "base/time_format.h"

namespace sluice {
namespace {

constexpr Logger kLog{"spool"};
constexpr const char* kSubject = "sluice.advisory.alert.spool_age";
constexpr const char* kAdvice =
    "Submissions of this node wait: `sluice spool status` there says why. Not connected: the gateway, the network or the login; refused: the "
    "stream they go to.";

}  // namespace

void SpoolAgeAlert::look() {
  if (limit_.count() == 0) return;
  std::chrono::nanoseconds oldest{0};
  for (const SpoolQueue::LaneFigures& lane : queue_.lanes()) oldest = std::max(oldest, lane.oldest);
  const bool raised = oldest > limit_;
  if (raised == told_ || link_.state() != LinkState::kConnected) return;
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(oldest).count();
  const nlohmann::ordered_json advisory = {{"type", "io.sluice.advisory.v1.alert"},
                                           {"id", make_nuid(env_.random)},
                                           {"timestamp", format_rfc3339(env_.clock.wall())},
                                           {"alert", "spool_age"},
                                           {"state", raised ? "raised" : "cleared"},
                                           {"value", seconds},
                                           {"what", {identity_}},
                                           {"advice", kAdvice}};
  if (!link_.publish({kSubject, {}, {}, advisory.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)})) return;
  told_ = raised;
  SLUICE_LOG(kLog, kInfo, "age alert {} seconds={}", raised ? "raised" : "cleared", seconds);
}

}  // namespace sluice
