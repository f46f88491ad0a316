#include "simulate/site_config.h"

#include <fmt/format.h>

#include <algorithm>

namespace sluice::simulate {

using namespace std::chrono_literals;

namespace {

CopierPlace draw_place(sim::SimRandom& random) {
  const uint64_t draw = random.below(100);
  if (draw < 35) return CopierPlace::kApart;
  if (draw < 55) return CopierPlace::kAtSource;
  if (draw < 75) return CopierPlace::kAtTarget;
  return CopierPlace::kTwoApart;
}

const char* name_of(CopierPlace place) {
  switch (place) {
    case CopierPlace::kApart: return "apart";
    case CopierPlace::kAtSource: return "at source";
    case CopierPlace::kAtTarget: return "at target";
    case CopierPlace::kTwoApart: return "two apart";
  }
  return "";
}

void draw_selection(sim::SimRandom& random, StreamCopyOptions& copy) {
  const uint64_t draw = random.below(100);
  if (draw < 20) copy.filter_subject = "s.a.>";
  if (draw >= 20 && draw < 30) copy.filter_subjects = {"s.a.*", "s.b.1"};
  if (random.chance(25)) copy.target_subject_prefix = "copy";
  if (random.chance(10)) copy.start_sequence = random.between(1, 20);
  if (random.chance(8)) copy.max_age = std::chrono::seconds(random.between(5, 60));
  if (!random.chance(15)) return;
  copy.inspect.subject_token = 3;
  copy.inspect.duration = std::chrono::seconds(random.between(20, 600));
  if (random.chance(70)) copy.inspect.advisory.subject = "advisories.%s.%v";
}

/// Worlds begin at midnight UTC and last for minutes: so their day has its hours there. A clock that jumps back shows the evening before.
PaceOptions draw_pace(sim::SimRandom& random) {
  const auto rate = [&random] { return random.between(4, random.chance(50) ? 30 : 300) * 1000; };
  PaceOptions pace{.rate = random.chance(80) ? rate() : 0, .zone = "UTC"};
  if (pace.rate != 0 && random.chance(50)) return pace;
  const std::chrono::minutes from(random.below(3)), to = from + std::chrono::minutes(random.between(1, 3));
  pace.schedule.push_back({from, to, rate()});
  if (random.chance(50)) pace.schedule.push_back({random.chance(50) ? std::chrono::minutes(22 * 60) : to, from, rate()});
  return pace;
}

/// From numbers of their own: they shift none of the others.
void draw_links(SiteConfig& config, uint64_t world) {
  if (world < kFirstWorldOfLinks) return;
  sim::SimRandom random(world ^ 0x6c696e6b73U);
  const uint64_t draw = random.below(100);
  config.compression = draw < 60 ? LinkCompression::kZstd : draw < 80 ? LinkCompression::kNone : LinkCompression::kAuto;
  if (random.chance(40)) config.copy.pace = draw_pace(random);
  StreamCopyOptions& copy = config.copy;
  // What is chosen or too old is decided anew after a kill: in a queue nothing tells what was decided before.
  const bool can_be = !config.has_sampling() && copy.max_age.count() == 0 && config.place != CopierPlace::kTwoApart && !config.others_write && copy.message_ids && copy.target_writers != TargetWriters::kShared;
  config.target_is_queue = can_be && random.chance(config.source_is_queue ? 60 : 15);
  if (config.target_is_queue) copy.create_target = config.target_takes_batches = false;
}

/// With a fence nothing depends on ids.
void draw_fence(SiteConfig& config, uint64_t world) {
  StreamCopyOptions& copy = config.copy;
  if (world < kFirstWorldOfFences || config.target_is_queue || copy.target_writers == TargetWriters::kExclusive) return;
  sim::SimRandom random(world ^ 0x66656e6365U);
  if (!random.chance(60)) return;
  copy.fence_subject = kFenceSubject;
  if (copy.target_writers == TargetWriters::kShared) copy.message_ids = random.chance(50);
}

std::string describe(const PaceOptions& pace) {
  if (!pace.enabled()) return "";
  std::string text = fmt::format(", paced at {} B/s", pace.rate);
  for (const PaceWindow& window : pace.schedule) text += fmt::format(", from {} to {} min at {} B/s", window.from / 1min, window.to / 1min, window.rate);
  return text;
}

const char* name_of(LinkCompression compression) {
  switch (compression) {
    case LinkCompression::kAuto: return "auto";
    case LinkCompression::kZstd: return "zstd";
    case LinkCompression::kNone: return "none";
  }
  return "";
}

}  // namespace

SiteConfig draw_site_config(sim::SimRandom& random, uint64_t world) {
  SiteConfig config;
  config.place = draw_place(random);
  StreamCopyOptions& copy = config.copy;
  copy.name = "reg";
  copy.stream = "ORDERS";
  copy.target_stream = random.chance(50) ? "ORDERS" : "COPIES";
  copy.target_initiated = random.chance(50);
  draw_selection(random, copy);
  copy.window_messages = random.chance(30) ? random.between(1, 5) : random.between(5, 300);
  copy.window_bytes = random.between(1, 64) * 1024;
  copy.on_gap = random.chance(60) ? OnGap::kContinue : random.chance(50) ? OnGap::kStop : OnGap::kRestart;
  const uint64_t writers = random.below(100);
  copy.target_writers = writers < 60   ? TargetWriters::kAuto
                        : writers < 80 ? TargetWriters::kExclusive
                                       : TargetWriters::kShared;
  // Without ids nothing tells what an older connection still delivers where others write.
  copy.message_ids = random.chance(80) || copy.target_writers == TargetWriters::kShared;
  config.others_write = copy.message_ids && copy.target_writers != TargetWriters::kExclusive && random.chance(25);
  if (random.chance(10)) config.source_max_msgs = random.between(10, 100);
  if (random.chance(10)) config.source_max_per_subject = random.between(1, 5);
  copy.create_target = !config.others_write && config.source_max_msgs == 0 && config.source_max_per_subject == 0;
  if (config.place == CopierPlace::kTwoApart) copy.leader_election_name = "set for each";
  config.messages = random.between(10, random.chance(10) ? 600 : 150);
  config.burst = random.between(1, 12);
  config.large_percent = random.chance(30) ? random.between(1, 30) : 0;
  config.fault_percent = static_cast<unsigned>(random.chance(10) ? 0 : random.between(5, 50));
  config.latency_ms_max = random.chance(60) ? random.below(5) : random.below(400);
  config.bytes_per_second = random.chance(15) ? random.between(5'000, 200'000) : 0;
  if (config.has_sampling() && random.chance(50)) copy.inspect.state_bucket = "SAMPLING";
  config.source_is_queue = config.source_max_msgs == 0 && config.source_max_per_subject == 0 && copy.start_sequence == 0 &&
                           random.chance(10);
  config.target_takes_batches = copy.window_bytes / 1024 % 3 == 0;  // no draw of its own: the worlds of known seeds stay what they are
  // A target made like the source would be a queue too: that is for one replicator.
  if (config.source_is_queue) copy.create_target = false;
  draw_links(config, world);
  draw_fence(config, world);
  return config;
}

uint64_t SiteConfig::slowest_pace() const {
  uint64_t slowest = copy.pace.rate;
  for (const PaceWindow& window : copy.pace.schedule) slowest = slowest == 0 ? window.rate : std::min(slowest, window.rate);
  return slowest;
}

uint64_t SiteConfig::fastest_pace() const {
  uint64_t fastest = copy.pace.rate;
  for (const PaceWindow& window : copy.pace.schedule) fastest = std::max(fastest, window.rate);
  return copy.pace.rate == 0 ? 0 : fastest;
}

std::string SiteConfig::target_subject(const std::string& subject) const {
  return copy.target_subject_prefix.empty() ? subject : copy.target_subject_prefix + "." + subject;
}

bool SiteConfig::matches(const std::string& subject) const {
  if (!copy.filter_subject.empty()) return subject.starts_with("s.a.");
  if (!copy.filter_subjects.empty()) return subject.starts_with("s.a.") || subject == "s.b.1";
  return true;
}

std::string describe(const SiteConfig& config) {
  const StreamCopyOptions& c = config.copy;
  return fmt::format(
      "copier {}, window {} messages {} bytes, on_gap {}, writers {}{}{}, filter '{}'{}, prefix '{}', sampling {} s{}, max_age "
      "{} s, start {}, ids {}{}, source{} limits {}/{}{}, {} messages in bursts of {}, faults {} %, latency {} ms, {} B/s, compression {}{}",
      name_of(config.place), c.window_messages, c.window_bytes, static_cast<int>(c.on_gap),
      static_cast<int>(c.target_writers), config.others_write ? " (others write)" : "", config.target_takes_batches ? " batches" : "", c.filter_subject,
      c.filter_subjects.empty() ? "" : " two filters", c.target_subject_prefix, c.inspect.duration / 1s, c.inspect.state_bucket.empty() ? "" : " with a bucket", c.max_age / 1s,
      c.start_sequence, c.message_ids, c.fence_subject.empty() ? "" : ", fence", config.source_is_queue ? " is a queue," : "", config.source_max_msgs, config.source_max_per_subject,
      config.target_is_queue ? ", target is a queue" : "", config.messages, config.burst,
      config.fault_percent, config.latency_ms_max, config.bytes_per_second, name_of(config.compression), describe(c.pace));
}

}  // namespace sluice::simulate
