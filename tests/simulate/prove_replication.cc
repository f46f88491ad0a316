// prove_replication: two sites with everything between them, from seeds: ledger and copies hold at each end.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "sim/sim_env.h"
#include "simulate/program.h"
#include "simulate/site_world.h"

namespace sluice::simulate {
namespace {

struct Options {
  std::optional<uint64_t> seed;
  std::optional<uint64_t> world;
  uint64_t worlds = 1;
  uint64_t time_box_s = 0;
  uint64_t violations = 1;
  std::vector<std::string> only;
  bool trace = false;
  bool lying_disk = false;
};

constexpr const char* kUsage =
    "prove_replication [--worlds N] [--seed N] [--time-box SECONDS] [--violations N] [--only WORDS] [--world-seed W] [--lying-disk] [--trace]\n"
    "  --worlds N      worlds to run, each from a seed of its own\n"
    "  --seed N        of those seeds; a fresh one when left out\n"
    "  --time-box S    stop after S seconds of real time; exit 3 when not all was reached\n"
    "  --violations N  go on until that many were found\n"
    "  --only WORDS    worlds whose description holds these words, put apart by commas, or does not (!word)\n"
    "  --world-seed W  that world alone\n"
    "  --lying-disk    the target does not sync: a violation must be found, or the checkers are blind\n"
    "  --trace         tell what happens, with the product's log\n"
    "Exit: 0 promises kept, 1 a promise was broken, 2 usage, 3 time over.\n";

std::optional<Options> parse(int argc, char** argv) {
  Options o;
  const bool read = read_arguments(argc, argv, {{"--trace", &o.trace}, {"--lying-disk", &o.lying_disk}},
                                   {{"--seed", number(o.seed)},
                                    {"--world-seed", number(o.world)},
                                    {"--worlds", number(o.worlds)},
                                    {"--time-box", number(o.time_box_s)},
                                    {"--violations", number(o.violations)},
                                    {"--only", [&o](std::string_view words) {
                                       while (!words.empty()) {
                                         const size_t comma = std::min(words.find(','), words.size());
                                         o.only.emplace_back(words.substr(0, comma));
                                         words.remove_prefix(std::min(comma + 1, words.size()));
                                       }
                                       return !o.only.empty();
                                     }}});
  return read ? std::optional(o) : std::nullopt;
}

bool is_wanted(uint64_t world, const Options& options) {
  if (options.only.empty() || options.world) return true;
  sim::SimEnv sim(world);
  const std::string text = describe(draw_site_config(sim.random(), world));
  return std::all_of(options.only.begin(), options.only.end(), [&](std::string_view word) {
    const bool without = word.starts_with('!');
    return text.contains(word.substr(without ? 1 : 0)) != without;
  });
}

void print(const SiteTally& t, double seconds, uint64_t violations, bool time_over, uint64_t seed) {
  fmt::print("prove_replication: {} worlds in {:.1f} s, {:.0f} simulated hours: {} messages, {} copies; power cuts {}, kills {}, "
             "orderly stops {}, partitions {}, resets {}, clock jumps {}, slow disks {}, purges and removals {}, recreations "
             "{}, takeovers {}, gaps noticed {}, begun anew {}, stalls told {}; worlds with compressed links {} (with dictionaries {}), "
             "paced {} (by the hour {}), into queues {} (out of queues {}); {} violations{}, seed {}\n",
             t.worlds, seconds, t.simulated_hours, t.messages, t.copies, t.power_cuts, t.kills, t.stops, t.partitions,
             t.resets, t.clock_jumps, t.slow_disks, t.purges, t.recreations, t.takeovers, t.gaps, t.begun_anew, t.alarms, t.compressed,
             t.with_dictionaries, t.paced, t.paced_by_hour, t.into_queues, t.between_queues, violations,
             time_over ? ", time over" : "", seed);
}

int run(const Options& options) {
  const uint64_t seed = options.seed ? *options.seed : std::random_device{}() & 0xffffffU;
  configure_logging({options.trace ? LogLevel::kDebug : LogLevel::kOff, false, ""});
  fmt::print("prove_replication: seed {}\n", seed);
  std::fflush(stdout);
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  SiteTally tally;
  sim::SimRandom seeds(seed);
  uint64_t violations = 0;
  bool time_over = false;
  while (violations < options.violations && tally.worlds < (options.world ? 1 : options.worlds)) {
    if (options.time_box_s > 0 && seconds() >= static_cast<double>(options.time_box_s)) {
      time_over = true;
      break;
    }
    const uint64_t world = options.world ? *options.world : seeds.below(kWorlds);
    if (!is_wanted(world, options)) continue;
    std::snprintf(last_words, sizeof last_words, "prove_replication: died; run again with --world-seed %llu\n",
                  static_cast<unsigned long long>(world));
    try {
      SiteWorld(world, tally, options.trace, options.lying_disk).run();
    } catch (const Violation& violation) {
      ++violations;
      fmt::print("prove_replication: VIOLATION in {}\nprove_replication: run again with --world-seed {} --trace\n",
                 violation.what(), world);
      std::fflush(stdout);
    }
  }
  print(tally, seconds(), violations, time_over, seed);
  if (violations > 0) return 1;
  return time_over ? 3 : 0;
}

}  // namespace
}  // namespace sluice::simulate

int main(int argc, char** argv) {
  const auto options = sluice::simulate::parse(argc, argv);
  if (!options) {
    std::fputs(sluice::simulate::kUsage, stderr);
    return 2;
  }
  sluice::simulate::tell_last_words_at({SIGABRT, SIGSEGV, SIGBUS});
  return sluice::simulate::run(*options);
}
