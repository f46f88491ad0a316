// One store directory living through crashes, checked against a model. Everything from one seed.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <optional>
#include <string>

#include "sim/sim_env.h"
#include "simulate/recorded_life.h"
#include "simulate/store_model.h"
#include "simulate/tally.h"
#include "store/store.h"

namespace sluice::simulate {

class StoreWorld {
 public:
  StoreWorld(uint64_t seed, Tally& tally, bool trace, bool lying_disk, bool encrypted);
  /// Throws Violation.
  void run();
  /// Instead of run(): that many lives without crashes but kill -9 between operations. Throws Violation.
  RecordedLife record_lives(uint64_t lives);
  /// Instead of run(): one life in which the `nth` call of a kind fails (0: none does), then a power cut.
  /// @return whether the store had become read-only. Throws Violation.
  bool live_with_fault(sim::DiskOp op, uint64_t nth, Errc code);
  uint64_t disk_calls(sim::DiskOp op) { return sim_.disk().ops(op); }

 private:
  enum class End : uint8_t { kArmedCut, kArmedKill, kCut, kKill, kClose, kFault };

  void live();
  bool open_store();
  void verify();
  void work(End end);
  void end_life(End end);
  void change_some();
  void change_one();
  void record(Change change, CommitNo commit);
  void append(const std::string& name, StreamStore& stream);
  void drop_one(const std::string& name, StreamStore& stream);
  void purge_some(const std::string& name, StreamStore& stream);
  void add_stream();
  void change_consumer(const std::string& stream);
  void became_durable(CommitNo commit);
  void check_reads();
  void squeeze_space();
  void flip_and_look();
  // store_record.cc
  void check_read_only();
  void remember_made(const Change& change);
  void remember_acked();
  void remember_erased(const std::string& bytes);
  void remember_recovered(size_t kept);
  std::string where() const;
  [[noreturn]] void violated(const std::string& what) const;
  void note(const std::string& what);
  std::string some_stream();

  uint64_t seed_;
  Tally& tally_;
  bool trace_;
  sim::SimEnv sim_;
  sim::SimRandom& random_;
  StoreOptions options_;
  std::unique_ptr<Store> store_;

  StoreModel acked_;              ///< what must be there after any crash
  std::deque<Change> pending_;    ///< made, not yet durable, in order
  StoreModel live_;               ///< acked_ and pending_
  StoreModel before_last_rise_;   ///< acked_ before durable() last rose
  std::set<uint64_t> acked_keys_;
  uint64_t durable_seen_ = 0;
  uint64_t next_nonce_ = 1;
  uint64_t next_name_ = 1;
  uint64_t life_ = 0;
  uint64_t erases_ = 0;  ///< asked for in this world
  bool full_ = false;
  RecordedLife* recorded_ = nullptr;
  size_t recorded_acked_ = 0;  ///< steps of it that were acknowledged
};

/// A file of the disk that holds `bytes`.
std::optional<std::string> file_with(const sim::SimDisk& disk, const std::string& bytes);

}  // namespace sluice::simulate
