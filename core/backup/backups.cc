#include "backup/backups.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "backup/stream_restorer.h"
#include "backup/stream_snapshot.h"
#include "consumer/consumer.h"
#include "consumer/consumers.h"

namespace sluice {
namespace {

class AccountBackups final : public Backups {
 public:
  AccountBackups(Env& env, Bus& bus, Streams& streams, Consumers& consumers)
      : env_(env), bus_(bus), streams_(streams), consumers_(consumers) {}
  ~AccountBackups() override { *alive_ = false; }

  Status snapshot(Stream& stream, const SnapshotRequest& request,
                  std::move_only_function<void(const Status&)> ended) override;
  Result<std::string> restore(const StreamConfig& config, RestoreWords words) override;
  void collect(MetricSink& sink) const override;

 private:
  std::vector<std::string> consumer_entries(Stream& stream);
  void sweep_later();
  void sweep();

  Env& env_;
  Bus& bus_;
  Streams& streams_;
  Consumers& consumers_;
  std::vector<std::unique_ptr<StreamSnapshot>> snapshots_;
  std::vector<std::unique_ptr<StreamRestorer>> restores_;
  uint64_t snapshots_ended_ = 0;
  uint64_t snapshots_failed_ = 0;
  uint64_t restores_ended_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

std::vector<std::string> AccountBackups::consumer_entries(Stream& stream) {
  std::vector<std::string> out;
  consumers_.each(stream.config().name, [&out](Consumer& consumer) {
    out.push_back(fmt::format("{}{}", kArchiveConsumers, consumer.name()));
    out.push_back(portable_consumer_json(consumer));
  });
  return out;
}

Status AccountBackups::snapshot(Stream& stream, const SnapshotRequest& request,
                                std::move_only_function<void(const Status&)> ended) {
  if (snapshots_.size() >= kMaxAtOnce) return fail(Errc::kFull, "too many snapshots at once");
  auto told = [this, done = std::move(ended)](const Status& status) mutable {
    ++(status ? snapshots_ended_ : snapshots_failed_);
    done(status);
    sweep_later();
  };
  snapshots_.push_back(std::make_unique<StreamSnapshot>(
      env_, bus_, streams_, stream, request,
      request.no_consumers ? std::vector<std::string>{} : consumer_entries(stream), std::move(told)));
  return {};
}

Result<std::string> AccountBackups::restore(const StreamConfig& config, RestoreWords words) {
  if (restores_.size() >= kMaxAtOnce) return fail_api(Errc::kFull, 10062, "too many restores at once");
  if (auto status = streams_.check_restore(config); !status) return std::unexpected(status.error());
  const bool under_way = std::any_of(restores_.begin(), restores_.end(), [&](const auto& other) {
    return !other->over() && other->stream() == config.name;
  });
  if (under_way) return fail_api(Errc::kExists, 10130, "");
  restores_.push_back(std::make_unique<StreamRestorer>(env_, bus_, streams_, consumers_, config, std::move(words),
                                                       [this] {
                                                         ++restores_ended_;
                                                         sweep_later();
                                                       }));
  return restores_.back()->subject();
}

/// Their own handlers may be on the stack.
void AccountBackups::sweep_later() {
  env_.executor.post([this, alive = alive_] {
    if (*alive) sweep();
  });
}

void AccountBackups::sweep() {
  std::erase_if(snapshots_, [](const auto& one) { return one->over(); });
  std::erase_if(restores_, [](const auto& one) { return one->over(); });
}

void AccountBackups::collect(MetricSink& sink) const {
  const auto number = [](auto value) { return static_cast<double>(value); };
  sink.gauge("sluice_snapshots_running", "Snapshots on their way.", {}, number(snapshots_.size()));
  sink.gauge("sluice_restores_running", "Restores on their way.", {}, number(restores_.size()));
  sink.counter("sluice_snapshots_total", "Snapshots that got through.", {}, number(snapshots_ended_));
  sink.counter("sluice_snapshots_failed_total", "Snapshots that did not.", {}, number(snapshots_failed_));
  sink.counter("sluice_restores_total", "Restores that ended, well or not.", {}, number(restores_ended_));
}

}  // namespace

std::unique_ptr<Backups> Backups::make(Env& env, Bus& bus, Streams& streams, Consumers& consumers) {
  return std::make_unique<AccountBackups>(env, bus, streams, consumers);
}

}  // namespace sluice
