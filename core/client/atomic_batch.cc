#include "client/atomic_batch.h"

#include <memory>
#include <utility>

#include "base/check.h"
#include "base/headers.h"
#include "base/nuid.h"

namespace sluice {

Ticket publish_batch(Env& env, StreamClient& client, std::span<const BatchMessage* const> messages,
                     std::chrono::nanoseconds timeout, std::move_only_function<void(Result<PubAck>)> done) {
  SLUICE_CHECK(!messages.empty() && messages.size() <= kMaxAtomicBatch_count);
  const std::string id = make_nuid(env.random);
  std::string headers;
  for (size_t i = 0; i < messages.size(); ++i) {
    const BatchMessage& one = *messages[i];
    headers = one.headers;
    append_header(headers, "Nats-Batch-Id", id);
    append_header(headers, "Nats-Batch-Sequence", std::to_string(i + 1));
    if (i + 1 == messages.size()) {
      append_header(headers, "Nats-Batch-Commit", "1");
      return client.publish({one.subject, {}, headers, one.payload}, timeout, std::move(done));
    }
    // Without its end the batch is nothing: the server forgets it.
    if (Status sent = client.link().publish({one.subject, {}, headers, one.payload}); !sent) {
      auto waiting = std::make_shared<std::move_only_function<void(Result<PubAck>)>>(std::move(done));
      env.executor.post([waiting, why = std::move(sent.error())]() mutable {
        if (auto told = std::exchange(*waiting, nullptr)) told(std::unexpected(std::move(why)));
      });
      return Ticket([waiting] { *waiting = nullptr; });
    }
  }
  return {};
}

}  // namespace sluice
