// One flipped bit in a closed store: what may be lost, and what may never be served.
#include <fmt/format.h>

#include <string>
#include <vector>

#include "simulate/store_world.h"

namespace sluice::simulate {

namespace {

/// Messages of `want` that `found` lacks, and ones that it has with other bytes.
struct Damage {
  std::vector<std::string> missing;
  std::vector<std::string> wrong;
};

Damage compare(const StoreModel& want, const StoreContents& found) {
  Damage damage;
  for (const auto& [name, stream] : want.streams) {
    const auto have = found.streams.find(name);
    if (have == found.streams.end()) {
      damage.missing.push_back("stream " + name);
      continue;
    }
    for (const auto& [seq, message] : stream.messages) {
      const auto entry = have->second.messages.find(seq);
      if (entry == have->second.messages.end()) {
        damage.missing.push_back(fmt::format("{}:{}", name, seq));
      } else if (!(entry->second == message)) {
        damage.wrong.push_back(fmt::format("{}:{}", name, seq));
      }
    }
  }
  return damage;
}

}  // namespace

void StoreWorld::flip_and_look() {
  sim_.disk().crash_after_ops(0);
  auto opened = Store::open(sim_.env(), options_);
  if (!opened) violated("open failed: " + opened.error().detail);
  store_ = *std::move(opened);
  verify();
  for (int step = 0; step < 20; ++step) {
    sim_.env().executor.post([this] { change_some(); });
    sim_.run_for(std::chrono::milliseconds(3));
  }
  const uint64_t durable_before_close = store_->durable().value();
  end_life(End::kClose);
  const auto files = sim_.disk().all_files(options_.dir);
  if (files.empty()) violated("no files");
  const std::string path = files.at(random_.below(files.size()));
  const uint64_t size = sim_.disk().file_size(path).value_or(0);
  if (size == 0) return;
  const uint64_t offset = random_.below(size);
  sim_.disk().flip_bit(path, offset, static_cast<unsigned>(random_.below(8)));
  const std::string what = fmt::format("bit flipped in {} at {} of {}", path, offset, size);
  note(what);
  ++tally_.flips;

  opened = Store::open(sim_.env(), options_);
  if (!opened) violated(what + ": open failed: " + opened.error().detail);
  store_ = *std::move(opened);
  store_->set_consumer_snapshot_source([](ConsumerKey) { return std::string("0"); });
  const StoreContents found = read_all(*store_);
  // The newest batch may be cut whole: nothing behind it proves that it had been complete.
  const Damage full = compare(acked_, found);
  const Damage cut = compare(before_last_rise_, found);
  const auto listed = [](const Damage& damage) {
    std::string out = fmt::format("{} missing, {} wrong", damage.missing.size(), damage.wrong.size());
    for (size_t i = 0; i < damage.missing.size() && i < 5; ++i) out += " -" + damage.missing[i];
    for (size_t i = 0; i < damage.wrong.size() && i < 5; ++i) out += " !" + damage.wrong[i];
    return out;
  };
  std::string report = fmt::format("{} (durable before close {}): {}; records lost {}, cut {}", what,
                                   durable_before_close, listed(full), store_->recovery().lost_records,
                                   store_->recovery().cut_bytes);
  for (const std::string& line : store_->recovery().notes) report += "\n  recovery: " + line;
  note(report);
  if (!full.wrong.empty()) violated("damaged bytes served: " + report);
  const bool one_record = full.missing.size() <= 1;
  const bool newest_batch = store_->recovery().cut_bytes > 0 && cut.missing.empty();
  if (!one_record && !newest_batch) violated("more than one record lost: " + report);
  store_.reset();
  sim_.drop_tasks();
}

}  // namespace sluice::simulate
