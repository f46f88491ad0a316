// Source, link, replicator and target together: everybody is cut off, killed, emptied and made anew at
// random, and at the end the ledger balances and the target holds what the source holds.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/sim_env.h"
#include "simulate/site_config.h"
#include "simulate/site_machine.h"
#include "simulate/site_record.h"
#include "simulate/site_worker.h"
#include "simulate/tally.h"

namespace sluice::simulate {

struct SiteTally {
  uint64_t worlds = 0;
  uint64_t messages = 0;
  uint64_t copies = 0;
  uint64_t power_cuts = 0;
  uint64_t kills = 0;
  uint64_t stops = 0;
  uint64_t partitions = 0;
  uint64_t resets = 0;
  uint64_t clock_jumps = 0;
  uint64_t slow_disks = 0;
  uint64_t purges = 0;
  uint64_t recreations = 0;
  uint64_t takeovers = 0;   ///< leaders after the first
  uint64_t gaps = 0;
  uint64_t begun_anew = 0;
  uint64_t compressed = 0;         ///< worlds whose copy ended over a compressed link
  uint64_t with_dictionaries = 0;  ///< where a connection began with what an earlier one had carried
  uint64_t into_queues = 0;        ///< worlds
  uint64_t between_queues = 0;     ///< of them those whose source is a queue too
  uint64_t paced = 0;
  uint64_t paced_by_hour = 0;      ///< of them those with another rate at some hours
  uint64_t alarms = 0;      ///< copies that stood for 10 s while there was something to copy, and said so
  double simulated_hours = 0;
};

class SiteWorld {
 public:
  /// `lying_disk`: the target acknowledges what it does not sync. A violation must be found then.
  SiteWorld(uint64_t seed, SiteTally& tally, bool trace, bool lying_disk);
  ~SiteWorld();
  /// Throws Violation.
  void run();

 private:
  void build();
  void live();
  void finish();
  bool caught_up();
  void step();
  void publish_some(uint64_t count);
  void publish_foreign();
  void revive();
  void disturb();
  void crash(SiteMachine& machine);
  void stop(SiteMachine& machine);
  void restart_replicator(SiteMachine& machine);
  void partition();
  void heal_links();
  void shorten_source();
  void make_source_anew();
  void purge_target();
  void make_source_stream();
  void make_target_stream();
  bool observe_target();
  std::string call(SiteMachine& site, std::string_view verb, std::string_view target, const std::string& body);
  std::vector<StoredCopy> read_all(SiteMachine& site, const std::string& stream, uint64_t first);
  void help_the_blocked();
  void check_sampling_state();
  std::chrono::nanoseconds patience() const;
  void after_start(SiteMachine& machine);
  void look_at_replicators();
  bool waits_behind(StreamSeq at);
  void look_for_stall(SiteMachine& copier);
  void look_at_pace(SiteMachine& copier);
  void count_links();
  void note_disturbance(const std::string& a, const std::string& b);
  void settle_publishes();
  SiteMachine& draw_copier();
  std::string story();
  [[noreturn]] void violated(const std::string& what);
  void note(const std::string& what);

  uint64_t seed_;
  SiteTally& tally_;
  bool trace_;
  bool lying_disk_;
  sim::SimEnv sim_;
  sim::SimRandom& random_;
  const SiteConfig config_;
  SiteRecord record_;
  std::vector<std::unique_ptr<SiteMachine>> machines_;
  SiteWorker worker_;               ///< of a target that is a queue
  SiteMachine* source_ = nullptr;
  SiteMachine* target_ = nullptr;
  std::vector<SiteMachine*> copiers_;
  WallNanos life_ = 0;              ///< when the source stream was made; 0 = it must be made
  uint64_t observed_ = 0;           ///< of the target, by sequence
  std::map<uint64_t, Ticket> publishing_;
  std::map<uint64_t, Ticket> foreign_;
  uint64_t target_purges_ = 0;
  bool source_shortened_ = false;
  bool clock_jumped_ = false;
  uint64_t restarts_ = 0;           ///< times the copy began anew, by policy or by a person
  const Replicator* last_leader_ = nullptr;
  /// Where a copy stood, and since when it stands there though messages wait.
  struct Standing {
    const Replicator* who = nullptr;
    StreamSeq at;
    MonoTime since{};
  };
  std::map<const SiteMachine*, Standing> standing_;
  MonoTime disturbed_at_{};         ///< the link between source and copiers, or either of them
  std::vector<std::pair<std::string, std::string>> cuts_;
  MonoTime heal_at_{};
};

}  // namespace sluice::simulate
