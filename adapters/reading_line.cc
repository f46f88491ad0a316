#include "adapters/reading_line.h"

#include <utility>

namespace sluice {
namespace {

/// Some 1 ms of RSA: so long a stop waits, and a turn of the loop that hands a batch on is far shorter.
constexpr size_t kBatch_count = 64;
constexpr size_t kBatch_bytes = size_t{256} * 1024;

}  // namespace

ReadingLine::ReadingLine(Env& env, SubjectReader& reader, Take take)
    : env_(env), reader_(reader), take_(std::move(take)), worker_(env.disk_workers.make("adapter reader")) {}

void ReadingLine::add(const LinkMessage& message) {
  if (!filling_) filling_ = std::make_shared<Batch>();
  filling_->entries.push_back({HeldMessage(message), std::nullopt});
  const size_t size = filling_->entries.back().message.size();
  filling_->bytes += size;
  bytes_ += size;
  ++count_;
  if (filling_->entries.size() >= kBatch_count || filling_->bytes >= kBatch_bytes) return send();
  if (std::exchange(posted_, true)) return;
  env_.executor.post([this, alive = std::weak_ptr<char>(alive_)] {
    if (alive.expired()) return;
    posted_ = false;
    send();
  });
}

void ReadingLine::send() {
  if (!filling_) return;
  auto batch = std::exchange(filling_, nullptr);
  batch->at = {env_.clock.now(), env_.clock.wall()};
  worker_->submit(
      [&reader = reader_, batch] {
        for (Entry& entry : batch->entries) entry.reading = reader.read(entry.message.view(), batch->at);
        return Status{};
      },
      [this, batch](const Status&) {
        for (Entry& entry : batch->entries) read_.push_back(std::move(entry));
        go_on();
      });
}

void ReadingLine::go_on() {
  const std::weak_ptr<char> alive = alive_;
  while (!read_.empty()) {
    const Entry& first = read_.front();
    if (!take_(first.message.view(), *first.reading) || alive.expired()) return;
    --count_;
    bytes_ -= first.message.size();
    read_.pop_front();
  }
}

}  // namespace sluice
