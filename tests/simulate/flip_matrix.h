// Every bit in use of every file of a small store, flipped one at a time: what is noticed, mended, lost, served.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "sim/disk_image.h"
#include "sim/sim_env.h"
#include "store/store.h"

namespace sluice::simulate {

enum class StopKind : uint8_t { kClean, kKill };

struct FlipTally {
  uint64_t files = 0;
  uint64_t bits = 0;      ///< flipped, each in a store of its own
  uint64_t sampled = 0;   ///< of them in slack
  uint64_t harmless = 0;  ///< nothing lost, nothing to tell
  uint64_t mended = 0;    ///< nothing lost, and the damage was noticed
  uint64_t one_lost = 0;  ///< that record only, reported
  uint64_t undone = 0;    ///< that record only, reported, and it was a removal: its message is back
  uint64_t newest_cut = 0;  ///< the newest batch, named in the log
  // -- must be 0
  uint64_t neighbours_lost = 0;
  uint64_t wrong_data = 0;
  uint64_t does_not_start = 0;
  uint64_t lost_in_silence = 0;
  std::vector<std::string> broken;  ///< the first of those that must not be

  uint64_t bad() const { return neighbours_lost + wrong_data + does_not_start + lost_in_silence; }
};

class FlipMatrix {
 public:
  FlipMatrix(uint64_t seed, StopKind stop, bool encrypted);
  /// Flips every bit in use whose running number is `part` modulo `parts`, and some of the slack.
  FlipTally run(uint64_t part, uint64_t parts, const std::function<bool()>& time_over);

 private:
  /// What the store must serve: "stream:seq" → digest, "consumer key/delta" → text.
  struct Contents {
    std::map<std::string, std::string> items;
    std::map<std::string, uint64_t> last_seqs;
  };
  void fill(sim::SimEnv& sim);
  void append_some(StreamStore& stream, int count, uint64_t& nonce);
  Contents read(Store& store) const;
  void flip(const std::string& path, uint64_t offset, unsigned bit, FlipTally& tally);
  void judge(Store& store, const std::string& what, FlipTally& tally) const;

  StopKind stop_;
  StoreOptions options_;
  sim::DiskImage image_;
  Contents expected_;
  std::set<std::string> removed_;  ///< items that must not come back unless reported
  std::set<std::string> newest_;   ///< items of the newest batch
  std::vector<ConsumerKey> keys_;
};

}  // namespace sluice::simulate
