// sluice spool ls|show|export|replay|drop|status|repair: a look into this node's spool, and its quarantine.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/log.h"
#include "base/time_format.h"
#include "gateway/cli/command_line.h"
#include "gateway/cli/session.h"
#include "gateway/cli/spool_session.h"
#include "gateway/cli/table.h"
#include "gateway/cli/verbs.h"
#include "uv/env.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

struct Words {
  SpoolWords spool;
  std::string id;
  std::string dir;
  std::string reason;
  bool quarantine = false;
  bool all = false;
  bool json = false;
  bool payload = false;
};

Result<Json> ask(SpoolSession& session, const Json& request) {
  const auto line = session.ask(request.dump(-1, ' ', false, Json::error_handler_t::replace));
  if (!line) return std::unexpected(line.error());
  Json answer = Json::parse(*line, nullptr, false);
  if (!answer.is_object()) return fail(Errc::kCorrupt, "sluice-spool answered with something that is no JSON object");
  if (answer.contains("error")) return fail(Errc::kRefused, answer["error"].value("text", "refused"));
  return answer;
}

/// Calls `visit` for each entry of the queue or the quarantine until it answers false.
Status each_entry(SpoolSession& session, bool quarantine, const std::function<Status(const Json&)>& visit) {
  std::string after;
  do {
    auto page = ask(session, {{"op", "list"}, {"box", quarantine ? "quarantine" : "queue"}, {"after", after}});
    if (!page) return std::unexpected(page.error());
    for (const Json& entry : (*page)["entries"]) {
      if (Status s = visit(entry); !s) return s;
    }
    after = page->value("after", "");
  } while (!after.empty());
  return {};
}

int with_spool(const Words& words, SpoolAccess access, const std::function<Status(SpoolSession&)>& work) {
  const auto config = spool_config_of(words.spool);
  if (!config) return complain(config.error());
  auto session = SpoolSession::open(*config, words.spool, access);
  if (!session) return complain(session.error());
  Status done = work(**session);
  Status closed = access == SpoolAccess::kChange ? (*session)->close() : Status();
  if (!done) return complain(done.error());
  if (!closed) return complain(closed.error());
  return kExitOk;
}

void print_json(const Json& json) { std::printf("%s\n", json.dump(-1, ' ', false, Json::error_handler_t::replace).c_str()); }
std::string duration_of(const Json& entry, const char* key) { return short_duration(static_cast<int64_t>(entry.value(key, 0.0) * 1e9)); }

int list_verb(const Words& words) {
  return with_spool(words, SpoolAccess::kLook, [&](SpoolSession& session) -> Status {
    std::vector<std::string> titles{"Id", "Priority", "Mode", "Subject", "Bytes", "Age", "Left", "Tries"};
    if (words.quarantine) titles.push_back("Reason");
    TextTable table(titles);
    Status listed = each_entry(session, words.quarantine, [&](const Json& e) -> Status {
      if (words.json) return print_json(e), Status();
      std::vector<std::string> row{printable(e.value("id", "")),
                                   std::to_string(e.value("priority", 0)),
                                   e.value("reliable", false) ? "reliable" : "plain",
                                   printable(e.value("subject", "")),
                                   std::to_string(e.value("bytes", 0)),
                                   duration_of(e, "age_seconds"),
                                   e.value("ttl_left_seconds", 0.0) > 0 ? duration_of(e, "ttl_left_seconds") : "-",
                                   fmt::format("{}/{}", e.value("tries", 0), e.value("max_tries", 0))};
      if (words.quarantine) row.push_back(printable(e.value("reason", "")));
      table.add(std::move(row));
      return {};
    });
    if (!listed || words.json) return listed;
    if (table.size() == 0) {
      std::printf("%s\n", words.quarantine ? "The quarantine is empty." : "Nothing waits.");
    } else {
      std::printf("%s", table.text().c_str());
    }
    return {};
  });
}

int show_verb(const Words& words) {
  return with_spool(words, SpoolAccess::kLook, [&](SpoolSession& session) -> Status {
    auto found = ask(session, {{"op", "show"}, {"id", words.id}});
    if (!found) return std::unexpected(found.error());
    const auto payload = base64_decode((*found)["message"].value("payload", ""));
    if (words.payload) {
      if (payload) std::fwrite(payload->data(), 1, payload->size(), stdout);
      return {};
    }
    if (words.json) return print_json((*found)["message"]), Status();
    for (const auto& [key, value] : (*found)["entry"].items())
      std::printf("%18s: %s\n", key.c_str(), printable(value.is_string() ? value.get<std::string>() : value.dump()).c_str());
    if ((*found)["message"]["headers"].is_object()) {
      for (const auto& [name, value] : (*found)["message"]["headers"].items())
        std::printf("%18s: %s: %s\n", "header", printable(name).c_str(), printable(value.get<std::string>()).c_str());
    }
    if (payload) std::printf("\n%s\n", printable(std::string_view(*payload).substr(0, 4096)).c_str());
    return {};
  });
}

