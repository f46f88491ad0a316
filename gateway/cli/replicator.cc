// sluice replicator: look at the copies of a running daemon and steer them.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "base/log.h"
#include "config/problems.h"
#include "config/units.h"
#include "gateway/cli/command_line.h"
#include "gateway/cli/http_get.h"
#include "gateway/cli/progress_bar.h"
#include "gateway/cli/replicator_file.h"
#include "gateway/cli/session.h"
#include "gateway/cli/table.h"
#include "gateway/cli/verbs.h"
#include "replicator/tracker.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

struct ReplicatorWords {
  std::string config_path{kDefaultConfigPath};
  std::string monitor;  ///< host:port
  std::string copy;
  std::string from = "start";
  std::string file;
  bool json = false;
  bool force = false;
  bool wait = false;
};

Result<ReplicatorFile> find_place(const ReplicatorWords& words) {
  Problems problems(words.config_path);
  ReplicatorFile place = load_replicator_file(words.config_path, problems);
  if (!words.monitor.empty()) {
    const size_t colon = words.monitor.rfind(':');
    const auto port = colon == std::string::npos ? Result<int64_t>(8222) : parse_integer(words.monitor.substr(colon + 1));
    if (!port || *port < 1 || *port > 65535) return fail(Errc::kInvalidArgument, "--monitor must be host:port");
    place.host = words.monitor.substr(0, colon);
    place.port = static_cast<uint16_t>(*port);
    return place;
  }
  if (!problems.empty()) return fail(Errc::kInvalidArgument, "the configuration can't be used\n" + problems.to_text());
  return place;
}

Result<ReplicatorFile> find_monitor(const ReplicatorWords& words) {
  auto place = find_place(words);
  if (place && place->port == 0)
    return fail(Errc::kInvalidArgument, "this configuration opens no monitor port (--monitor host:port names one)");
  configure_logging({.level = LogLevel::kError, .file = {}});
  return place;
}

Result<Json> read_page(UvEnv& world, const ReplicatorFile& place) {
  const auto text = http_get(world, place.host, place.port, "/replicator");
  if (!text) return std::unexpected(text.error());
  Json page = Json::parse(*text, nullptr, false);
  if (!page.is_object() || !page["copies"].is_array()) return fail(Errc::kCorrupt, "the monitor's answer is no /replicator page");
  return page;
}

Result<Json> read_page(const ReplicatorWords& words) {
  const auto place = find_monitor(words);
  if (!place) return std::unexpected(place.error());
  UvEnv world;
  return read_page(world, *place);
}

std::string count(const Json& copy, const char* key) { return fmt::format("{}", copy["ledger"].value(key, uint64_t{0})); }

std::string lag_of(const Json& copy) {
  return copy["lag"].is_number() ? fmt::format("{}", copy["lag"].get<uint64_t>()) : "?";
}
std::string age_of(const Json& copy) {
  return copy["lag_seconds"].is_number() ? short_duration(static_cast<int64_t>(copy["lag_seconds"].get<double>() * 1e9)) : "?";
}
std::string state_of(const Json& copy) {
  return copy.value("stalled", false) ? "STALLED (" + copy.value("state", "") + ")" : copy.value("state", "");
}

/// Empty for a plain connection.
std::string compression_of(const Json& copy, const char* end) {
  const Json link = copy.value("link", Json::object()).value(end, Json::object());
  if (!link.value("compressed", false)) return "";
  const auto bytes = [&](const char* key) { return link.value(key, uint64_t{0}); };
  return fmt::format("{} link: {} bytes as {}", end, bytes("sent") + bytes("received"), bytes("sent_on_wire") + bytes("received_on_wire"));
}

/// kExitFailure when one is blocked or has stalled, so that scripts can ask.
int exit_code_of(const Json& page) {
  for (const Json& copy : page["copies"])
    if (copy.value("stalled", false) || copy.value("state", "") == "blocked") return kExitFailure;
  return kExitOk;
}

