// One stream of a nats-server's store directory on its way into an account.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backup/nats_store.h"
#include "consumer/consumers.h"
#include "stream/streams.h"

namespace sluice {

/// Loop thread only. Nobody sees the stream before finish(); dropped before that, nothing of it is left.
class NatsImport {
 public:
  /// @param files  surveyed; outlives this.
  /// @return kExists when the account has such a stream; errors of a restore.
  static Result<std::unique_ptr<NatsImport>> begin(Streams& streams, Consumers& consumers, NatsStreamFiles& files);

  /// Takes the next block over. Call it again when `durable` was run.
  Status take_block(size_t block, std::move_only_function<void()> durable);
  /// After the last block. A consumer that can't be had here is left out of a stream that keeps its messages
  /// by limits; another stream would lose messages by that and fails.
  Result<Stream*> finish();

  uint64_t messages() const { return messages_; }
  uint64_t consumers() const { return consumers_taken_; }
  const std::vector<std::string>& left_out() const { return left_out_; }

 private:
  NatsImport(Streams& streams, Consumers& consumers, NatsStreamFiles& files)
      : streams_(streams), consumers_(consumers), files_(files) {}

  Streams& streams_;
  Consumers& consumers_;
  NatsStreamFiles& files_;
  std::unique_ptr<StreamRestore> into_;
  uint64_t messages_ = 0;
  uint64_t consumers_taken_ = 0;
  std::vector<std::string> left_out_;
};

}  // namespace sluice