/// Files in Choria's layout whose names rise in the order in which the messages would leave.
int export_verb(const Words& words) {
  UvEnv world;
  Disk& disk = world.env().disk;
  uint64_t written = 0;
  int64_t last_stamp = 0;
  const int code = with_spool(words, SpoolAccess::kLook, [&](SpoolSession& session) -> Status {
    return each_entry(session, words.quarantine, [&](const Json& entry) -> Status {
      auto found = ask(session, {{"op", "show"}, {"id", entry["id"]}});
      if (!found) {
        if (found.error().code == Errc::kRefused) return {};  // it left meanwhile
        return std::unexpected(found.error());
      }
      const Json& message = (*found)["message"];
      const std::string folder = fmt::format("{}/P{}", words.dir, message.value("priority", 0));
      const auto created = parse_rfc3339(message.value("created", ""));
      last_stamp = std::max(last_stamp + 1, created.value_or(0));
      const std::string path = fmt::format("{}/{:019}-{:08x}.msg", folder, last_stamp, world.env().random.u64() & 0xffff'ffffU);
      const std::string text = message.dump(-1, ' ', false, Json::error_handler_t::replace);
      if (Status s = disk.make_dirs(folder); !s) return s;
      auto file = disk.open(path, OpenMode::kCreate);
      if (!file) return std::unexpected(file.error());
      if (Status s = (*file)->write_at(0, std::as_bytes(std::span(text))); !s) return s;
      if (Status s = (*file)->sync(); !s) return s;
      ++written;
      return disk.sync_dir(folder);
    });
  });
  std::fprintf(stderr, "%llu messages exported to %s; they stay in the spool\n", static_cast<unsigned long long>(written), words.dir.c_str());
  return code;
}

/// The ids that a command names: one, or those of the quarantine with the reason asked for.
Result<std::vector<std::string>> chosen(SpoolSession& session, const Words& words) {
  std::vector<std::string> ids;
  if (!words.all) return std::vector{words.id};
  Status listed = each_entry(session, true, [&](const Json& entry) -> Status {
    const std::string reason = entry.value("reason", "");
    if (words.reason.empty() || reason.substr(0, reason.find(' ')) == words.reason) ids.push_back(entry.value("id", ""));
    return {};
  });
  if (!listed) return std::unexpected(listed.error());
  return ids;
}

int change_verb(const Words& words, const char* op, const char* past) {
  if (words.all == !words.id.empty()) return complain("name one ID, or --all");
  return with_spool(words, SpoolAccess::kChange, [&](SpoolSession& session) -> Status {
    const auto ids = chosen(session, words);
    if (!ids) return std::unexpected(ids.error());
    uint64_t changed = 0;
    Status last;
    for (const std::string& id : *ids) {
      const auto answer = ask(session, {{"op", op}, {"id", id}});
      if (answer) {
        ++changed;
        continue;
      }
      last = std::unexpected(answer.error());
      std::fprintf(stderr, "%s: %s\n", printable(id).c_str(), printable(answer.error().detail).c_str());
    }
    std::printf("%llu %s\n", static_cast<unsigned long long>(changed), past);
    return last;
  });
}

int status_verb(const Words& words) {
  return with_spool(words, SpoolAccess::kLook, [&](SpoolSession& session) -> Status {
    auto found = ask(session, {{"op", "status"}});
    if (!found) return std::unexpected(found.error());
    const Json& status = *found;
    if (words.json) return print_json(status), Status();
    TextTable table({"Priority", "Mode", "Messages", "Bytes", "Oldest"});
    for (const Json& lane : status["lanes"]) {
      if (lane.value("messages", 0) == 0) continue;
      table.add({std::to_string(lane.value("priority", 0)), lane.value("reliable", false) ? "reliable" : "plain",
                 std::to_string(lane.value("messages", 0)), std::to_string(lane.value("bytes", 0)), duration_of(lane, "oldest_seconds")});
    }
    std::printf("%s", table.size() == 0 ? "Nothing waits.\n" : table.text().c_str());
    std::printf("\nquarantined: %s\n", status["quarantine"]["messages"].dump().c_str());
    if (!session.running()) {
      std::printf("no sluice-spool runs\n");
    } else {
      std::printf("%s %s\n", status.value("connected", false) ? "connected to" : "NOT connected, last to", printable(status.value("peer", "")).c_str());
    }
    if (!status.value("writable", true)) std::printf("REFUSES messages: %s\n", printable(status.value("why_not_writable", "")).c_str());
    for (const Json& trouble : status["troubles"])
      std::printf("priority %d waits since %s: %s\n", trouble.value("priority", 0), duration_of(trouble, "since_seconds").c_str(),
                  printable(trouble.value("text", "")).c_str());
    return {};
  });
}

int repair_verb(const Words& words) {
  const auto config = spool_config_of(words.spool);
  if (!config) return complain(config.error());
  SpoolWords offline = words.spool;
  offline.dir = config->queue.dir;  // a running one is not asked; its lock is met below
  auto session = SpoolSession::open(*config, offline, SpoolAccess::kChange);
  if (!session) return complain(session.error().code == Errc::kExists ? Error{Errc::kExists, 0, "sluice-spool runs: stop it first"} : session.error());
  const auto moved = ask(**session, {{"op", "repair"}});
  const auto status = ask(**session, {{"op", "status"}});
  if (Status s = (*session)->close(); !s) return complain(s.error());
  if (!moved) return complain(moved.error());
  if (!status) return complain(status.error());
  uint64_t waiting = 0;
  for (const Json& lane : (*status)["lanes"]) waiting += lane.value("messages", uint64_t{0});
  const Json& found = (*status)["recovery"];
  std::printf("%s: %llu messages wait, %s in the quarantine\n", config->queue.dir.c_str(), static_cast<unsigned long long>(waiting),
              (*status)["quarantine"]["messages"].dump().c_str());
  std::printf("moved to the quarantine now: %s\n", (*moved)["moved"].dump().c_str());
  std::printf("lost for good: %s records; %s bytes of a batch that nobody had acknowledged were cut\n", found["lost_records"].dump().c_str(),
              found["cut_bytes"].dump().c_str());
  for (const Json& note : found["notes"]) std::printf("found at opening: %s\n", printable(note.get<std::string>()).c_str());
  return found.value("lost_records", 0) == 0 ? kExitOk : kExitFailure;
}

CLI::App* add(CLI::App& parent, const char* name, const char* text, const std::shared_ptr<Words>& words, VerbRun& run,
              std::function<int(const Words&)> work) {
  CLI::App* verb = parent.add_subcommand(name, text);
  add_spool_options(*verb, words->spool, true);
  verb->callback([words, work = std::move(work), &run] { run = [words, work] { return work(*words); }; });
  return verb;
}

}  // namespace

