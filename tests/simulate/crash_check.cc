#include "simulate/crash_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "sim/crash_states.h"
#include "simulate/store_world.h"

namespace sluice::simulate {

using sim::Crash;

namespace {

constexpr unsigned kCutAgain_percent = 20;
constexpr unsigned kWriteOn_percent = 20;
constexpr unsigned kFinishErases_percent = 25;

uint64_t mix(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * 0x9e3779b97f4a7c15U;
  return hash ^ (hash >> 29);
}

uint64_t mix(uint64_t hash, std::string_view text) {
  hash = mix(hash, text.size());
  for (const char c : text) hash = mix(hash, static_cast<unsigned char>(c));
  return hash;
}

/// Of everything but last sequences, which may stand above what is there.
template <class Streams, class Consumers>
uint64_t digest(const Streams& streams, const Consumers& consumers) {
  uint64_t hash = 0;
  for (const auto& [name, stream] : streams) {
    hash = mix(mix(hash, name), stream.meta);
    for (const auto& [seq, message] : stream.messages) hash = mix(mix(hash, seq), message.digest);
  }
  for (const auto& [key, consumer] : consumers) {
    hash = mix(mix(mix(mix(hash, key), consumer.stream), consumer.name), consumer.meta);
    hash = mix(hash, consumer.deltas);
  }
  return hash;
}

}  // namespace

CrashCheck::CrashCheck(const RecordedLife& life, uint64_t seed) : life_(life), random_(seed) {
  StoreModel model;
  std::map<std::string, uint64_t> highest;
  const auto add = [&] {
    Prefix prefix{digest(model.streams, model.consumers), {}, highest};
    for (const auto& [name, stream] : model.streams) prefix.last_seqs[name] = stream.last_seq;
    prefixes_.push_back(std::move(prefix));
  };
  add();
  for (const auto& step : life.steps) {
    model.apply(step.change);
    for (const auto& [name, stream] : model.streams) highest[name] = std::max(highest[name], stream.last_seq);
    add();
  }
}

CrashCheck::Promise CrashCheck::promise_after(size_t events) const {
  Promise promise{.events = events};
  for (const auto& step : life_.steps) {
    if (step.acked_at <= events) ++promise.acked;
    if (step.made_at <= events) ++promise.made;
  }
  return promise;
}

void CrashCheck::violated(const Store* store, Promise promise, const std::string& what) const {
  std::string report = what;
  const StoreContents found = store == nullptr ? StoreContents() : read_all(*const_cast<Store*>(store));
  StoreModel model;
  for (size_t i = 0; i < promise.acked; ++i) model.apply(life_.steps[i].change);
  if (store != nullptr) {
    const auto differs = difference(model, prefixes_[promise.made].highest, found);
    report += fmt::format("\n  against the {} acknowledged: {}", promise.acked, differs.value_or("equal"));
    for (size_t i = promise.acked; i < promise.made; ++i) {
      model.apply(life_.steps[i].change);
      report += fmt::format("\n  with {} {}:{}: {}", to_string(life_.steps[i].change.kind), life_.steps[i].change.stream,
                            life_.steps[i].change.seq,
                            difference(model, prefixes_[promise.made].highest, found).value_or("equal"));
    }
    for (const std::string& line : store->recovery().notes) report += "\n  recovery: " + line;
  }
  throw Violation(report);
}

/// The last sequence of a stream that may ever have been given out.
uint64_t CrashCheck::highest(const std::string& stream, Promise promise) const {
  uint64_t highest = prefixes_[promise.made].highest.at(stream);
  for (const auto& step : life_.lost) {
    if (step.made_at <= promise.events && step.change.stream == stream) highest = std::max(highest, step.change.seq);
  }
  return highest;
}

/// What was recovered must be the changes up to one of them, with everything acknowledged among them.
size_t CrashCheck::compare(Store& store, Promise promise) const {
  const StoreContents found = read_all(store);
  if (found.problem) violated(&store, promise, *found.problem);
  const uint64_t have = digest(found.streams, found.consumers);
  const auto fits = [&](const Prefix& prefix) {
    if (prefix.digest != have) return false;
    return std::all_of(prefix.last_seqs.begin(), prefix.last_seqs.end(), [&](const auto& entry) {
      const uint64_t last = found.streams.at(entry.first).last_seq;
      return last >= entry.second && last <= highest(entry.first, promise);
    });
  };
  size_t kept = promise.made;
  while (!fits(prefixes_[kept])) {
    if (kept-- == promise.acked) violated(&store, promise, "recovered state is no prefix of the changes");
  }
  if (store.recovery().lost_records > life_.erases)
    violated(&store, promise, fmt::format("{} records reported lost", store.recovery().lost_records));
  if (store.durable() != store.last_commit()) violated(&store, promise, "something is not durable right after opening");
  return kept;
}

/// Whatever power cut: once an erase was answered, no page of the disk holds the message.
void CrashCheck::look_for_erased(const sim::DiskImage& image, Promise promise) {
  std::vector<const std::string*> marks;
  for (const auto& step : life_.steps) {
    if (step.erased_at <= promise.events) marks.push_back(&step.erased);
  }
  if (marks.empty()) return;
  (void)hash_of(image);  // gives each page its hash; that of zeros is 0
  for (const auto& [path, file] : image) {
    if (file == nullptr) continue;
    for (const auto& page : file->pages) {
      if (page == nullptr || page->hash == 0 || !looked_at_.emplace(page->hash, marks.size()).second) continue;
      const std::string_view bytes(reinterpret_cast<const char*>(page->bytes.data()), page->bytes.size());
      for (const std::string* mark : marks) {
        if (bytes.find(*mark) != std::string_view::npos) violated(nullptr, promise, "an erased message stands in " + path);
      }
    }
  }
}

/// An erase that was acknowledged, though not yet done, is done after the next opening.
void CrashCheck::finish_erases(sim::SimEnv& sim, Promise promise, CrashTally& tally) const {
  bool any = false;
  for (size_t i = 0; i < promise.acked; ++i) any |= !life_.steps[i].erased.empty();
  if (!any) return;
  ++tally.erased;
  sim.settle();
  for (size_t i = 0; i < promise.acked; ++i) {
    if (life_.steps[i].erased.empty()) continue;
    if (const auto path = file_with(sim.disk(), life_.steps[i].erased))
      violated(nullptr, promise, fmt::format("{}:{} was erased and stands in {} after opening", life_.steps[i].change.stream, life_.steps[i].change.seq, *path));
  }
}

std::unique_ptr<Store> CrashCheck::open(sim::SimEnv& sim, bool cut_inside, CrashTally& tally) const {
  if (cut_inside) {
    sim.disk().crash_after_ops(sim.random().between(1, 12), Crash::kPower);
    auto opened = Store::open(sim.env(), life_.options);
    sim.disk().crash_after_ops(0);
    if (opened && sim.disk().powered()) return *std::move(opened);  // recovery needed fewer operations
    ++tally.cut_again;
    sim.crash(Crash::kKill);
    if (opened) opened->reset();
    sim.drop_tasks();
    sim.disk().power_on();
  }
  auto opened = Store::open(sim.env(), life_.options);
  if (!opened) throw Violation("open failed: " + opened.error().detail);
  return *std::move(opened);
}

/// One message more in every stream: its sequence is new, and it survives the next power cut with the others.
void CrashCheck::write_on(sim::SimEnv& sim, std::unique_ptr<Store> store, size_t kept, CrashTally& tally) const {
  ++tally.written_on;
  const Promise promise{.acked = kept, .made = kept};
  std::map<std::string, uint64_t> given;
  store->set_consumer_snapshot_source([](ConsumerKey) { return std::string(); });
  for (const RecoveredStream& stream : store->streams()) {
    StreamStore& s = *store->find_stream(stream.name);
    const uint64_t seq = s.append({"after", "", "after", sim.clock().wall(), ""}).value();
    if (seq <= prefixes_[kept].last_seqs.at(stream.name))
      violated(nullptr, promise, fmt::format("{} gave out {} again", stream.name, seq));
    given[stream.name] = seq;
  }
  bool durable = false;
  store->when_durable(store->last_commit(), [&] { durable = true; });
  sim.run_until([&] { return durable; }, std::chrono::seconds(10));
  if (!durable) violated(nullptr, promise, "what was written after recovery never becomes durable");
  sim.crash(Crash::kPower);
  store.reset();
  sim.drop_tasks();
  sim.disk().power_on();
  store = open(sim, false, tally);
  for (const auto& [name, seq] : given) {
    StreamStore* s = store->find_stream(name);
    const auto found = s == nullptr ? std::nullopt : s->load(StreamSeq(seq));
    if (!found || found->payload != "after")
      violated(nullptr, promise, fmt::format("{}:{} written after recovery is gone", name, seq));
  }
}

void CrashCheck::check(const sim::DiskImage& image, Promise promise, CrashTally& tally) {
  ++tally.states;
  look_for_erased(image, promise);
  sim::SimEnv sim(random_.u64());
  sim.disk().load(image);
  auto store = open(sim, random_.chance(kCutAgain_percent), tally);
  if (store->recovery().cut_bytes > 0) ++tally.torn;
  const size_t kept = compare(*store, promise);
  if (random_.chance(kFinishErases_percent)) finish_erases(sim, promise, tally);
  if (random_.chance(kWriteOn_percent)) write_on(sim, std::move(store), kept, tally);
  store.reset();
  sim.drop_tasks();
}

void run_crash_states(uint64_t seed, uint64_t states, bool lying_disk, bool encrypted, const std::function<bool()>& time_over,
                      CrashTally& tally) {
  sim::SimRandom seeds(seed);
  while (tally.states < states && !time_over()) {
    const uint64_t life_seed = seeds.below(1ULL << 40);
    Tally unused;
    const RecordedLife life = StoreWorld(life_seed, unused, false, lying_disk, encrypted).record_lives(1 + life_seed % 3);
    ++tally.histories;
    tally.events += life.disk.events.size();
    CrashCheck check(life, life_seed);
    sim::CrashStates disks(life.disk, sim::SimRandom(life_seed));
    const size_t mixtures = 8;
    try {
      bool more = true;
      do {
        const auto promise = check.promise_after(disks.events());
        disks.each(promise.acked, mixtures, [&](const sim::DiskImage& image) {
          check.check(image, promise, tally);
          return tally.states < states;
        });
        more = disks.step();
      } while (more && tally.states < states && !time_over());
    } catch (const Violation& violation) {
      throw Violation(fmt::format("history of seed {} after {} events: {}", life_seed, disks.events(), violation.what()));
    }
  }
}

namespace {
struct FaultKind {
  sim::DiskOp op;
  Errc code;
  const char* name;
};
using sim::DiskOp;
constexpr FaultKind kFaults[] = {
    {DiskOp::kWrite, Errc::kIo, "write EIO"},       {DiskOp::kWrite, Errc::kNoSpace, "write ENOSPC"},
    {DiskOp::kSync, Errc::kIo, "fdatasync EIO"},    {DiskOp::kTruncate, Errc::kIo, "truncate EIO"},
    {DiskOp::kTruncate, Errc::kNoSpace, "truncate ENOSPC"}, {DiskOp::kOpen, Errc::kIo, "open EIO"},
    {DiskOp::kRead, Errc::kIo, "read EIO"},         {DiskOp::kRename, Errc::kIo, "rename EIO"},
    {DiskOp::kRemove, Errc::kIo, "remove EIO"},     {DiskOp::kList, Errc::kIo, "list EIO"},
    {DiskOp::kMakeDirs, Errc::kIo, "mkdir EIO"},    {DiskOp::kSyncDir, Errc::kIo, "sync of a folder EIO"},
};
}  // namespace

void run_faults(uint64_t seed, uint64_t lives, bool encrypted, const std::function<bool()>& time_over, CrashTally& tally) {
  sim::SimRandom seeds(seed);
  for (uint64_t life = 0; life < lives; ++life) {
    const uint64_t life_seed = seeds.below(1ULL << 40);
    Tally unused;
    std::map<DiskOp, uint64_t> calls;
    {
      StoreWorld whole(life_seed, unused, false, false, encrypted);
      whole.live_with_fault(DiskOp::kWrite, 0, Errc::kIo);
      for (const FaultKind& fault : kFaults) calls[fault.op] = whole.disk_calls(fault.op);
    }
    for (const FaultKind& fault : kFaults) {
      for (uint64_t nth = 1; nth <= calls[fault.op] && !time_over(); ++nth) {
        try {
          ++tally.faults;
          StoreWorld world(life_seed, unused, false, false, encrypted);
          if (world.live_with_fault(fault.op, nth, fault.code)) ++tally.faults_stopped;
        } catch (const Violation& violation) {
          throw Violation(fmt::format("call {} of {} fails with {}: {}", nth, calls[fault.op], fault.name, violation.what()));
        }
      }
    }
  }
}

}  // namespace sluice::simulate
