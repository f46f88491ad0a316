// The file-drop entrance: a folder in Choria's layout, P0 … P4 with one *.msg file a message. Pointing it at the
// spool of a Choria node takes that spool over.
//
// Happy path, every second: list, read a few of the oldest files, put their messages into the queue (held), and when
// those are on disk remove the files, sync the folders, and release the messages to the sender. So a crash leaves a
// message in the queue with its file still there (its id tells: it is not taken twice), or without; never sent
// while the file is there.
// Failures: a full queue or disk leaves the file and what is behind it; what is no message goes to the quarantine
// with its bytes; a file that can't be read or removed is left, told once and not looked at again until restart.
// Loop thread only; files are touched on a disk worker.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/metrics.h"
#include "io/env.h"
#include "spool/queue.h"

namespace sluice {

class SpoolFolder {
 public:
  struct Figures {
    uint64_t taken = 0, duplicates = 0, malformed = 0;
    uint64_t postponed = 0;   ///< looks that ended at a full queue
    uint64_t left_alone = 0;  ///< files that can't be read or removed
  };

  /// `queue` outlives it. `dir` gets its five folders when they are missing (blocking).
  SpoolFolder(Env& env, SpoolQueue& queue, std::string dir, size_t max_payload_bytes);
  SpoolFolder(const SpoolFolder&) = delete;
  SpoolFolder& operator=(const SpoolFolder&) = delete;

  /// Makes the folders and begins to look. `caught_up` runs once: when what was there at first is taken (or can't be
  /// for now). Start the sender then, not before.
  Status start(std::move_only_function<void()> caught_up);
  const Figures& figures() const { return figures_; }
  void collect(MetricSink& sink) const;

 private:
  struct Found {
    uint8_t priority = 0;  ///< of its folder
    std::string name;
    std::string text;
    std::string trouble;   ///< why it could not be read
  };
  /// Owned by the job that runs and by its end.
  struct Look {
    std::vector<Found> found;
    bool more = false;
  };
  struct Batch {
    size_t unanswered = 0;
    bool refused = false;
    std::vector<SpoolPlace> held;
    std::vector<std::string> done;  ///< paths whose messages are on disk elsewhere
  };

  static Status look(Disk& disk, const std::string& dir, const std::set<std::string>& left_alone, size_t max_file_bytes, Look& into);
  void look_again();
  void take(Look& look);
  void answered(const std::string& path, const Result<SpoolQueue::Accepted>& answer);
  void remove_files();
  void leave_alone(const std::string& path, const std::string& why);
  void finish_round(bool more);

  Env& env_;
  SpoolQueue& queue_;
  const std::string dir_;
  const size_t max_file_bytes_;
  std::set<std::string> left_alone_;
  Batch batch_;
  bool more_ = false;
  bool look_failed_ = false;
  std::move_only_function<void()> caught_up_;
  Figures figures_;
  std::unique_ptr<Timer> timer_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
  std::unique_ptr<DiskWorker> worker_;
};

}  // namespace sluice
