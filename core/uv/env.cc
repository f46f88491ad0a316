#include "uv/env.h"

#include "uv/disk.h"
#include "uv/disk_worker.h"
#include "uv/mailbox.h"
#include "uv/network.h"
#include "uv/poller.h"
#include "uv/random.h"
#include "uv/timers.h"

namespace sluice {

struct UvEnv::Seams {
  explicit Seams(Loop& loop)
      : timers(make_timers(loop)),
        random(make_random()),
        disk(make_disk()),
        disk_workers(make_disk_workers(loop)),
        network(make_network(loop)),
        mailboxes(make_mailboxes(loop)),
        poller(make_poller(loop)),
        env{loop.clock(),  *timers,  loop.executor(), *random, *disk,
            *disk_workers, *network, *mailboxes,      *poller} {}
  std::unique_ptr<Timers> timers;
  std::unique_ptr<Random> random;
  std::unique_ptr<Disk> disk;
  std::unique_ptr<DiskWorkers> disk_workers;
  std::unique_ptr<UvNetwork> network;
  std::unique_ptr<UvMailboxes> mailboxes;
  std::unique_ptr<Poller> poller;
  Env env;
};

UvEnv::UvEnv() : seams_(std::make_unique<Seams>(loop_)) {}
UvEnv::~UvEnv() = default;

Env& UvEnv::env() { return seams_->env; }

Result<std::unique_ptr<Listener>> UvEnv::listen_local(
    const std::string& path, unsigned mode,
    std::move_only_function<void(std::unique_ptr<Transport>)> on_accept) {
  return seams_->network->listen_local(path, mode, std::move(on_accept));
}

void UvEnv::collect(MetricSink& sink) const {
  loop_.collect(sink);
  seams_->mailboxes->collect(sink);
  seams_->network->collect(sink);
}

}  // namespace sluice
