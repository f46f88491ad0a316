// simulate --seed N: the engine on a simulated world, killed and cut off again and again.
#include <fmt/format.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <random>
#include <string>
#include <string_view>

#include "base/log.h"
#include "sim/sim_random.h"
#include "simulate/node_world.h"
#include "simulate/program.h"
#include "simulate/store_world.h"
#include "simulate/tally.h"

namespace sluice::simulate {
namespace {

struct Options {
  std::optional<uint64_t> seed;
  std::optional<uint64_t> world;  ///< run exactly this world
  uint64_t rounds = 0;
  uint64_t cuts = 0;
  uint64_t time_box_s = 0;
  bool trace = false;
  bool lying_disk = false;
  bool encrypted = false;
  std::string_view only;  ///< "store", "node", or both when empty
};

constexpr const char* kUsage =
    "simulate [--seed N] [--rounds M] [--cuts N] [--time-box SECONDS] [--world-seed W] [--only store|node] [--trace]\n"
    "         [--lying-disk] [--encrypted]\n"
    "  --seed N        of the whole run; a fresh one when left out\n"
    "  --rounds M      worlds to run at least\n"
    "  --cuts N        power cuts to reach at least\n"
    "  --time-box S    stop after S seconds of real time; exit 3 when rounds or cuts were not reached\n"
    "  --world-seed W  run one world again, as a violation names it\n"
    "  --only KIND     worlds of a store alone, or of a whole node; both when left out\n"
    "  --trace         tell what happens\n"
    "  --lying-disk    syncs do nothing: a violation must be found, or the checkers are blind\n"
    "  --encrypted     worlds of a store keep it encrypted\n"
    "Exit: 0 promises kept, 1 a promise was broken, 2 usage, 3 time over.\n";

std::optional<Options> parse(int argc, char** argv) {
  Options o;
  const auto only = [&o](std::string_view which) {
    o.only = which;
    return which == "store" || which == "node";
  };
  const bool read = read_arguments(argc, argv, {{"--trace", &o.trace}, {"--lying-disk", &o.lying_disk}, {"--encrypted", &o.encrypted}},
                                   {{"--only", only},
                                    {"--seed", number(o.seed)},
                                    {"--world-seed", number(o.world)},
                                    {"--rounds", number(o.rounds)},
                                    {"--cuts", number(o.cuts)},
                                    {"--time-box", number(o.time_box_s)}});
  return read ? std::optional(o) : std::nullopt;
}

constexpr uint64_t kNodeWorldEvery = 4;

void run_world(uint64_t seed, Tally& tally, const Options& options) {
  std::snprintf(last_words, sizeof last_words, "simulate: died; run again with --world-seed %llu\n",
                static_cast<unsigned long long>(seed));
  const bool node = options.only.empty() ? seed % kNodeWorldEvery == 0 : options.only == "node";
  if (node) return NodeWorld(seed, tally, options.trace, options.lying_disk, start_node).run();
  StoreWorld(seed, tally, options.trace, options.lying_disk, options.encrypted).run();
}

void print_tally(const Tally& tally, double seconds) {
  fmt::print(
      "simulate: {} worlds, {} lives in {:.1f} s; cuts {} ({} inside an operation, {} in recovery), kills {}, "
      "closes {}, faults {}, flips {}; changes {}, acked {}, unacked lost {}\n",
      tally.worlds, tally.lives, seconds, tally.power_cuts, tally.cuts_inside, tally.cuts_recovering,
      tally.kills, tally.closes, tally.faults, tally.flips, tally.changes, tally.acked, tally.lost_unacked);
}

int run(const Options& options) {
  const uint64_t seed = options.seed ? *options.seed : std::random_device{}() & 0xffffffU;
  configure_logging({options.trace ? LogLevel::kDebug : LogLevel::kOff, false, ""});
  fmt::print("simulate: seed {}\n", seed);
  std::fflush(stdout);
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  Tally tally;
  sim::SimRandom seeds(seed);
  uint64_t violations = 0;
  bool time_over = false;
  const bool until_time = options.rounds == 0 && options.cuts == 0 && options.time_box_s > 0;
  const uint64_t rounds = std::max<uint64_t>(options.rounds, options.cuts > 0 || until_time ? 0 : 1);
  while (violations == 0) {
    const bool enough = options.world ? tally.worlds > 0
                                      : tally.worlds >= rounds && tally.power_cuts >= options.cuts;
    if (enough && !until_time) break;
    if (options.time_box_s > 0 && seconds() >= static_cast<double>(options.time_box_s)) {
      time_over = !until_time;
      break;
    }
    const uint64_t world = options.world ? *options.world : seeds.below(1ULL << 40);
    try {
      run_world(world, tally, options);
    } catch (const Violation& violation) {
      ++violations;
      fmt::print("simulate: VIOLATION in {}\nsimulate: run again with --world-seed {}{}{}\n", violation.what(), world,
                 options.only.empty() ? "" : " --only ", options.only);
    }
  }
  print_tally(tally, seconds());
  fmt::print("simulate: {} power cuts, {} violations{}, seed {}\n", tally.power_cuts, violations,
             time_over ? ", time over" : "", seed);
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
  sluice::simulate::tell_last_words_at({SIGABRT});
  return sluice::simulate::run(*options);
}