void add_spool_verbs(CLI::App& app, VerbRun& run) {
  CLI::App* spool = app.add_subcommand("spool", "Look into this node's spool and its quarantine, running or stopped.");
  spool->require_subcommand(1);
  auto words = std::make_shared<Words>();
  CLI::App* status = add(*spool, "status", "What waits, since when, and why.", words, run, status_verb);
  CLI::App* list = add(*spool, "ls", "The messages that wait, or with --quarantine those that were set aside.", words, run, list_verb);
  CLI::App* show = add(*spool, "show", "One message, waiting or in the quarantine.", words, run, show_verb);
  show->add_option("ID", words->id, "its id")->required();
  show->add_flag("--payload", words->payload, "only the payload, as it is");
  CLI::App* out = add(*spool, "export",
                      "Write the messages as Choria's files, DIR/P0 … P4/*.msg, in the order in which they would leave.\n"
                      "They stay in the spool. With the daemon stopped this is the way back to Choria's own spool.",
                      words, run, export_verb);
  out->add_option("DIR", words->dir, "where to")->required();
  for (CLI::App* verb : {list, out}) verb->add_flag("--quarantine", words->quarantine, "those in the quarantine");
  for (CLI::App* verb : {status, list, show}) verb->add_flag("--json", words->json, "print JSON, one object a line");
  CLI::App* replay = add(*spool, "replay", "Take messages back out of the quarantine, to be sent as the newest with a fresh TTL.", words, run,
                         [](const Words& w) { return change_verb(w, "replay", "will be sent again"); });
  CLI::App* drop = add(*spool, "drop", "Take a message out of its queue into the quarantine; one that is there already is forgotten.", words, run,
                       [](const Words& w) { return change_verb(w, "drop", "dropped"); });
  for (CLI::App* verb : {replay, drop}) {
    verb->add_option("ID", words->id, "one message");
    verb->add_flag("--all", words->all, "all of the quarantine");
    verb->add_option("--reason", words->reason, "with --all: only those quarantined for it (expired, tries, too_large, malformed, invalid, dropped)");
  }
  add(*spool, "repair",
      "With the daemon stopped: recover the folder as a start would, set aside what can't be sent, and say what is lost.", words, run,
      repair_verb);
}

}  // namespace sluice