int status_verb(const ReplicatorWords& words) {
  const auto page = read_page(words);
  if (!page) return complain(page.error());
  if (words.json) {
    std::printf("%s\n", page->dump(2).c_str());
    return exit_code_of(*page);
  }
  TextTable table({"Copy", "State", "Lag", "Age", "Read", "Copied", "Filtered", "Sampled", "Expired", "Dead", "Lost"});
  for (const Json& copy : (*page)["copies"]) {
    const Json& lost = copy["ledger"]["lost"];
    const uint64_t all_lost = lost.value("removed", uint64_t{0}) + lost.value("purged", uint64_t{0}) + lost.value("recreated", uint64_t{0});
    table.add({copy.value("id", ""), state_of(copy), lag_of(copy), age_of(copy), count(copy, "read"), count(copy, "copied"),
               count(copy, "filtered"), count(copy, "sampled"), count(copy, "expired"), count(copy, "dead_lettered"),
               fmt::format("{}", all_lost)});
  }
  std::fputs(table.text().c_str(), stdout);
  for (const Json& copy : (*page)["copies"]) {
    const auto say = [&](const char* what, const std::string& text) {
      if (!text.empty()) std::printf("%s: %s: %s\n", copy.value("id", "").c_str(), what, printable(text).c_str());
    };
    const std::string state = copy.value("state", "");
    if (state != "copying" && state != "paused" && state != "stopped") say("last error", copy.value("last_error", ""));
    if (copy.contains("pace") && copy["pace"].is_number()) say("pace", format_size(copy["pace"].get<int64_t>()) + "/s at this time of day");
    for (const char* end : {"source", "target"}) say("compressed", compression_of(copy, end));
    say("last gap", copy.value("last_gap", ""));
    for (const Json& d : copy["target_differs"])
      say("target differs", fmt::format("{} is {} at the source, {} here", d.value("field", ""), d.value("source", ""), d.value("target", "")));
  }
  return exit_code_of(*page);
}

/// One line for each copy, drawn over those of a second ago.
class CatchUp {
 public:
  explicit CatchUp(const Clock& clock) : clock_(clock), on_(::isatty(STDERR_FILENO) != 0) {}
  void show(const Json& page) {
    if (!on_) return;
    std::string text = lines_ == 0 ? "" : fmt::format("\x1b[{}A", lines_);
    lines_ = page["copies"].size();
    for (const Json& copy : page["copies"]) {
      const uint64_t passed = copy.value("source_seq", uint64_t{0}), end = std::max(passed, copy.value("source_end", uint64_t{0}));
      ProgressRate& rate = rates_[copy.value("id", "")];
      rate.note(clock_.now(), passed);
      text += fmt::format("\r\x1b[K{}\n", progress_text(copy.value("id", ""), state_of(copy), passed, end, rate.per_second()));
    }
    std::fputs(text.c_str(), stderr);
  }

 private:
  const Clock& clock_;
  const bool on_;
  size_t lines_ = 0;
  std::map<std::string, ProgressRate> rates_;
};

/// @return the page on which nothing lags any more, or one copy needs a person.
Result<Json> wait_until_caught_up(const ReplicatorWords& words) {
  const auto place = find_monitor(words);
  if (!place) return std::unexpected(place.error());
  UvEnv world;
  CatchUp bars(world.env().clock);
  while (true) {
    auto page = read_page(world, *place);
    if (!page) return page;
    bars.show(*page);
    const auto& copies = (*page)["copies"];
    const bool blocked = std::ranges::any_of(copies, [](const Json& copy) { return copy.value("state", "") == "blocked"; });
    const bool behind = std::ranges::any_of(copies, [](const Json& copy) { return !copy["lag"].is_number() || copy["lag"] != 0; });
    if (blocked || !behind) return page;
    world.loop().run_until([] { return false; }, std::chrono::seconds(1));
  }
}

