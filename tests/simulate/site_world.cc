#include "simulate/site_world.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/headers.h"
#include "client/api_json.h"
#include "replicator/position.h"

namespace sluice::simulate {

using namespace std::chrono_literals;
using sim::Crash;

namespace {

constexpr auto kTimeToCatchUp = std::chrono::minutes(20);

std::chrono::nanoseconds millis(uint64_t count) { return std::chrono::milliseconds(static_cast<int64_t>(count)); }

ReplicatorOptions replicator_options(const SiteConfig& config, const std::string& host) {
  ReplicatorOptions options;
  options.name = "edge";
  options.state_dir = "data/replicator";
  options.streams = {config.copy};
  StreamCopyOptions& copy = options.streams.front();
  if (config.place != CopierPlace::kAtSource) copy.source.urls = {"nats://source:4222"};
  if (config.place != CopierPlace::kAtTarget) copy.target.urls = {"nats://target:4222"};
  copy.source.compression = copy.target.compression = config.compression;
  if (!copy.leader_election_name.empty()) copy.leader_election_name = host;
  return options;
}

}  // namespace

SiteWorld::SiteWorld(uint64_t seed, SiteTally& tally, bool trace, bool lying_disk)
    : seed_(seed),
      tally_(tally),
      trace_(trace),
      lying_disk_(lying_disk),
      sim_(seed),
      random_(sim_.random()),
      config_(draw_site_config(random_, seed)),
      record_(config_),
      worker_(config_.copy.target_stream) {
  auto& net = sim_.net().options();
  net.latency_high = millis(config_.latency_ms_max);
  net.latency_low = millis(random_.below(config_.latency_ms_max + 1));
  net.bytes_per_second = config_.bytes_per_second;
  net.reset_on_close_percent = 30;
}

SiteWorld::~SiteWorld() {
  publishing_.clear();
  foreign_.clear();
  worker_.stop();
  machines_.clear();
  sim_.drop_tasks();
}

void SiteWorld::note(const std::string& what) {
  if (!trace_) return;
  fmt::print("site world {} t={:.3f}s: {}\n", seed_, std::chrono::duration<double>(sim_.clock().now()).count() - 1000, what);
  std::fflush(stdout);
}

std::string SiteWorld::story() {
  std::string text = fmt::format("[{}]", describe(config_));
  for (SiteMachine* copier : copiers_) {
    if (!copier->replicator()) continue;
    for (const auto& view : copier->replicator()->copies()) {
      const CopyPosition& p = view.figures.position;
      const Ledger& l = p.ledger;
      text += fmt::format(
          " | {} {} position {} of life {} target {}{} ledger read {} copied {} filtered {} sampled {} expired {} removed {} "
          "purged {} recreated {}; sessions {} last error '{}' gap '{}'",
          copier->host(), to_string(view.figures.state), p.source_seq.value(), p.origin_created, p.target_seq.value(),
          p.shared ? " shared" : "", l.read, l.copied, l.filtered, l.sampled, l.expired, l.removed, l.purged, l.recreated,
          view.figures.sessions, view.figures.last_error, view.figures.last_gap);
    }
  }
  return text;
}

void SiteWorld::violated(const std::string& what) {
  throw Violation(fmt::format("site world seed {}: {} {}", seed_, what, story()));
}

void SiteWorld::run() {
  ++tally_.worlds;
  note(describe(config_));
  build();
  live();
  finish();
  tally_.messages += record_.made();
  tally_.copies += record_.copies();
  tally_.begun_anew += restarts_;
  count_links();
  tally_.simulated_hours += std::chrono::duration<double>(sim_.clock().now() - 1000s).count() / 3600;
}

void SiteWorld::build() {
  const auto add = [&](const std::string& host, bool engine, bool copies) {
    SiteProcess process{.has_engine = engine, .seed = random_.u64()};
    if (copies) process.replicator = replicator_options(config_, host);
    machines_.push_back(std::make_unique<SiteMachine>(sim_, host, std::move(process)));
    if (copies) copiers_.push_back(machines_.back().get());
    machines_.back()->machine().disk_workers().set_latency(0ns, millis(random_.below(20)));
    return machines_.back().get();
  };
  source_ = add("source", true, config_.place == CopierPlace::kAtSource);
  target_ = add("target", true, config_.place == CopierPlace::kAtTarget);
  target_->machine().disk().set_lying_sync(lying_disk_);
  if (config_.place == CopierPlace::kApart || config_.place == CopierPlace::kTwoApart) add("copier", false, true);
  if (config_.place == CopierPlace::kTwoApart) add("standby", false, true);
  for (auto& machine : machines_) {
    if (auto started = machine->start(); !started) violated("does not start: " + started.error().detail);
  }
  make_source_stream();
  if (config_.makes_target()) make_target_stream();
  if (config_.place == CopierPlace::kTwoApart) {
    call(*source_, "STREAM.CREATE", "KV_CHORIA_LEADER_ELECTION",
         R"({"name":"KV_CHORIA_LEADER_ELECTION","subjects":["$KV.CHORIA_LEADER_ELECTION.>"],"max_age":5000000000,)"
         R"("max_msgs_per_subject":1,"discard":"new","deny_delete":true,"allow_rollup_hdrs":true,"allow_direct":true,)"
         R"("duplicate_window":5000000000})");
  }
}

/// One answer of a site's API; empty when it did not come (its machine went).
std::string SiteWorld::call(SiteMachine& site, std::string_view verb, std::string_view target, const std::string& body) {
  std::optional<std::string> answer;
  const Ticket ticket = site.client().api(verb, target, body, [&](Result<std::string> reply) {
    answer = reply ? *reply : "";
    if (!reply) note(fmt::format("{} {}: {}", verb, target, reply.error().detail));
  });
  sim_.run_until([&] { return answer || !site.powered(); }, 60s);
  return answer.value_or("");
}

void SiteWorld::make_source_stream() {
  std::string limits = config_.source_is_queue ? R"(,"retention":"workqueue")" : "";
  if (config_.source_max_msgs != 0) limits += fmt::format(R"(,"max_msgs":{})", config_.source_max_msgs);
  if (config_.source_max_per_subject != 0) limits += fmt::format(R"(,"max_msgs_per_subject":{})", config_.source_max_per_subject);
  call(*source_, "STREAM.CREATE", "ORDERS", fmt::format(R"({{"name":"ORDERS","subjects":["s.>"],"storage":"file"{}}})", limits));
  after_start(*source_);
}

void SiteWorld::make_target_stream() {
  call(*target_, "STREAM.CREATE", config_.copy.target_stream,
       fmt::format(R"({{"name":"{}","subjects":["{}","foreign.>","fence.>"],"storage":"file"{}{}}})", config_.copy.target_stream,
                   config_.target_subject("s.>"), config_.target_takes_batches ? R"(,"allow_atomic":true)" : "",
                   config_.target_is_queue ? R"(,"retention":"workqueue","duplicate_window":864000000000000)" : ""));
  after_start(*target_);
}

/// Which life of the stream its source has now.
void SiteWorld::after_start(SiteMachine& machine) {
  if (&machine == target_ && config_.target_is_queue && machine.up()) worker_.start(machine.client());
  if (&machine != source_ || !machine.up()) return;
  const Stream* stream = machine.node()->streams().find("ORDERS");
  const WallNanos life = stream ? stream->created() : 0;
  if (life != 0 && life != life_) {
    note(fmt::format("source stream of {}", life));
    record_.add_life(life);
  }
  life_ = life;
}

void SiteWorld::live() {
  while (record_.made() < config_.messages) {
    step();
    look_at_replicators();
  }
}

void SiteWorld::step() {
  revive();
  if (source_->up() && life_ == 0) make_source_stream();
  if (source_->up() && life_ != 0) publish_some(random_.between(0, config_.burst));
  if (config_.others_write && target_->up() && random_.chance(30)) publish_foreign();
  if (config_.target_is_queue && target_->up()) worker_.acknowledge_some(random_);
  if (random_.chance(config_.fault_percent)) disturb();
  const auto until = sim_.clock().now() + millis(random_.below(10) == 0 ? random_.below(15'000) : random_.below(300));
  const auto struck = [this] {
    return std::any_of(machines_.begin(), machines_.end(), [](const auto& m) { return m->up() && !m->powered(); });
  };
  if (sim_.run_until(struck, until - sim_.clock().now())) {
    for (auto& machine : machines_) {
      if (machine->up() && !machine->powered()) crash(*machine);
    }
  }
  if (!cuts_.empty() && sim_.clock().now() >= heal_at_) heal_links();
}

void SiteWorld::publish_some(uint64_t count) {
  for (; count > 0 && record_.made() < config_.messages; --count) {
    const uint64_t number = record_.make(random_);
    const SiteRecord::Sent& sent = record_.sent(number);
    publishing_[number] = source_->client().publish(
        {sent.subject, "", sent.headers, sent.payload}, 5s, [this, number, life = life_](Result<PubAck> ack) {
          publishing_[number].release();
          publishing_.erase(number);
          if (ack) record_.acknowledged(number, {life, ack->seq.value()});
        });
  }
}

void SiteWorld::publish_foreign() {
  const uint64_t number = record_.make_foreign();
  foreign_[number] =
      target_->client().publish({"foreign.x", "", "", std::to_string(number)}, 5s, [this, number](Result<PubAck> ack) {
        foreign_[number].release();
        foreign_.erase(number);
        if (ack) record_.foreign_acknowledged(number);
      });
}

void SiteWorld::revive() {
  for (auto& machine : machines_) {
    if (machine->up() || sim_.clock().now() < machine->up_at) continue;
    note(machine->host() + " starts");
    for (const std::string& other : std::exchange(machine->cut_from, {})) sim_.net().heal(machine->host(), other);
    if (auto started = machine->start(); !started) violated(machine->host() + " does not start: " + started.error().detail);
    after_start(*machine);
    note_disturbance(machine->host(), machine->host());
  }
}

SiteMachine& SiteWorld::draw_copier() { return *copiers_[random_.below(copiers_.size())]; }

void SiteWorld::disturb() {
  const uint64_t draw = random_.below(100);
  SiteMachine& any = *machines_[random_.below(machines_.size())];
  if (draw < 15) {
    if (any.up()) crash(any);
  } else if (draw < 27) {
    if (!any.up()) return;
    note(any.host() + " will be cut off inside a disk operation");
    any.machine().disk().crash_after_ops(random_.between(1, 60), random_.chance(70) ? Crash::kPower : Crash::kKill);
  } else if (draw < 32) {
    if (any.up()) stop(any);
  } else if (draw < 40) {
    SiteMachine& copier = draw_copier();
    if (copier.up()) restart_replicator(copier);
  } else if (draw < 58) {
    partition();
  } else if (draw < 68) {
    ++tally_.resets;
    SiteMachine& other = *machines_[random_.below(machines_.size())];
    note(fmt::format("connections of {} and {} are reset", any.host(), other.host()));
    sim_.net().reset(any.host(), other.host());
    note_disturbance(any.host(), other.host());
  } else if (draw < 76) {
    ++tally_.slow_disks;
    any.machine().disk_workers().set_latency(0ns, millis(random_.chance(50) ? 5 : random_.below(3000)));
  } else if (draw < 82) {
    ++tally_.clock_jumps;
    const auto by = millis(random_.between(1, random_.chance(50) ? 10'000 : 4'000'000));
    note(fmt::format("clock of {} jumps", any.host()));
    clock_jumped_ = true;
    any.machine().jump_wall(random_.chance(50) ? by : -by);
  } else if (draw < 92) {
    shorten_source();
  } else if (draw < 95) {
    make_source_anew();
  } else {
    purge_target();
  }
}

void SiteWorld::crash(SiteMachine& machine) {
  const Crash kind = random_.chance(60) ? Crash::kPower : Crash::kKill;
  ++(kind == Crash::kPower ? tally_.power_cuts : tally_.kills);
  note(fmt::format("{} {}", kind == Crash::kPower ? "power cut of" : "kill of", machine.host()));
  if (&machine == source_) publishing_.clear();
  if (&machine == target_) foreign_.clear();
  if (random_.chance(40)) {  // nobody is told
    for (auto& other : machines_) {
      if (other.get() == &machine) continue;
      machine.cut_from.push_back(other->host());
      sim_.net().cut(machine.host(), other->host());
    }
  }
  if (&machine == target_) worker_.stop();
  machine.crash(kind);
  note_disturbance(machine.host(), machine.host());
  machine.up_at = sim_.clock().now() + millis(random_.below(random_.chance(20) ? 40'000 : 4'000));
}

void SiteWorld::stop(SiteMachine& machine) {
  ++tally_.stops;
  note("orderly stop of " + machine.host());
  note_disturbance(machine.host(), machine.host());
  if (&machine == source_) settle_publishes();
  if (!machine.up() || !machine.powered()) return;
  if (&machine == source_) publishing_.clear();
  if (&machine == target_) foreign_.clear();
  if (&machine == target_) worker_.stop();
  if (!machine.stop()) violated(machine.host() + " never stops");
  if (!machine.powered()) machine.crash(Crash::kPower);
  machine.up_at = sim_.clock().now() + millis(random_.below(3'000));
}

void SiteWorld::settle_publishes() {
  sim_.run_until([&] { return publishing_.empty() || !source_->powered(); }, 20s);
}

void SiteWorld::restart_replicator(SiteMachine& machine) {
  const bool orderly = random_.chance(50);
  note_disturbance(machine.host(), machine.host());
  ++(orderly ? tally_.stops : tally_.kills);
  note(fmt::format("replicator of {} is {} and begun again", machine.host(), orderly ? "stopped" : "killed"));
  if (auto started = machine.restart_replicator(orderly); !started) violated("replicator: " + started.error().detail);
}

void SiteWorld::partition() {
  if (!cuts_.empty()) return;
  ++tally_.partitions;
  const std::string a = machines_[random_.below(machines_.size())]->host();
  for (auto& other : machines_) {
    if (other->host() == a || random_.chance(30)) continue;
    sim_.net().cut(a, other->host());
    cuts_.emplace_back(a, other->host());
    note_disturbance(a, other->host());
    note(fmt::format("nothing passes between {} and {}", a, other->host()));
  }
  heal_at_ = sim_.clock().now() + millis(random_.below(random_.chance(30) ? 100'000 : 8'000));
}

void SiteWorld::heal_links() {
  for (const auto& [a, b] : std::exchange(cuts_, {})) {
    const auto is_dark = [&](const auto& m) {
      return (m->host() == a || m->host() == b) && !m->up() && !m->cut_from.empty();
    };
    if (std::any_of(machines_.begin(), machines_.end(), is_dark)) continue;  // healed at its start
    sim_.net().heal(a, b);
    note_disturbance(a, b);
    note(fmt::format("{} and {} reach each other again", a, b));
  }
}

void SiteWorld::shorten_source() {
  if (!source_->up() || life_ == 0) return;
  const uint64_t last = source_->node()->streams().find("ORDERS")->visible_last().value();
  if (last == 0) return;
  ++tally_.purges;
  source_shortened_ = true;
  if (random_.chance(60)) {
    const uint64_t seq = random_.between(std::max<uint64_t>(last, 20) - 19, last);
    note(fmt::format("source message {} is removed", seq));
    call(*source_, "STREAM.MSG.DELETE", "ORDERS", fmt::format(R"({{"seq":{}}})", seq));
  } else {
    const uint64_t below = random_.between(1, last + 1);
    note(fmt::format("source is purged below {}", below));
    call(*source_, "STREAM.PURGE", "ORDERS", fmt::format(R"({{"seq":{}}})", below));
  }
}

void SiteWorld::make_source_anew() {
  if (!source_->up() || life_ == 0) return;
  settle_publishes();
  if (!source_->powered() || !publishing_.empty()) return;
  ++tally_.recreations;
  note("source stream is deleted");
  sim_.advance(1ms);  // two streams of one instant can't be told apart
  call(*source_, "STREAM.DELETE", "ORDERS", "");
  if (!source_->powered()) return;
  after_start(*source_);
  if (random_.chance(70) && life_ == 0) make_source_stream();
}

/// What a target loses is remembered first. Where the copy can't know any more what it had copied (a standby
/// with a place of its own, sampling judged anew) this would be another test.
void SiteWorld::purge_target() {
  if (!target_->up() || config_.target_is_queue || config_.place == CopierPlace::kTwoApart || config_.has_sampling() ||
      config_.copy.max_age.count() != 0)
    return;
  if (!observe_target()) return;
  note(fmt::format("target is purged through {}", observed_));
  ++target_purges_;
  ++tally_.purges;
  call(*target_, "STREAM.PURGE", config_.copy.target_stream, fmt::format(R"({{"seq":{}}})", observed_ + 1));
}

std::vector<StoredCopy> SiteWorld::read_all(SiteMachine& site, const std::string& stream, uint64_t first) {
  std::vector<StoredCopy> messages;
  const Stream* found = site.node()->streams().find(stream);
  if (!found) return messages;
  const uint64_t last = found->visible_last().value();
  size_t open = 0;
  bool failed = false;
  std::vector<Ticket> tickets;
  for (uint64_t seq = first; seq <= last; ++seq) {
    ++open;
    tickets.push_back(site.client().get_message(stream, StreamSeq(seq), [&](Result<StoredCopy> copy) {
      --open;
      if (copy) messages.push_back(*std::move(copy));
      else if (copy.error().code != Errc::kNotFound) failed = true;
    }));
  }
  sim_.run_until([&] { return open == 0 || !site.powered(); }, 120s);
  if (open != 0 || failed) messages.clear();
  std::sort(messages.begin(), messages.end(), [](const auto& a, const auto& b) { return a.seq < b.seq; });
  return messages;
}

bool SiteWorld::observe_target() {
  auto messages = read_all(*target_, config_.copy.target_stream, observed_ + 1);
  for (auto taken = worker_.taken().upper_bound(observed_); taken != worker_.taken().end(); ++taken) {
    const auto place = std::ranges::lower_bound(messages, taken->second.seq, {}, &StoredCopy::seq);
    if (place == messages.end() || place->seq != taken->second.seq) messages.insert(place, taken->second);
  }
  for (const StoredCopy& message : messages) record_.target_holds(message);
  if (messages.empty()) return false;
  observed_ = messages.back().seq.value();
  return true;
}

/// A person lets the blocked copy begin anew.
void SiteWorld::help_the_blocked() {
  for (SiteMachine* copier : copiers_) {
    const auto view = copier->replicator()->copies().front();
    if (view.figures.state != CopyState::kBlocked) continue;
    if (config_.copy.on_gap != OnGap::kStop) violated("blocked without a reason");
    note("reset: " + view.figures.last_error);
    ++restarts_;
    const auto& options = copier->replicator_options();
    (void)write_state_file(copier->machine().disk(), options.state_dir, view.options.id() + ".reset", "start");
    sim_.run_until([&] { return copier->replicator()->copies().front().figures.state != CopyState::kBlocked; }, 60s);
  }
}

/// A leader's key lasts until its time by a clock that may have gone back; what a paced copy begins anew takes its time.
std::chrono::nanoseconds SiteWorld::patience() const {
  return (clock_jumped_ ? 10 : config_.copy.pace.enabled() ? 3 : 1) * kTimeToCatchUp;
}

void SiteWorld::finish() {
  for (auto& machine : machines_) {
    if (machine->up() && !machine->powered()) crash(*machine);
    machine->machine().disk().crash_after_ops(0);
    machine->machine().disk_workers().set_latency(0ns, 1ms);
    machine->up_at = {};
  }
  revive();
  heal_links();
  sim_.net().options().bytes_per_second = 0;
  if (life_ == 0) make_source_stream();
  settle_publishes();
  sim_.run_until([&] { return foreign_.empty(); }, 20s);
  note("all are well again");
  const auto done = [this] {
    const bool blocked = std::any_of(copiers_.begin(), copiers_.end(), [](SiteMachine* copier) {
      return copier->replicator()->copies().front().figures.state == CopyState::kBlocked;
    });
    return blocked || caught_up();
  };
  for (int help = 0; help < 4; ++help) {
    if (!sim_.run_until(done, patience())) violated("never catches up");
    if (caught_up()) break;
    help_the_blocked();
  }
  if (!caught_up()) violated("never catches up, though helped");
  look_at_replicators();
  const auto drained = [this] { return source_->node()->streams().find("ORDERS")->store().state().messages == 0; };
  // What a killed source had not heard the acks of comes again when its clock says so.
  if (config_.source_is_queue && config_.copy.filters().empty() && !sim_.run_until(drained, patience()))
    violated("what was copied stays in the queue");
  for (const StoredCopy& message : read_all(*source_, "ORDERS", 1)) record_.source_holds(message, life_);
  observe_target();
  check_sampling_state();
  // Time passes while one looks: a leader that had not yet noticed a cut may lead no more, and the next one counts.
  for (int look = 0; look < 10 && !caught_up(); ++look) {
    if (!sim_.run_until([this] { return caught_up(); }, patience())) violated("never catches up again");
    observe_target();
  }
  if (!caught_up()) violated("nobody goes on leading");
  SiteRecord::Ending ending;
  ending.life = life_;
  ending.begun_anew = restarts_;
  ending.source_last = source_->node()->streams().find("ORDERS")->visible_last().value();
  for (SiteMachine* copier : copiers_) {
    const auto view = copier->replicator()->copies().front();
    tally_.gaps += view.figures.gaps;
    if (view.figures.state == CopyState::kCopying) ending.position = view.figures.position;
  }
  // By policy each gap may let all come again; of those in earlier processes only the source's history tells.
  if (config_.copy.on_gap == OnGap::kRestart) ending.begun_anew += 1000;
  if (config_.copy.on_gap == OnGap::kStop && restarts_ > 0) ending.begun_anew += 2;
  ending.target_purges = target_purges_;
  ending.source_shortened = source_shortened_ || config_.source_max_msgs != 0 || config_.source_max_per_subject != 0;
  record_.check(ending);
  if (!record_.fault().empty()) violated(record_.fault());
  note("kept: " + story());
}

}  // namespace sluice::simulate
