// Bytes of a program at the spool's socket: the first chooses where the rest is cut. Each line gets one line of
// JSON, in order, or the connection ends; the spool goes on.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/log.h"
#include "sim/sim_env.h"
#include "sim/sim_peer.h"
#include "spool/entrance.h"

namespace {

using nlohmann::json;

constexpr size_t kMaxLine_bytes = 2048;
constexpr int kInputs_per_world = 200;  ///< what one input left behind meets the next ones

struct World {
  World() {
    sluice::configure_logging({sluice::LogLevel::kOff, false, ""});
    auto opened = sluice::SpoolQueue::open(sim.env(), {.dir = "/spool", .max_messages = 50, .max_quarantined = 20});
    if (!opened) std::abort();
    queue = *std::move(opened);
    requests = std::make_unique<sluice::SpoolRequests>(sim.env(), *queue, nullptr, "n1", false);
    entrance = std::make_unique<sluice::SpoolEntrance>(sim.env().executor, *requests, kMaxLine_bytes);
  }
  sluice::sim::SimEnv sim{1};
  std::unique_ptr<sluice::SpoolQueue> queue;
  std::unique_ptr<sluice::SpoolRequests> requests;
  std::unique_ptr<sluice::SpoolEntrance> entrance;
  int inputs = 0;
};

void check_answers(std::string_view text, size_t asked, bool closed) {
  size_t answers = 0;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos || !json::accept(text.substr(0, end))) std::abort();
    text.remove_prefix(end + 1);
    ++answers;
  }
  if (closed ? answers > asked + 1 : answers != asked) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static std::unique_ptr<World> world;
  if (world == nullptr || ++world->inputs > kInputs_per_world) {
    world.reset();
    world = std::make_unique<World>();
  }
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t asked = static_cast<size_t>(std::ranges::count(bytes, '\n'));
  auto [ours, theirs] = world->sim.net().make_pair();
  world->entrance->accept(std::move(ours));
  sluice::sim::SimPeer peer(std::move(theirs));
  const size_t step = size_t{1} << (data[0] % 12);
  while (!bytes.empty() && !peer.closed()) {
    peer.send(bytes.substr(0, step));
    bytes.remove_prefix(std::min(step, bytes.size()));
    world->sim.run_until_idle();
  }
  world->sim.settle();
  check_answers(peer.received(), asked, peer.closed());
  if (!peer.closed()) peer.close();
  world->sim.run_until_idle();
  if (world->entrance->connections() != 0) std::abort();
  return 0;
}