int lag_verb(const ReplicatorWords& words) {
  const auto page = words.wait ? wait_until_caught_up(words) : read_page(words);
  if (!page) return complain(page.error());
  if (words.json) {
    Json all = Json::array();
    for (const Json& copy : (*page)["copies"]) {
      Json one = Json::object();
      for (const char* key : {"id", "state", "stalled", "lag", "lag_seconds", "source_seq", "source_end"}) one[key] = copy.value(key, Json());
      all.push_back(std::move(one));
    }
    std::printf("%s\n", all.dump(2).c_str());
    return exit_code_of(*page);
  }
  TextTable table({"Copy", "Lag", "Age", "Passed", "Source end"});
  for (const Json& copy : (*page)["copies"]) {
    table.add({copy.value("id", ""), lag_of(copy), age_of(copy), fmt::format("{}", copy.value("source_seq", uint64_t{0})),
               fmt::format("{}", copy.value("source_end", uint64_t{0}))});
  }
  std::fputs(table.text().c_str(), stdout);
  return exit_code_of(*page);
}

/// The stem of a copy's files in the state folder; a copy may be named by its stream when that is clear.
Result<std::string> stem_of(const ReplicatorWords& words) {
  const auto place = find_place(words);
  if (!place) return std::unexpected(place.error());
  std::vector<std::string> fitting, all;
  for (const StreamCopyOptions& copy : place->replicator.streams) {
    all.push_back(copy.id());
    if (copy.id() == words.copy) fitting = {copy.id()};
    if (copy.stream == words.copy && (fitting.empty() || fitting.front() != words.copy)) fitting.push_back(copy.id());
  }
  if (fitting.size() != 1)
    return fail(Errc::kInvalidArgument, fmt::format("'{}' names {} copy; there are: {}", words.copy,
                                                    fitting.empty() ? "no" : "more than one", fmt::join(all, ", ")));
  if (place->replicator.state_dir.empty())
    return fail(Errc::kInvalidArgument, "this configuration has no state folder (state_store), through which copies are steered");
  std::error_code ignored;
  std::filesystem::create_directories(place->replicator.state_dir, ignored);
  return place->replicator.state_dir + "/" + fitting.front();
}

int write_order(const std::string& path, const std::string& text) {
  const std::string fresh = path + ".new";
  std::ofstream out(fresh, std::ios::trunc);
  out << text << '\n';
  out.close();
  if (!out || std::rename(fresh.c_str(), path.c_str()) != 0) return complain(path + " can't be written");
  return kExitOk;
}

int pause_verb(const ReplicatorWords& words) {
  const auto stem = stem_of(words);
  if (!stem) return complain(stem.error());
  if (int code = write_order(*stem + ".paused", "paused"); code != kExitOk) return code;
  std::printf("%s rests within a second and stays so until it is resumed, over restarts too\n", words.copy.c_str());
  return kExitOk;
}

int resume_verb(const ReplicatorWords& words) {
  const auto stem = stem_of(words);
  if (!stem) return complain(stem.error());
  const std::string path = *stem + ".paused";
  if (::unlink(path.c_str()) != 0) return complain(words.copy + " is not paused");
  std::printf("%s goes on within a second\n", words.copy.c_str());
  return kExitOk;
}

int reset_verb(const ReplicatorWords& words) {
  const auto seq = parse_integer(words.from);
  if (words.from != "start" && (!seq || *seq < 1)) return complain("--from must be 'start' or a source sequence");
  const auto stem = stem_of(words);
  if (!stem) return complain(stem.error());
  if (!words.force && !confirm(fmt::format("Copy {} anew from {}? Messages that are on the target already may come there again.", words.copy, words.from)))
    return kExitFailure;
  if (int code = write_order(*stem + ".reset", words.from); code != kExitOk) return code;
  std::printf("%s begins anew within a second\n", words.copy.c_str());
  return kExitOk;
}

