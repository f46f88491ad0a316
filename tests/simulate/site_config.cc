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

}  // namespace

SiteConfig draw_site_config(sim::SimRandom& random) {
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
  return config;
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
      "{} s, start {}, ids {}, source{} limits {}/{}, {} messages in bursts of {}, faults {} %, latency {} ms, {} B/s",
      name_of(config.place), c.window_messages, c.window_bytes, static_cast<int>(c.on_gap),
      static_cast<int>(c.target_writers), config.others_write ? " (others write)" : "", config.target_takes_batches ? " batches" : "", c.filter_subject,
      c.filter_subjects.empty() ? "" : " two filters", c.target_subject_prefix, c.inspect.duration / 1s, c.inspect.state_bucket.empty() ? "" : " with a bucket", c.max_age / 1s,
      c.start_sequence, c.message_ids, config.source_is_queue ? " is a queue," : "", config.source_max_msgs, config.source_max_per_subject, config.messages, config.burst,
      config.fault_percent, config.latency_ms_max, config.bytes_per_second);
}

}  // namespace sluice::simulate
