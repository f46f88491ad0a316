// sluice governor add|ls|info|run|evict|reset|rm: how many of a fleet do a thing at a time.
#include "client/governor.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <nlohmann/json.hpp>

#include "base/nuid.h"
#include "config/units.h"
#include "gateway/cli/child.h"
#include "gateway/cli/command_line.h"
#include "gateway/cli/session.h"
#include "gateway/cli/table.h"
#include "gateway/cli/verbs.h"
#include "uv/signals.h"

namespace sluice {
namespace {

using Json = nlohmann::json;
using namespace std::chrono_literals;

struct GovernorWords {
  std::string collective = "mcollective";
  std::string name;
  uint64_t capacity = 1;
  std::string expiry = "5m";
  int replicas = 1;
  uint64_t slot = 0;
  std::vector<std::string> command;
  std::string max_wait = "5m";
  std::string interval = "5s";
  std::string holder;
  bool per_period = false;
  bool force = false;
  bool json = false;
};

/// Choria's lifecycle event of a governor, in its old, bare form, as all its readers take it.
Status announce(Session& session, const GovernorWords& words, std::string_view identity, std::string_view what,
                uint64_t slot) {
  const Json event = {{"protocol", "io.choria.lifecycle.v1.governor"},
                      {"id", make_nuid(session.env().random)},
                      {"identity", identity},
                      {"component", "CLI"},
                      {"timestamp", session.env().clock.wall() / 1'000'000'000},
                      {"governor", words.name},
                      {"sequence", slot},
                      {"event_type", what}};
  const std::string text = event.dump(-1, ' ', false, Json::error_handler_t::replace);
  auto sent = session.link().publish({"choria.lifecycle.event.governor.CLI", {}, {}, text});
  if (!sent) return sent;
  // An exit right behind the publish would lose the event: wait for a round trip.
  (void)session.api("INFO", "");
  return {};
}

Result<GovernorSpec> load(Session& session, const std::string& name) {
  if (!is_governor_name(name))
    return fail(Errc::kInvalidArgument, fmt::format("'{}' is no governor name: letters, digits, '_' and '-'", name));
  auto info = session.api("STREAM.INFO", governor_stream(name));
  if (!info) {
    if (info.error().api_code == 10059)
      return fail(Errc::kNotFound, fmt::format("there is no governor '{}'; make it with: sluice governor add {} CAPACITY EXPIRY", name, name));
    return std::unexpected(info.error());
  }
  return parse_governor(*info);
}

Result<std::vector<GovernorHolder>> holders(Session& session, const std::string& name) {
  auto info = session.api("STREAM.INFO", governor_stream(name), R"({"deleted_details":true})");
  if (!info) return std::unexpected(info.error());
  const Json state = Json::parse(*info, nullptr, false).value("state", Json::object());
  std::vector<GovernorHolder> out;
  const uint64_t last = state.value("last_seq", uint64_t{0});
  if (state.value("messages", uint64_t{0}) == 0) return out;
  for (uint64_t seq = state.value("first_seq", uint64_t{1}); seq <= last; ++seq) {
    auto slot = session.message(governor_stream(name), seq);
    if (slot) out.push_back({seq, slot->payload, slot->time});
  }
  return out;
}

int add_governor(Session& session, const GovernorWords& words) {
  auto expiry = parse_time(words.expiry);
  if (!expiry || *expiry < 1s) return complain(fmt::format("'{}' is no expiry: a time of 1s or more, as 5m", words.expiry));
  GovernorSpec spec{words.name, words.collective, words.capacity, *expiry, words.replicas};
  auto present = load(session, words.name);
  if (!present && present.error().code != Errc::kNotFound) return complain(present.error());
  if (present) {
    std::printf("Governor %s: capacity %llu → %llu, expiry %s → %s\n", words.name.c_str(),
                static_cast<unsigned long long>(present->capacity), static_cast<unsigned long long>(spec.capacity),
                format_go_duration(present->expiry).c_str(), format_go_duration(spec.expiry).c_str());
    if (!words.force && !confirm("Change it?")) return kExitFailure;
    spec.replicas = present->replicas;
    spec.collective = present->collective;
  }
  auto made = session.api(present ? "STREAM.UPDATE" : "STREAM.CREATE", governor_stream(words.name), encode_governor(spec));
  if (!made) return complain(made.error());
  std::printf("Governor %s: capacity %llu, expiry %s, subject %s\n", spec.name.c_str(),
              static_cast<unsigned long long>(spec.capacity), format_go_duration(spec.expiry).c_str(),
              governor_subject(spec.collective, spec.name).c_str());
  return kExitOk;
}

int list_governors(Session& session, const GovernorWords& words) {
  const std::string filter = governor_subject(words.collective, "*");
  std::vector<std::string> names;
  for (size_t offset = 0;;) {
    auto page = session.api("STREAM.NAMES", "", Json{{"offset", offset}, {"subject", filter}}.dump());
    if (!page) return complain(page.error());
    const Json root = Json::parse(*page, nullptr, false);
    const Json streams = root.value("streams", Json());
    if (!streams.is_array() || streams.empty()) break;
    for (const Json& stream : streams) {
      const auto name = stream.get<std::string>();
      if (name.starts_with("GOVERNOR_")) names.push_back(name.substr(9));
    }
    offset += streams.size();
    if (offset >= root.value("total", size_t{0})) break;
  }
  if (words.json) {
    std::printf("%s\n", Json(names).dump(2).c_str());
    return kExitOk;
  }
  if (names.empty()) std::printf("No governors in the collective %s\n", words.collective.c_str());
  for (const std::string& name : names) std::printf("%s\n", name.c_str());
  return kExitOk;
}

int show_governor(Session& session, const GovernorWords& words) {
  auto spec = load(session, words.name);
  if (!spec) return complain(spec.error());
  auto held = holders(session, words.name);
  if (!held) return complain(held.error());
  const WallNanos now = session.env().clock.wall();
  if (words.json) {
    Json out = {{"name", spec->name}, {"collective", spec->collective}, {"capacity", spec->capacity},
                {"expire", spec->expiry.count() / 1'000'000'000}, {"replicas", spec->replicas}, {"leases", Json::array()}};
    for (const GovernorHolder& h : *held)
      out["leases"].push_back({{"id", h.slot}, {"holder", h.name}, {"since", format_rfc3339(h.since)}});
    std::printf("%s\n", out.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
    return kExitOk;
  }
  std::printf("Governor %s\n\n       Capacity: %llu\n        Expires: %s\n       Replicas: %d\n  Active Leases: %zu\n",
              spec->name.c_str(), static_cast<unsigned long long>(spec->capacity), format_go_duration(spec->expiry).c_str(),
              spec->replicas, held->size());
  if (held->empty()) return kExitOk;
  TextTable table({"ID", "Process Name", "Age"});
  for (const GovernorHolder& h : *held) table.add({std::to_string(h.slot), printable(h.name), short_duration(now - h.since)});
  std::printf("\n%s", table.text().c_str());
  return kExitOk;
}

int evict_holder(Session& session, const GovernorWords& words) {
  auto spec = load(session, words.name);
  if (!spec) return complain(spec.error());
  auto held = session.message(governor_stream(words.name), words.slot);
  if (!held)
    return complain(fmt::format("nobody holds slot {} of {}; 'sluice governor info {}' lists the holders", words.slot,
                                words.name, words.name));
  if (!words.force && !confirm(fmt::format("Evict {} from slot {} of {}?", printable(held->payload), words.slot, words.name)))
    return kExitFailure;
  auto gone = session.api("STREAM.MSG.DELETE", governor_stream(words.name),
                          Json{{"seq", words.slot}, {"no_erase", true}}.dump());
  if (!gone) return complain(gone.error());
  if (auto told = announce(session, words, held->payload, "eviction", words.slot); !told) return complain(told.error());
  std::printf("Evicted %s from slot %llu\n", printable(held->payload).c_str(), static_cast<unsigned long long>(words.slot));
  return kExitOk;
}

int change_governor(Session& session, const GovernorWords& words, const char* verb, const char* question, const char* done) {
  auto spec = load(session, words.name);
  if (!spec) return complain(spec.error());
  if (!words.force && !confirm(fmt::format("{} {}?", question, words.name))) return kExitFailure;
  auto answer = session.api(verb, governor_stream(words.name));
  if (!answer) return complain(answer.error());
  std::printf("%s %s\n", done, words.name.c_str());
  return kExitOk;
}

int run_command(Session& session, const std::vector<std::string>& command, bool& interrupted) {
  auto child = start_child(command);
  if (!child) return complain(child.error());
  int code = -1;
  Signals signals(session.loop(), {SIGINT, SIGTERM, SIGCHLD}, [&](int number) {
    if (number == SIGCHLD) return;  // only wakes the loop
    interrupted = true;
    ::kill(*child, number);
  });
  const auto over = [&] { return code >= 0 || (code = child_exit_code(*child)) >= 0; };
  while (!over()) (void)session.loop().run_until(over, 1h);
  return code;
}

int run_governed(Session& session, const GovernorWords& words) {
  auto max_wait = parse_time(words.max_wait);
  auto interval = parse_time(words.interval);
  if (!max_wait || !interval || *interval < 1s)
    return complain("--max-wait and --interval are times as 5m or 10s; the interval at least 1s");
  const std::string holder = words.holder.empty() ? own_host_name() : words.holder;
  GovernorCampaign campaign(session.env(), session.client(),
                            {.collective = words.collective, .governor = words.name, .holder = holder,
                             .interval = *interval, .max_wait = *max_wait});
  std::optional<Result<uint64_t>> slot;
  bool interrupted = false;
  campaign.enter([&](Result<uint64_t> got) { slot = std::move(got); });
  {
    Signals signals(session.loop(), {SIGINT, SIGTERM}, [&](int) { interrupted = true; });
    const auto over = [&] { return slot || interrupted; };
    while (!over()) (void)session.loop().run_until(over, 1h);
  }
  if (!slot) return kExitFailure;
  if (!*slot) {
    (void)announce(session, words, holder, "timeouts", 0);
    if (words.per_period && slot->error().code == Errc::kTimeout) return kExitOk;
    return complain(slot->error());
  }
  (void)announce(session, words, holder, "enter", **slot);
  const int code = run_command(session, words.command, interrupted);
  if (words.per_period) return code;
  std::optional<Status> left;
  campaign.leave([&](Status status) { left = std::move(status); });
  if (!session.loop().run_until([&] { return left.has_value(); }, 30s) || !*left)
    complain(fmt::format("slot {} could not be given back; it expires by itself", **slot));
  (void)announce(session, words, holder, "exit", **slot);
  return code;
}

using Work = int (*)(Session&, const GovernorWords&);

CLI::App* add_verb(CLI::App& parent, const char* name, const char* sentence, const std::shared_ptr<GovernorWords>& words,
                   VerbRun& run, Work work) {
  CLI::App* verb = parent.add_subcommand(name, sentence);
  auto where = add_session_options(*verb);
  verb->callback([words, where, work, &run] {
    run = [words, where, work] { return with_session(*where, [&](Session& s) { return work(s, *words); }); };
  });
  return verb;
}

}  // namespace

void add_governor_verbs(CLI::App& app, VerbRun& run) {
  CLI::App* governor = app.add_subcommand("governor", "Governors: at most N hosts of a fleet do a thing at a time.");
  governor->alias("gov");
  governor->require_subcommand(1);
  auto words = std::make_shared<GovernorWords>();
  const auto with_collective = [&](CLI::App* verb) {
    verb->add_option("--collective", words->collective, "collective the governor belongs to")->capture_default_str();
    return verb;
  };

  CLI::App* add = with_collective(add_verb(*governor, "add", "Make a governor, or change its capacity and expiry.", words, run, add_governor));
  add->add_option("NAME", words->name, "governor")->required();
  add->add_option("CAPACITY", words->capacity, "slots")->required()->check(CLI::Range(1, 1'000'000));
  add->add_option("EXPIRY", words->expiry, "time after which a slot is free though nobody gave it back")->required();
  add->add_option("REPLICAS", words->replicas, "copies, on a cluster")->check(CLI::Range(1, 5));
  add->add_flag("-f,--force", words->force, "do not ask");

  CLI::App* list = with_collective(add_verb(*governor, "ls", "List governors.", words, run, list_governors));
  list->alias("list");
  list->add_flag("-j,--json", words->json, "as JSON");

  CLI::App* info = add_verb(*governor, "info", "Show a governor and who holds its slots.", words, run, show_governor);
  info->alias("view")->alias("show");
  info->add_option("NAME", words->name, "governor")->required();
  info->add_flag("-j,--json", words->json, "as JSON");

  CLI::App* run_verb = with_collective(add_verb(*governor, "run", "Run a command while holding a slot; its exit code becomes ours.", words, run, run_governed));
  run_verb->add_option("NAME", words->name, "governor")->required();
  run_verb->add_option("COMMAND", words->command, "command and its arguments, behind --")->required();
  run_verb->add_option("--max-wait", words->max_wait, "longest wait for a slot")->capture_default_str();
  run_verb->add_option("--interval", words->interval, "time between two tries")->capture_default_str();
  run_verb->add_option("--holder", words->holder, "name of the holder [host name]");
  run_verb->add_flag("--max-per-period", words->per_period,
                     "never give the slot back: at most CAPACITY runs in each expiry; no slot is then no failure");

  CLI::App* evict = add_verb(*governor, "evict", "Free a slot that somebody holds.", words, run, evict_holder);
  evict->add_option("NAME", words->name, "governor")->required();
  evict->add_option("ID", words->slot, "slot, as info shows it")->required();
  evict->add_flag("-f,--force", words->force, "do not ask");

  CLI::App* reset = add_verb(*governor, "reset", "Free all slots.", words, run, [](Session& s, const GovernorWords& w) {
    return change_governor(s, w, "STREAM.PURGE", "Free all slots of", "Freed all slots of");
  });
  reset->add_option("NAME", words->name, "governor")->required();
  reset->add_flag("-f,--force", words->force, "do not ask");

  CLI::App* remove = add_verb(*governor, "rm", "Remove a governor.", words, run, [](Session& s, const GovernorWords& w) {
    return change_governor(s, w, "STREAM.DELETE", "Remove governor", "Removed");
  });
  remove->alias("delete");
  remove->add_option("NAME", words->name, "governor")->required();
  remove->add_flag("-f,--force", words->force, "do not ask");
}

}  // namespace sluice
