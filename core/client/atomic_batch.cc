#include "client/atomic_batch.h"

#include <utility>

#include "base/check.h"
#include "base/headers.h"
#include "base/nuid.h"

namespace sluice {

AtomicBatch::AtomicBatch(Env& env, StreamClient& client) : client_(&client), id_(make_nuid(env.random)) {}

std::string AtomicBatch::headers_of(const BatchMessage& message) {
  SLUICE_CHECK(count_ < kMaxAtomicBatch_count);
  std::string headers = message.headers;
  append_header(headers, "Nats-Batch-Id", id_);
  append_header(headers, "Nats-Batch-Sequence", std::to_string(++count_));
  return headers;
}

Status AtomicBatch::add(const BatchMessage& message) {
  return client_->link().publish({message.subject, {}, headers_of(message), message.payload});
}

Ticket AtomicBatch::commit(const BatchMessage& last, std::chrono::nanoseconds timeout,
                           std::move_only_function<void(Result<PubAck>)> done) {
  std::string headers = headers_of(last);
  append_header(headers, "Nats-Batch-Commit", "1");
  return client_->publish({last.subject, {}, headers, last.payload}, timeout, std::move(done));
}

}  // namespace sluice
