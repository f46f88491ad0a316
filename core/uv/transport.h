// TCP streams and UNIX sockets as Transports. Internal to this room (network.cc makes them).
#pragma once

#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "io/transport.h"
#include "uv/loop.h"
#include "uv/uv_handle.h"

namespace sluice {

/// Bytes one read may bring; the block has kReadPadding_bytes more that parsers may look at.
inline constexpr size_t kReadBlock_bytes = 64 * 1024;
/// So much is taken from one connection in a round of the loop, then it is the next one's turn; libuv alone would take 2 MiB.
inline constexpr size_t kTurn_bytes = 256 * 1024;
inline constexpr size_t kReadPadding_bytes = 64;
/// How long close(flush = true) may go on writing and waiting for the peer's end.
inline constexpr std::chrono::milliseconds kFlushDeadline{2000};

/// Whom a stream's callbacks find: a transport, or what is left of one after close(flush).
class HandleOwner {
 public:
  virtual ~HandleOwner() = default;
  /// How much it may read now. 0: its turn of this round is used up; what the kernel still holds is read in the next one.
  virtual size_t read_room() { return kReadBlock_bytes; }
  /// `count` < 0 is libuv's code for why reading ended.
  virtual void on_read(ssize_t count, std::string_view bytes) = 0;
  virtual void on_written(int status) = 0;

 protected:
  HandleOwner() = default;
  HandleOwner(const HandleOwner&) = default;
  HandleOwner& operator=(const HandleOwner&) = default;
};

/// What all transports of one network share: the read block, and those that still flush.
struct TransportPool {
  explicit TransportPool(Loop& l);
  ~TransportPool();
  TransportPool(const TransportPool&) = delete;
  TransportPool& operator=(const TransportPool&) = delete;

  Loop& loop;
  std::unique_ptr<char[]> read_block;
  std::set<std::unique_ptr<HandleOwner>> lingering;
};

/// Takes a connected handle. `peer` is the address in words.
std::unique_ptr<Transport> make_tcp_transport(std::shared_ptr<TransportPool> pool,
                                              UvHandle<uv_tcp_t> tcp, std::string peer);

/// The same for a connected UNIX socket.
std::unique_ptr<Transport> make_local_transport(std::shared_ptr<TransportPool> pool,
                                                UvHandle<uv_pipe_t> pipe, std::string peer);

/// "1.2.3.4:5678" or "[::1]:5678"; "" when the peer is gone.
std::string peer_name(uv_tcp_t* tcp);

}  // namespace sluice
