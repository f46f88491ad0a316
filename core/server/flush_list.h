// Who has something to write at the end of this round, and the buffers they write from.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "io/executor.h"

namespace sluice {

class Outbox;

/// One task a round, however many connections have output. Buffers go round among them: idle
/// connections hold none, and busy ones get memory that is warm. Loop thread only.
class FlushList {
 public:
  explicit FlushList(Executor& executor);
  ~FlushList();
  FlushList(const FlushList&) = delete;
  FlushList& operator=(const FlushList&) = delete;

  /// Not twice before its flush().
  void add(Outbox& outbox);
  /// The outbox goes away.
  void forget(Outbox& outbox);

  /// An empty string, with capacity when one is spare.
  std::string take_buffer();
  /// Keeps the memory of `buffer` for the next taker, within bounds.
  void give_back(std::string& buffer);

 private:
  static constexpr size_t kMaxSpareBuffers = 32;
  static constexpr size_t kMaxSpareCapacity_bytes = 512 * 1024;

  void flush_all();

  Executor& executor_;
  std::vector<Outbox*> waiting_;
  std::vector<Outbox*> flushing_;
  std::vector<std::string> spare_;
  std::shared_ptr<FlushList*> self_;  ///< null once destroyed
};

}  // namespace sluice
