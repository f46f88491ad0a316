// Puts an object into a bucket piece by piece: chunks first, its description last, so that nobody sees a part of it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/ticket.h"
#include "client/object_info.h"
#include "client/stream_client.h"
#include "crypto/digest.h"
#include "io/env.h"

namespace sluice {

struct ObjectWriterEvents {
  /// After write() said false: there is room again.
  std::move_only_function<void()> on_ready{};
  /// Once, last: the object as it stands in the bucket, or why it does not.
  std::move_only_function<void(Result<ObjectInfo>)> on_done{};
};

/// Happy path: up to 4 MiB of chunks are on their way, their acks make room; after the last one the description
/// takes the place of the one before, whose chunks are then freed.
///
/// Failures: an ack that does not come or refuses ends the put; the chunks sent are freed. So does destroying the
/// writer before on_done. Loop thread only; callbacks may destroy the writer, and none runs inside write() or finish().
class ObjectWriter {
 public:
  /// `client` outlives the writer. A name that can't be one is told by on_done.
  ObjectWriter(Env& env, StreamClient& client, std::string bucket, ObjectMeta meta, ObjectWriterEvents events);
  ~ObjectWriter();
  ObjectWriter(const ObjectWriter&) = delete;
  ObjectWriter& operator=(const ObjectWriter&) = delete;

  /// Takes all of `bytes`. False: give no more before on_ready.
  bool write(std::string_view bytes);
  /// Nothing comes any more.
  void finish();
  /// Bytes that the server has.
  uint64_t acked_bytes() const { return acked_bytes_; }

 private:
  enum class State : uint8_t { kOpen, kFinishing, kCommitting, kDone };
  bool has_room() const;
  void pump();
  void send(std::string_view chunk);
  void on_ack(const Result<PubAck>& ack, size_t bytes);
  void commit();
  void give_up(const Error& why);
  void end(Result<ObjectInfo> result);

  Env& env_;
  StreamClient& client_;
  ObjectInfo info_;
  ObjectWriterEvents events_;
  const size_t chunk_bytes_;
  State state_ = State::kOpen;
  std::string buffer_;  ///< not sent yet
  size_t in_flight_bytes_ = 0;
  uint64_t acked_bytes_ = 0;
  bool waited_for_ = false;  ///< write() said false
  Sha256Stream digest_;
  Ticket commit_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace sluice
