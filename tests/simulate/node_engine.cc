// The node as the simulated world's engine.
#include <memory>
#include <utility>

#include "node/node.h"
#include "sim/sim_random.h"
#include "simulate/node_world.h"

namespace sluice::simulate {

namespace {

class NodeEngine : public Engine {
 public:
  explicit NodeEngine(std::unique_ptr<Node> node) : node_(std::move(node)) {}

  void stop(std::function<void()> done) override {
    node_->stop(std::chrono::milliseconds(10), [done = std::move(done)](Status) { done(); });
  }
  std::optional<std::string> failure() const override {
    if (!node_->store().failed()) return std::nullopt;
    const Status why = node_->store().writable();
    return why ? "store failed" : why.error().detail;
  }

 private:
  std::unique_ptr<Node> node_;
};

}  // namespace

Result<std::unique_ptr<Engine>> start_node(Env& env, uint64_t seed) {
  sim::SimRandom random(seed);
  NodeOptions options;
  options.server.jetstream = true;
  options.server.server_name = "simulated";
  options.store.dir = "data/node";
  options.store.journal_file_bytes = (64ULL << random.below(3)) * kKiB;
  options.store.segment_max_bytes = (64ULL << random.below(3)) * kKiB;
  options.store.cache_bytes = (128ULL << random.below(4)) * kKiB;
  options.store.reserve_bytes = 512 * kKiB;
  auto node = Node::make(env, std::move(options));
  if (!node) return std::unexpected(node.error());
  if (auto started = (*node)->start(); !started) return std::unexpected(started.error());
  return std::make_unique<NodeEngine>(*std::move(node));
}

}  // namespace sluice::simulate