int state_verb(const ReplicatorWords& words) {
  std::vector<std::filesystem::path> files;
  std::error_code failed;
  if (std::filesystem::is_directory(words.file, failed)) {
    for (const auto& entry : std::filesystem::directory_iterator(words.file, failed))
      if (entry.path().extension() == ".json") files.push_back(entry.path());
    std::sort(files.begin(), files.end());
  } else {
    files.emplace_back(words.file);
  }
  TextTable table({"Value", "Seen", "Copied", "Size", "Advised"});
  for (const auto& path : files) {
    std::ifstream in(path);
    std::stringstream text;
    text << in.rdbuf();
    Tracker tracker(SIZE_MAX);
    if (auto read = in ? decode_tracker(text.str(), tracker) : Status(fail(Errc::kNotFound, "can't be read")); !read)
      return complain(path.string() + ": " + read.error().detail);
    if (words.json) {
      std::printf("%s\n", encode_tracker(tracker).c_str());
      continue;
    }
    tracker.each([&](std::string_view value, const TrackedItem& item) {
      table.add({printable(value), format_rfc3339(item.seen), item.copied == kZeroTime ? "never" : format_rfc3339(item.copied),
                 fmt::format("{}", item.size), item.advised ? "yes" : "no"});
    });
  }
  if (!words.json) std::fputs(table.text().c_str(), stdout);
  return kExitOk;
}

}  // namespace

void add_replicator_verbs(CLI::App& app, VerbRun& run) {
  CLI::App* replicator = app.add_subcommand("replicator", "Look at the copies of a running daemon and steer them.");
  replicator->require_subcommand(1);
  auto words = std::make_shared<ReplicatorWords>();
  const auto add = [&](const char* name, const char* doc, int (*verb)(const ReplicatorWords&)) {
    CLI::App* added = replicator->add_subcommand(name, doc);
    added->callback([words, &run, verb] { run = [words, verb] { return verb(*words); }; });
    return added;
  };
  const auto add_config = [&](CLI::App* verb) {
    verb->add_option("-c,--config", words->config_path, "the daemon's configuration, or Stream Replicator's")
        ->envname("SLUICE_CONFIG")
        ->capture_default_str();
  };
  CLI::App* status = add("status", "State, lag and ledger of each copy; ends with 1 when one is blocked or has stalled.", status_verb);
  status->add_flag("--json", words->json, "print the page as it is");
  CLI::App* lag = add("lag", "How far behind each copy is.", lag_verb);
  lag->add_flag("--wait", words->wait, "wait until every copy has caught up, with bars, rates and time left; ends with 1 when one is blocked");
  lag->add_flag("--json", words->json, "as JSON");
  for (CLI::App* verb : {status, lag}) {
    add_config(verb);
    verb->add_option("--monitor", words->monitor, "host:port of the daemon's monitor, instead of the configuration's");
  }
  CLI::App* pause = add("pause", "Let a copy rest, over restarts too.", pause_verb);
  CLI::App* resume = add("resume", "Let it go on.", resume_verb);
  CLI::App* reset = add("reset", "Copy anew.", reset_verb);
  for (CLI::App* verb : {pause, resume, reset}) {
    add_config(verb);
    verb->add_option("COPY", words->copy, "stream, or stream_name")->required();
  }
  reset->add_option("--from", words->from, "'start' (by the configuration's start settings) or a source sequence")->capture_default_str();
  reset->add_flag("-f,--force", words->force, "do not ask");
  CLI::App* state = add("state", "Print what sampling knows: a state file, or all of a folder.", state_verb);
  state->add_option("FILE", words->file, "file or folder")->required();
  state->add_flag("--json", words->json, "print it as JSON");
  add_replicator_advisories_verb(*replicator, run);
  add_replicator_gossip_verb(*replicator, run);
}

}  // namespace sluice
