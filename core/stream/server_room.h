// What the streams of all accounts of a server may take together, and do.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace sluice {

/// Whoever keeps an account's streams: what they take is counted when it matters.
class RoomTaker {
 public:
  virtual void recount() = 0;

 protected:
  ~RoomTaker() = default;
};

/// Loop thread only. Outlives those who take of it.
class ServerRoom {
 public:
  /// Of streams on disk, or of those in memory.
  struct Kind {
    int64_t max_bytes = -1;  ///< -1 = without limit
    int64_t reserved_bytes = 0;
    int64_t used_bytes = 0;
  };
  ServerRoom(int64_t max_file_bytes, int64_t max_memory_bytes)
      : file{.max_bytes = max_file_bytes}, memory{.max_bytes = max_memory_bytes} {}
  ServerRoom(const ServerRoom&) = delete;
  ServerRoom& operator=(const ServerRoom&) = delete;

  void join(RoomTaker& taker) { takers_.push_back(&taker); }
  void leave(RoomTaker& taker) { std::erase(takers_, &taker); }

  /// Whether so many more bytes are there. All are asked before the answer is no.
  bool has_room(Kind& kind, int64_t bytes) {
    if (kind.max_bytes < 0 || kind.used_bytes + bytes <= kind.max_bytes) return true;
    for (RoomTaker* taker : takers_) taker->recount();
    return kind.used_bytes + bytes <= kind.max_bytes;
  }

  Kind file;
  Kind memory;

 private:
  std::vector<RoomTaker*> takers_;
};

}  // namespace sluice
