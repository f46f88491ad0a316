#include "simulate/site_worker.h"

#include <fmt/format.h>

namespace sluice::simulate {

using namespace std::chrono_literals;

void SiteWorker::start(StreamClient& client) {
  client_ = &client;
  creating_ = client.create_consumer({.stream = stream_, .durable = "worker", .ack_wait = 2s}, [this](const Result<std::string>& made) {
    if (!made) return;  // its site goes down, or it is started again
    pull_ = client_->pull(stream_, "worker", 20, [this](const ConsumedMessage& message) { take(message); }, [](const Error&) {});
  });
}

void SiteWorker::stop() {
  creating_.cancel();
  pull_.reset();
  open_.clear();
  client_ = nullptr;
}

void SiteWorker::take(const ConsumedMessage& message) {
  StoredCopy copy{message.stream_seq, std::string(message.subject), std::string(message.headers), std::string(message.payload), message.time};
  const auto [before, fresh] = taken_.try_emplace(message.stream_seq.value(), copy);
  if (!fresh && (before->second.headers != copy.headers || before->second.payload != copy.payload))
    fault_ = fmt::format("{} of the target is another message now", message.stream_seq.value());
  open_.emplace_back(message.ack_subject);
}

void SiteWorker::acknowledge_some(sim::SimRandom& random) {
  if (client_ == nullptr || open_.empty()) return;
  for (uint64_t count = random.between(1, open_.size()); count > 0; --count) {
    const auto one = open_.begin() + static_cast<std::ptrdiff_t>(random.below(open_.size()));
    client_->ack(*one);
    open_.erase(one);
  }
}

}  // namespace sluice::simulate
