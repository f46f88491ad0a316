// Memory and time of large figures, on the parts themselves: no server, no network.
//
//   sluice-scale [subjects|dedup|deletes|streams|ttl|messages] [N]
//
// Resident memory is read from /proc/self/statm before and after. Each part prints one line.

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "store/store.h"
#include "stream/dedup_window.h"
#include "stream/message_ttl.h"
#include "subject/subject_index.h"
#include "uv/env.h"

namespace sluice {
namespace {

using SteadyClock = std::chrono::steady_clock;

double seconds_since(SteadyClock::time_point start) {
  return std::chrono::duration<double>(SteadyClock::now() - start).count();
}

double rss_bytes() {
  std::ifstream statm("/proc/self/statm");
  double total = 0;
  double resident = 0;
  statm >> total >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

std::string subject_of(uint64_t i) { return fmt::format("fleet.{:02}.device.{:08}.state", i % 50, i * 2654435761U % 100'000'000); }

void subjects(uint64_t count) {
  struct Count {  // as a stream keeps it
    uint64_t first, last;
    uint32_t count;
    bool stale[2];
  };
  const double before = rss_bytes();
  const auto start = SteadyClock::now();
  SubjectIndex<Count> index;
  for (uint64_t i = 0; i < count; ++i) index.get_or_insert(subject_of(i)).last = i;
  const double insert_s = seconds_since(start);
  const double used = rss_bytes() - before;
  const auto lookup = SteadyClock::now();
  uint64_t found = 0;
  for (uint64_t i = 0; i < 1'000'000; ++i) found += index.find(subject_of(i * 7 % count)) != nullptr ? 1 : 0;
  const double find_s = seconds_since(lookup);
  const auto wild = SteadyClock::now();
  uint64_t matched = 0;
  index.each_match("fleet.07.device.0012*.state", [&](std::string_view, const Count&) { return ++matched > 0; });
  index.each_match("fleet.07.device.*.state", [&](std::string_view, const Count&) { return ++matched > 0; });
  fmt::print("subjects: {} unique of {} B: {:.1f} B each ({:.0f} MB RSS), insert {:.2f} µs, find {:.2f} µs ({} found), {} by wildcard in {:.1f} ms\n",
             index.size(), subject_of(1).size(), used / static_cast<double>(index.size()), used / 1e6,
             insert_s * 1e6 / static_cast<double>(count), find_s, found, matched, seconds_since(wild) * 1e3);
}

void dedup(uint64_t count) {
  const double before = rss_bytes();
  const auto start = SteadyClock::now();
  DedupWindow window(std::chrono::hours(1), 42, count);
  for (uint64_t i = 1; i <= count; ++i) window.insert(std::to_string(i), StreamSeq(i), static_cast<WallNanos>(i));
  const double insert_s = seconds_since(start);
  const double used = rss_bytes() - before;
  const auto lookup = SteadyClock::now();
  uint64_t found = 0;
  for (uint64_t i = 1; i <= 1'000'000; ++i) found += window.find(std::to_string(i * 7 % count + 1), 1) ? 1 : 0;
  fmt::print("dedup: {} ids: {:.1f} B each ({:.0f} MB RSS), insert {:.2f} µs, find {:.2f} µs ({} found)\n", window.size(),
             used / static_cast<double>(count), used / 1e6, insert_s * 1e6 / static_cast<double>(count), seconds_since(lookup), found);
}

/// A store on the real disk, in a folder that goes again.
class Scratch {
 public:
  Scratch() : dir_(std::filesystem::temp_directory_path() / fmt::format("sluice-scale-{}", ::getpid())) {
    std::filesystem::create_directories(dir_);
  }
  ~Scratch() {
    store_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(dir_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  void open() {
    StoreOptions options;
    options.dir = dir_.string();
    auto opened = Store::open(world_.env(), options);
    if (!opened) {
      fmt::print(stderr, "sluice-scale: {}\n", opened.error().detail);
      std::exit(1);
    }
    store_ = std::move(*opened);
  }
  void close() {
    bool closed = false;
    store_->close([&](Status) { closed = true; });
    world_.loop().run_until([&] { return closed; }, std::chrono::minutes(10));
    store_.reset();
  }
  void sync() {
    bool done = false;
    const CommitNo last = store_->last_commit();
    world_.loop().run_until([&] { return done = store_->durable() >= last; }, std::chrono::minutes(10));
  }
  void idle(std::chrono::seconds time) {
    world_.loop().run_until([] { return false; }, time);
  }
  Store& store() { return *store_; }
  const std::filesystem::path& dir() const { return dir_; }

 private:
  std::filesystem::path dir_;
  UvEnv world_;
  std::unique_ptr<Store> store_;
};

/// Every other message of a stream is removed: the last removal must cost what the first did.
void deletes(uint64_t count) {
  Scratch scratch;
  scratch.open();
  StreamStore& stream = *scratch.store().create_stream("DELETES", "{}", StreamSeq(0)).value();
  const std::string payload(32, 'p');
  for (uint64_t i = 1; i <= 2 * count; ++i) {
    stream.append({.subject = "d", .headers = {}, .payload = payload, .time = static_cast<WallNanos>(i), .msg_id = {}});
    if (i % 4000 == 0) scratch.sync();
  }
  scratch.sync();
  double first_us = 0;
  double last_us = 0;
  const uint64_t tenth = std::max<uint64_t>(1, count / 10);
  const double before = rss_bytes();
  for (uint64_t part = 0; part < 10; ++part) {
    double took = 0;
    for (uint64_t i = 0; i < tenth; ++i) {
      const auto start = SteadyClock::now();
      stream.remove(StreamSeq(2 * (part * tenth + i) + 2), false);
      took += seconds_since(start);
      if (i % 4000 == 0) scratch.sync();
    }
    last_us = took * 1e6 / static_cast<double>(tenth);
    if (part == 0) first_us = last_us;
  }
  scratch.sync();
  const double used = rss_bytes() - before;
  const StreamState state = stream.state();
  scratch.close();
  const auto start = SteadyClock::now();
  scratch.open();
  fmt::print("deletes: {} interior: {:.2f} µs each in the first tenth, {:.2f} µs in the last, {:.0f} MB more RSS; opened again in {:.0f} ms\n",
             state.num_deleted, first_us, last_us, used / 1e6, seconds_since(start) * 1e3);
}

void streams(uint64_t count) {
  const double before = rss_bytes();
  Scratch scratch;
  scratch.open();
  const auto start = SteadyClock::now();
  const std::string payload(128, 'p');
  for (uint64_t i = 0; i < count; ++i) {
    StreamStore& stream = *scratch.store().create_stream(fmt::format("S{}", i), "{}", StreamSeq(0)).value();
    for (int m = 0; m < 10; ++m) stream.append({.subject = "s", .headers = {}, .payload = payload, .time = 1, .msg_id = {}});
    if (i % 400 == 0) scratch.sync();
  }
  scratch.sync();
  const double made_s = seconds_since(start);
  const double used = rss_bytes() - before;
  scratch.close();
  uint64_t bytes = 0;
  for (const auto& file : std::filesystem::recursive_directory_iterator(scratch.dir())) {
    if (file.is_regular_file()) bytes += file.file_size();
  }
  const auto again = SteadyClock::now();
  scratch.open();
  fmt::print("streams: {} of 10 messages made in {:.1f} s, {:.0f} MB RSS, {:.0f} MB on disk; opened again in {:.0f} ms ({} streams)\n", count,
             made_s, used / 1e6, static_cast<double>(bytes) / 1e6, seconds_since(again) * 1e3, scratch.store().streams().size());
}

/// Every message with a lifetime of its own, all of them expired, and the same again: memory must not grow from turn to turn.
void ttl(uint64_t count) {
  const double before = rss_bytes();
  TtlIndex index;
  double full[2];
  double drained[2];
  double insert_s = 0;
  double expire_s = 0;
  uint64_t seq = 0;
  for (int turn = 0; turn < 2; ++turn) {
    const auto start = SteadyClock::now();
    for (uint64_t i = 0; i < count; ++i) {
      ++seq;
      index.insert(StreamSeq(seq), static_cast<WallNanos>(seq), {std::chrono::seconds(1 + seq * 2654435761U % 86'400), false});
    }
    insert_s = seconds_since(start);
    full[turn] = rss_bytes() - before;
    const auto expire = SteadyClock::now();
    while (const auto due = index.next_due()) index.forget(due->seq);
    expire_s = seconds_since(expire);
    drained[turn] = rss_bytes() - before;
  }
  fmt::print("ttl: {} entries: {:.1f} B each, insert {:.2f} µs, expire {:.2f} µs; RSS full {:.0f} then {:.0f} MB, drained {:.0f} then {:.0f} MB\n",
             count, full[0] / static_cast<double>(count), insert_s * 1e6 / static_cast<double>(count),
             expire_s * 1e6 / static_cast<double>(count), full[0] / 1e6, full[1] / 1e6, drained[0] / 1e6, drained[1] / 1e6);
}

/// How long opening takes with very much data: ten streams of 64 B messages, closed and opened.
void messages(uint64_t count) {
  Scratch scratch;
  scratch.open();
  std::vector<StreamStore*> streams;
  for (int i = 0; i < 10; ++i) streams.push_back(scratch.store().create_stream(fmt::format("M{}", i), "{}", StreamSeq(0)).value());
  const std::string payload(64, 'p');
  const auto start = SteadyClock::now();
  for (uint64_t i = 0; i < count; ++i) {
    streams[i % streams.size()]->append({.subject = "m", .headers = {}, .payload = payload, .time = static_cast<WallNanos>(i), .msg_id = {}});
    if (i % 4000 == 0) scratch.sync();
  }
  scratch.sync();
  const double made_s = seconds_since(start);
  scratch.idle(std::chrono::seconds(10));  // retiring catches up, as it does in service
  scratch.close();
  const double before = rss_bytes();
  const auto again = SteadyClock::now();
  scratch.open();
  const double opened_s = seconds_since(again);
  uint64_t held = 0;
  for (const RecoveredStream& stream : scratch.store().streams()) held += scratch.store().find_stream(stream.name)->state().messages;
  fmt::print("messages: {} made in {:.0f} s ({:.2f} M/s durable); opened again in {:.0f} ms with {} messages, {:.0f} MB more RSS\n", count, made_s,
             static_cast<double>(count) / made_s / 1e6, opened_s * 1e3, held, (rss_bytes() - before) / 1e6);
}

int run(int argc, char** argv) {
  configure_logging({LogLevel::kOff, false, ""});
  const std::string_view only = argc > 1 ? argv[1] : "";
  const uint64_t given = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 0;
  struct Part {
    std::string_view name;
    void (*work)(uint64_t);
    uint64_t count;
  };
  bool any = false;
  for (const Part& part : {Part{"subjects", subjects, 10'000'000}, Part{"dedup", dedup, 10'000'000},
                           Part{"deletes", deletes, 1'000'000}, Part{"streams", streams, 10'000},
                           Part{"ttl", ttl, 10'000'000}, Part{"messages", messages, 100'000'000}}) {
    if (!only.empty() && only != part.name) continue;
    any = true;
    part.work(given > 0 ? given : part.count);
    std::fflush(stdout);
  }
  if (any) return 0;
  std::fputs("usage: sluice-scale [subjects|dedup|deletes|streams|ttl|messages] [N]\n", stderr);
  return 2;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::run(argc, argv); }
