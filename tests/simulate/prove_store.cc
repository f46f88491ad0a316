// prove_store: the store's promises, counted. Crash states, failing I/O calls, flipped bits.
#include <fmt/format.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <string_view>

#include "base/log.h"
#include "simulate/crash_check.h"
#include "simulate/flip_matrix.h"
#include "simulate/program.h"
#include "simulate/tally.h"

namespace sluice::simulate {
namespace {

struct Options {
  std::optional<uint64_t> seed;
  uint64_t crash_states = 0;
  uint64_t fault_lives = 0;
  std::optional<StopKind> flips;
  uint64_t parts = 1;
  uint64_t time_box_s = 0;
  bool lying_disk = false;
  bool encrypted = false;
  bool trace = false;
};

constexpr const char* kUsage =
    "prove_store --crash-states N | --faults N | --flips clean|kill  [--seed N] [--parts N] [--time-box SECONDS]\n"
    "            [--lying-disk] [--encrypted] [--trace]\n"
    "  --crash-states N  record lives of a store, open N distinct disks that a power cut could have left of them\n"
    "  --faults N        N lives of a store, each again for every I/O call, which fails (EIO, ENOSPC, failed fsync)\n"
    "  --flips HOW       flip every bit in use of a small store after a clean stop or a kill, one at a time\n"
    "  --seed N          a fresh one when left out\n"
    "  --parts N         flip one in N bits only\n"
    "  --time-box S      stop after S seconds of real time; exit 3 when not all was reached\n"
    "  --lying-disk      syncs do nothing: a violation must be found, or the checkers are blind\n"
    "  --encrypted       the store is encrypted\n"
    "Exit: 0 promises kept, 1 a promise was broken, 2 usage, 3 time over.\n";

std::optional<Options> parse(int argc, char** argv) {
  Options o;
  const auto flips = [&o](std::string_view how) {
    if (how == "clean" || how == "kill") o.flips = how == "kill" ? StopKind::kKill : StopKind::kClean;
    return o.flips.has_value();
  };
  const bool read = read_arguments(argc, argv, {{"--lying-disk", &o.lying_disk}, {"--trace", &o.trace}, {"--encrypted", &o.encrypted}},
                                   {{"--flips", flips},
                                    {"--seed", number(o.seed)},
                                    {"--crash-states", number(o.crash_states)},
                                    {"--faults", number(o.fault_lives)},
                                    {"--parts", number(o.parts)},
                                    {"--time-box", number(o.time_box_s)}});
  const bool nothing = o.crash_states == 0 && o.fault_lives == 0 && !o.flips;
  return read && !nothing && o.parts > 0 ? std::optional(o) : std::nullopt;
}

uint64_t print_flips(const FlipTally& t, StopKind stop, double seconds) {
  for (const std::string& line : t.broken) fmt::print("prove_store: {}\n", line);
  fmt::print("prove_store: after a {}: {} bits flipped in {} files ({} of them slack) in {:.1f} s: {} harmless, {} noticed and "
             "nothing lost, {} that record only and reported ({} of them a removal), {} newest batch cut and named; good "
             "neighbours lost {}, wrong data served {}, does not start {}, lost in silence {}\n",
             stop == StopKind::kKill ? "kill" : "clean stop", t.bits, t.files, t.sampled, seconds, t.harmless, t.mended,
             t.one_lost + t.undone, t.undone, t.newest_cut, t.neighbours_lost, t.wrong_data, t.does_not_start,
             t.lost_in_silence);
  return t.bad();
}

int run(const Options& options) {
  const uint64_t seed = options.seed ? *options.seed : std::random_device{}() & 0xffffffU;
  configure_logging({options.trace ? LogLevel::kDebug : LogLevel::kOff, false, ""});
  std::snprintf(last_words, sizeof last_words, "prove_store: died; seed %llu\n", static_cast<unsigned long long>(seed));
  fmt::print("prove_store: seed {}\n", seed);
  std::fflush(stdout);
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  const auto time_over = [&] { return options.time_box_s > 0 && seconds() >= static_cast<double>(options.time_box_s); };
  CrashTally tally;
  uint64_t violations = 0;
  try {
    if (options.crash_states > 0) run_crash_states(seed, options.crash_states, options.lying_disk, options.encrypted, time_over, tally);
    if (options.fault_lives > 0) run_faults(seed, options.fault_lives, options.encrypted, time_over, tally);
  } catch (const Violation& violation) {
    ++violations;
    fmt::print("prove_store: VIOLATION in {}\n", violation.what());
  }
  if (options.crash_states > 0) {
    fmt::print("prove_store: {} crash states of {} histories ({} changes of the disk) in {:.1f} s: {} cut again in recovery, "
               "{} written on, {} with a torn batch, {} with erases finished; {} violations, seed {}\n",
               tally.states, tally.histories, tally.events, seconds(), tally.cut_again, tally.written_on, tally.torn, tally.erased,
               violations, seed);
  }
  if (options.fault_lives > 0) {
    fmt::print("prove_store: {} runs with one failing call in {:.1f} s, {} made the store read-only; {} violations, seed {}\n",
               tally.faults, seconds(), tally.faults_stopped, violations, seed);
  }
  if (options.flips) {
    FlipMatrix matrix(seed, *options.flips, options.encrypted);
    const FlipTally flips = matrix.run(seed % options.parts, options.parts, time_over);
    violations += print_flips(flips, *options.flips, seconds());
  }
  if (violations > 0) return 1;
  return time_over() ? 3 : 0;
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
