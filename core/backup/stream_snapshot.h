// One stream on its way out.
//
//   waiting for somebody to listen (2 s) ──► sending ⇄ window full ──► ended
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "archive/s2_stream.h"
#include "archive/stream_archive.h"
#include "backup/backups.h"
#include "io/timers.h"

namespace sluice {

/// Owned by Backups, which destroys it in a later callback. Loop thread only.
class StreamSnapshot {
 public:
  using Ended = std::move_only_function<void(const Status&)>;

  StreamSnapshot(Env& env, Bus& bus, Streams& streams, Stream& stream, const SnapshotRequest& request,
                 std::vector<std::string> consumers, Ended ended);
  ~StreamSnapshot();
  StreamSnapshot(const StreamSnapshot&) = delete;
  StreamSnapshot& operator=(const StreamSnapshot&) = delete;

  bool over() const { return over_; }
  uint64_t sent_bytes() const { return sent_bytes_; }

 private:
  void begin();
  void later();
  void pump();
  bool produce();
  bool send_full_chunks();
  void send_rest();
  void on_ack(std::string_view subject);
  void end(uint16_t code, std::string_view text);

  Env& env_;
  Bus& bus_;
  Streams& streams_;
  const std::string stream_;
  const WallNanos created_;
  const std::string deliver_;
  const size_t chunk_bytes_;
  const size_t window_bytes_;
  std::vector<std::string> consumers_;  ///< entries: name, then JSON
  std::string state_json_;
  const StreamSeq last_;
  StreamSeq next_;
  Ended ended_;

  ArchiveWriter archive_;
  S2StreamWriter compressor_;
  std::string out_;
  size_t out_at_ = 0;
  bool all_produced_ = false;
  bool begun_ = false;
  bool over_ = false;
  bool queued_ = false;
  size_t in_flight_bytes_ = 0;
  uint64_t chunks_ = 0;
  uint64_t sent_bytes_ = 0;
  std::string ack_prefix_;
  std::unique_ptr<BusSubscription> acks_;
  std::unique_ptr<InterestWatch> watch_;
  std::unique_ptr<Timer> timer_;  ///< for a listener, then for an answer
  std::shared_ptr<StreamSnapshot*> anchor_;
};

}  // namespace sluice
