// How a server leaves: the listener closes, clients are told, and after a grace they are closed,
// all at once or one after the other, so that they don't all come to the next server in one moment.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "server/server.h"

namespace sluice {
namespace {

constexpr Logger log_{"server"};
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
constexpr nanoseconds kShortestGap = milliseconds(1);
constexpr nanoseconds kLongestGap = std::chrono::seconds(1);

}  // namespace

void Server::drain(DrainPlan plan, std::move_only_function<void()> done) {
  SLUICE_CHECK(!draining_);
  draining_ = true;
  if (plan.spread > nanoseconds::zero()) events_->lame_duck();
  drained_ = std::move(done);
  listener_.reset();
  if (websocket_ != nullptr) websocket_->stop_listening();
  SLUICE_LOG(log_, kInfo, "draining connections={}", connections_.size());
  std::vector<Connection*> told;
  for (const auto& [id, connection] : connections_) told.push_back(connection.get());
  for (Connection* connection : told) connection->send_async_info(InfoKind::kLameDuck);
  drain_timer_ = env_.timers.make([this, plan] { close_spread(plan.spread); });
  drain_timer_->start(plan.grace);
}

/// The first of the steps that take `spread` together.
void Server::close_spread(nanoseconds spread) {
  const auto count = static_cast<int64_t>(connections_.size());
  if (spread <= nanoseconds::zero() || count == 0) {
    finish_drain();
    return;
  }
  const nanoseconds gap = std::clamp(spread / count, kShortestGap, kLongestGap);
  const auto at_once = static_cast<size_t>(std::max<int64_t>(1, count * gap / spread));
  drain_timer_ = env_.timers.make([this, gap, at_once] { close_some(gap, at_once); });
  close_some(gap, at_once);
}

void Server::close_some(nanoseconds gap, size_t at_once) {
  std::vector<Connection*> next;
  for (const auto& [id, connection] : connections_) {
    if (next.size() == at_once) break;
    next.push_back(connection.get());
  }
  for (Connection* connection : next) {
    if (connection->open()) connection->close(CloseReason::kServerShutdown, {});
  }
  if (connections_.empty()) {
    finish_drain();
    return;
  }
  drain_timer_->start(
      nanoseconds(1 + static_cast<int64_t>(env_.random.below(static_cast<uint64_t>(gap.count())))));
}

void Server::hurry_drain() {
  if (drained_) finish_drain();
}

void Server::finish_drain() {
  drain_timer_->stop();
  events_->shut_down();
  close_all();
  env_.executor.post(std::exchange(drained_, nullptr));
}

void Server::close_all() {
  std::vector<Connection*> open;
  for (const auto& [id, connection] : connections_) open.push_back(connection.get());
  for (Connection* connection : open) {
    if (connection->open()) connection->close(CloseReason::kServerShutdown, {});
  }
}

}  // namespace sluice
