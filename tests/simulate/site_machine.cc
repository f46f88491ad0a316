#include "simulate/site_machine.h"

#include "remote/remote_link.h"
#include "simulate/figures.h"

namespace sluice::simulate {

using namespace std::chrono_literals;

SiteMachine::SiteMachine(sim::SimEnv& sim, const std::string& host, SiteProcess process)
    : sim_(sim), machine_(sim.add_machine(host)), process_(std::move(process)) {}

Status SiteMachine::start() {
  if (process_.has_engine) {
    if (auto started = start_engine(); !started) return started;
  }
  up_ = true;
  return process_.replicator ? start_replicator() : Status{};
}

Status SiteMachine::start_engine() {
  sim::SimRandom random(process_.seed);
  NodeOptions options;
  options.server.jetstream = true;
  options.server.server_name = host();
  options.store.dir = "data/node";
  options.store.journal_file_bytes = (64ULL << random.below(3)) * kKiB;
  options.store.segment_max_bytes = (64ULL << random.below(3)) * kKiB;
  options.store.cache_bytes = (128ULL << random.below(4)) * kKiB;
  options.store.reserve_bytes = 512 * kKiB;
  auto node = Node::make(machine_.env(), std::move(options));
  if (!node) return std::unexpected(node.error());
  node_ = *std::move(node);
  if (auto started = node_->start(); !started) return started;
  link_ = make_bus_link(machine_.env(), node_->bus());
  client_ = StreamClient::make(machine_.env(), *link_);
  return {};
}

Status SiteMachine::start_replicator() {
  replicator_ = std::make_unique<Replicator>(
      machine_.env(), *process_.replicator, host(), [this](const LinkOptions& where) -> Result<std::unique_ptr<NatsLink>> {
        if (!where.embedded()) return make_remote_link(machine_.env(), where);
        return make_bus_link(machine_.env(), node_->bus());
      });
  replicating_since_ = sim_.clock().now();
  return replicator_->start();
}

uint64_t SiteMachine::dictionaries_agreed() const {
  return dictionaries_before_ + (node_ ? figure(*node_, "sluice_compression_dictionaries_total", "yes") : 0);
}

void SiteMachine::end() {
  up_ = false;
  dictionaries_before_ = dictionaries_agreed();
  replicator_.reset();
  client_.reset();
  link_.reset();
  node_.reset();
  machine_.drop_tasks();
}

void SiteMachine::crash(sim::Crash kind) {
  if (powered()) machine_.crash(kind);
  end();
  machine_.disk().crash_after_ops(0);
  machine_.disk().power_on();
}

bool SiteMachine::stop() {
  bool stopped = !replicator_;
  if (replicator_) replicator_->stop([&] { stopped = true; });
  if (!sim_.run_until([&] { return stopped || !powered(); }, 60s)) return false;
  replicator_.reset();
  stopped = !node_;
  if (node_ && powered()) node_->stop(DrainPlan(10ms), [&](Status) { stopped = true; });
  if (!sim_.run_until([&] { return stopped || !powered(); }, 120s)) return false;
  end();
  machine_.disk().crash_after_ops(0);
  machine_.disk().power_on();
  return true;
}

Status SiteMachine::restart_replicator(bool orderly) {
  if (orderly && replicator_) {
    bool stopped = false;
    replicator_->stop([&] { stopped = true; });
    if (!sim_.run_until([&] { return stopped || !powered(); }, 60s)) return fail(Errc::kTimeout, "never stops");
  }
  replicator_.reset();
  if (!powered()) return {};
  return start_replicator();
}

}  // namespace sluice::simulate
