#include "client/inbound_queues.h"

namespace sluice {

InboundQueues::SourcePtr InboundQueues::add(LinkHandler handler) {
  return sources_.emplace_back(std::make_shared<Source>(std::move(handler)));
}

void InboundQueues::remove(const SourcePtr& source) {
  source->removed = true;
  waiting_count_ -= source->waiting.size();
  waiting_bytes_ -= source->bytes;
  source->waiting.clear();
  source->bytes = 0;
  std::erase(sources_, source);
}

void InboundQueues::resume(const SourcePtr& source) {
  source->paused = false;
  if (!source->waiting.empty()) post_drain();
}

void InboundQueues::enqueue(const SourcePtr& source, const LinkMessage& message) {
  source->waiting.emplace_back(next_number_++, HeldMessage(message));
  const size_t size = source->waiting.back().second.size();
  source->bytes += size;
  waiting_bytes_ += size;
  ++waiting_count_;
  if (!source->paused) post_drain();
}

void InboundQueues::hand_out(const SourcePtr& source, const LinkMessage& message) {
  if (source->paused || posted_ || !source->waiting.empty()) return enqueue(source, message);
  const SourcePtr kept = source;  // the handler may remove it
  kept->handler(message);
}

InboundQueues::SourcePtr InboundQueues::next_source() const {
  SourcePtr oldest;
  for (const SourcePtr& source : sources_) {
    if (source->paused || source->waiting.empty()) continue;
    if (!oldest || source->waiting.front().first < oldest->waiting.front().first) oldest = source;
  }
  return oldest;
}

void InboundQueues::post_drain() {
  if (std::exchange(posted_, true)) return;
  executor_.post([this, alive = std::weak_ptr<char>(alive_)] {
    if (!alive.expired()) drain();
  });
}

void InboundQueues::drain() {
  const std::weak_ptr<char> alive = alive_;
  // What comes in meanwhile waits for the next callback, so that others get their turn. `posted_`
  // stays set until the end, so that nothing overtakes.
  const uint64_t end = next_number_;
  SourcePtr source = next_source();
  while (source && source->waiting.front().first < end) {
    const HeldMessage held = std::move(source->waiting.front().second);
    source->waiting.pop_front();
    source->bytes -= held.size();
    waiting_bytes_ -= held.size();
    --waiting_count_;
    source->handler(held.view());
    if (alive.expired()) return;
    source = next_source();
  }
  posted_ = false;
  if (source) post_drain();
  drained_();
}

}  // namespace sluice
