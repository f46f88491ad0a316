// sluice election info|evict|file|run: leader elections of a fleet, by Choria's rules and keys.
#include "client/election.h"

#include <fmt/format.h>
#include <regex.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/headers.h"
#include "client/kv_names.h"
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

struct ElectionWords {
  std::string bucket{kElectionBucket};
  std::string name;
  std::string candidate;
  std::string pattern;
  std::string file;
  std::vector<std::string> command;
  bool force = false;
  bool terminate = false;
  bool check = false;
  bool json = false;
};

bool is_marker(std::string_view headers) {
  return find_header(headers, "KV-Operation").value_or("PUT") != "PUT" ||
         find_header(headers, "Nats-Marker-Reason").has_value();
}

int complain_of(const ElectionWords& words, const Error& why) {
  if (why.api_code != 10059) return complain(why);
  return complain(fmt::format("there is no election bucket '{0}'; auto_streams.leader_election of the daemon's configuration makes Choria's, "
                              "or: sluice kv add {0} --ttl 1m",
                              words.bucket));
}

bool is_pattern(const std::string& text) {
  regex_t compiled;
  if (::regcomp(&compiled, text.c_str(), REG_EXTENDED | REG_NOSUB) != 0) return false;
  ::regfree(&compiled);
  return true;
}

bool matches(const std::string& pattern, const std::string& text) {
  if (pattern.empty()) return true;
  regex_t compiled;
  if (::regcomp(&compiled, pattern.c_str(), REG_EXTENDED | REG_NOSUB) != 0) return false;
  const bool hit = ::regexec(&compiled, text.c_str(), 0, nullptr, 0) == 0;
  ::regfree(&compiled);
  return hit;
}

void warn_of(const Json& config) {
  const int64_t age = config.value("max_age", int64_t{0});
  if (config.value("max_msgs_per_subject", 0) != 1)
    std::fprintf(stderr, "warning: the bucket keeps more than one value of a key; an election bucket keeps 1\n");
  if (age < 5'000'000'000)
    std::fprintf(stderr, "warning: a TTL under 5 s makes leaders change with every hiccup of the network\n");
  if (age > 3'600'000'000'000)
    std::fprintf(stderr, "warning: a TTL over 1 hour is refused by candidates\n");
  else if (age > 60'000'000'000)
    std::fprintf(stderr, "warning: a TTL over 1 minute makes fail-over slow\n");
}

int info_verb(Session& session, const ElectionWords& words) {
  if (!is_pattern(words.pattern)) return complain(fmt::format("'{}' is no regular expression", words.pattern));
  auto info = session.api("STREAM.INFO", kv_stream(words.bucket), R"({"subjects_filter":">"})");
  if (!info) return complain_of(words, info.error());
  const Json root = Json::parse(*info, nullptr, false);
  const std::string prefix = kv_subject(words.bucket, "");
  struct Row {
    std::string election, leader;
    int64_t age;
    uint64_t revision;
  };
  std::vector<Row> rows;
  const Json subjects = root.value("/state/subjects"_json_pointer, Json::object());
  for (const auto& [subject, count] : subjects.items()) {
    const std::string key = subject.substr(std::min(subject.size(), prefix.size()));
    if (!matches(words.pattern, key)) continue;
    auto held = session.last_message(kv_stream(words.bucket), subject);
    if (held && !is_marker(held->headers))
      rows.push_back({key, held->payload, session.env().clock.wall() - held->time, held->seq.value()});
  }
  if (words.json) {
    Json out = Json::array();
    for (const Row& row : rows)
      out.push_back({{"election", row.election}, {"leader", row.leader}, {"revision", row.revision}, {"age_ns", row.age}});
    std::printf("%s\n", out.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
    return kExitOk;
  }
  const Json& config = root["config"];
  warn_of(config);
  std::printf("Election bucket %s\n\n       Created: %s\n       Storage: %s\n  Maximum Time: %s\n      Replicas: %d\n"
              "     Elections: %zu\n",
              words.bucket.c_str(), root.value("created", "").c_str(), config.value("storage", "").c_str(),
              format_go_duration(std::chrono::nanoseconds(config.value("max_age", int64_t{0}))).c_str(),
              config.value("num_replicas", 1), rows.size());
  if (rows.empty()) return kExitOk;
  TextTable table({"Election", "Leader", "Renewed", "Revision"});
  for (const Row& row : rows)
    table.add({printable(row.election), printable(row.leader), short_duration(row.age) + " ago", std::to_string(row.revision)});
  std::printf("\n%s", table.text().c_str());
  return kExitOk;
}

int evict_verb(Session& session, const ElectionWords& words) {
  const std::string subject = kv_subject(words.bucket, words.name);
  auto held = session.last_message(kv_stream(words.bucket), subject);
  if (!held && held.error().api_code != 10037) return complain_of(words, held.error());
  if (!held || is_marker(held->headers)) return complain(fmt::format("the election '{}' has no leader", words.name));
  if (!words.force && !confirm(fmt::format("Evict {} as leader of {}?", printable(held->payload), words.name)))
    return kExitFailure;
  std::string headers;
  append_header(headers, "KV-Operation", "DEL");
  append_header(headers, "Nats-Expected-Last-Subject-Sequence", std::to_string(held->seq.value()));
  auto done = session.publish(subject, headers, "");
  if (!done && done.error().api_code == 10071)
    return complain("the leader renewed meanwhile, nothing was changed; try again");
  if (!done) return complain(done.error());
  std::printf("Evicted %s from %s\n", printable(held->payload).c_str(), words.name.c_str());
  return kExitOk;
}

/// Fresh when it was written within the last minute, which only a leader does.
int check_file(const std::string& path) {
  struct stat seen = {};
  if (::stat(path.c_str(), &seen) != 0) return complain(fmt::format("'{}' is not there: not the leader", path));
  UvEnv world;
  const int64_t age = world.env().clock.wall() / 1'000'000'000 - seen.st_mtime;
  if (age > 60) return complain(fmt::format("'{}' is {} s old: not the leader any more", path, age));
  std::printf("leader, %lld s ago\n", static_cast<long long>(age));
  return kExitOk;
}

ElectionOptions election_options(const ElectionWords& words) {
  return {.bucket = words.bucket, .name = words.name,
          .candidate = words.candidate.empty() ? own_host_name() : words.candidate};
}

/// Runs the loop until the election has given its key back.
void resign(Session& session, Election& election) {
  bool stopped = false;
  election.stop([&] { stopped = true; });
  (void)session.loop().run_until([&] { return stopped; }, 6s);
}

void write_mark(const std::string& path, uint64_t count, WallNanos now) {
  const std::string fresh = path + ".new";
  std::ofstream out(fresh);
  out << fmt::format(R"({{"count":{},"timestamp":"{}"}})", count, format_rfc3339(now)) << std::endl;
  if (!out || ::chmod(fresh.c_str(), 0644) != 0 || ::rename(fresh.c_str(), path.c_str()) != 0)
    complain(fmt::format("cannot write '{}': {}", path, std::strerror(errno)));
}

int file_verb(Session& session, const ElectionWords& words) {
  bool ended = false;
  std::optional<Error> refused;
  uint64_t count = 0;
  Election* self = nullptr;
  Election election(session.env(), session.client(), election_options(words),
                    {.on_won = [&](uint64_t) { write_mark(words.file, ++count, session.env().clock.wall()); },
                     .on_lost = [&](std::string_view) { ::unlink(words.file.c_str()); },
                     .on_campaign =
                         [&](ElectionState) {
                           if (self->leads()) write_mark(words.file, ++count, session.env().clock.wall());
                         }});
  self = &election;
  election.start([&](Status status) {
    if (!status) refused = status.error();
  });
  Signals signals(session.loop(), {SIGINT, SIGTERM}, [&](int) { ended = true; });
  while (!ended && !refused) (void)session.loop().run_until([&] { return ended || refused; }, 1h);
  if (refused) return complain_of(words, *refused);
  resign(session, election);
  ::unlink(words.file.c_str());
  return kExitOk;
}

/// The command of `election run`: started at the first win, told of every change after it.
class LeaderCommand {
 public:
  LeaderCommand(Session& session, const ElectionWords& words)
      : words_(words),
        tell_(session.env().timers.make([this] { tell(); })),
        kill_(session.env().timers.make([this] { signal(SIGTERM); })) {}

  void won(uint64_t token) {
    ::setenv("SLUICE_ELECTION_TOKEN", std::to_string(token).c_str(), 1);
    if (child_ == 0) {
      auto started = start_child(words_.command);
      if (!started) {
        failed_ = started.error();
        return;
      }
      child_ = *started;
    }
    tell_->start(1s);
  }
  void lost() {
    tell_->stop();
    signal(words_.terminate ? SIGINT : SIGUSR2);
    if (words_.terminate) kill_->start(1s);
  }
  /// Not who does not listen: it would be ended for having won.
  void tell() {
    if (child_ > 0 && child_catches(child_, SIGUSR1)) signal(SIGUSR1);
  }
  void signal(int number) {
    if (child_ > 0 && code_ < 0) ::kill(child_, number);
  }
  /// Looks whether it has ended.
  bool over() {
    if (failed_) return true;
    if (child_ > 0 && code_ < 0) code_ = child_exit_code(child_);
    return code_ >= 0;
  }
  bool started() const { return child_ > 0; }
  int code() const { return failed_ ? complain(*failed_) : code_; }

 private:
  const ElectionWords& words_;
  pid_t child_ = 0;
  int code_ = -1;
  std::optional<Error> failed_;
  std::unique_ptr<Timer> tell_;
  std::unique_ptr<Timer> kill_;
};

int run_election_verb(Session& session, const ElectionWords& words) {
  std::optional<Error> refused;
  bool interrupted = false;
  LeaderCommand command(session, words);
  Election election(session.env(), session.client(), election_options(words),
                    {.on_won = [&](uint64_t token) { command.won(token); },
                     .on_lost = [&](std::string_view) { command.lost(); }});
  election.start([&](Status status) {
    if (!status) refused = status.error();
  });
  Signals signals(session.loop(), {SIGINT, SIGTERM, SIGCHLD}, [&](int number) {
    if (number == SIGCHLD) return;  // only wakes the loop
    if (command.started()) command.signal(number);
    else interrupted = true;
  });
  const auto over = [&] { return refused || interrupted || command.over(); };
  while (!over()) (void)session.loop().run_until(over, 1h);
  if (refused) return complain_of(words, *refused);
  resign(session, election);
  return interrupted ? kExitFailure : command.code();
}

CLI::App* add_verb(CLI::App& parent, const char* name, const char* sentence, ElectionWords& words,
                   std::shared_ptr<SessionOptions>& where) {
  CLI::App* verb = parent.add_subcommand(name, sentence);
  where = add_session_options(*verb);
  verb->add_option("--bucket", words.bucket, "key-value bucket that holds the election")->capture_default_str();
  return verb;
}

}  // namespace

void add_election_verbs(CLI::App& app, VerbRun& run) {
  CLI::App* election = app.add_subcommand("election", "Leader elections: who leads, lead, and run a command while leading.");
  election->alias("elect");
  election->require_subcommand(1);
  auto words = std::make_shared<ElectionWords>();
  std::shared_ptr<SessionOptions> where;

  CLI::App* info = add_verb(*election, "info", "Show the bucket and who leads what.", *words, where);
  info->add_option("PATTERN", words->pattern, "only elections whose name matches (extended regular expression)");
  info->add_flag("--json", words->json, "as JSON");
  info->callback([words, where, &run] {
    run = [words, where] { return with_session(*where, [&](Session& s) { return info_verb(s, *words); }); };
  });

  CLI::App* evict = add_verb(*election, "evict", "Take the lead away from whoever has it; the fleet then elects anew.", *words, where);
  evict->add_option("NAME", words->name, "election")->required();
  evict->add_flag("-f,--force", words->force, "do not ask");
  evict->callback([words, where, &run] {
    run = [words, where] { return with_session(*where, [&](Session& s) { return evict_verb(s, *words); }); };
  });

  CLI::App* file = add_verb(*election, "file",
                            "Keep a file while leading: rewritten at each renewal, removed when the lead is lost. "
                            "Cron jobs ask with --check.",
                            *words, where);
  file->add_option("FILE", words->file, "file to keep")->required();
  file->add_option("NAME", words->name, "election");
  file->add_option("--candidate", words->candidate, "name of this candidate [host name]");
  file->add_flag("--check", words->check, "exit 0 when FILE says that this host leads, else 1; connects to nothing");
  file->callback([words, where, &run] {
    run = [words, where] {
      if (words->check) return check_file(words->file);
      if (words->name.empty()) return complain("'election file' needs the election's NAME behind FILE");
      return with_session(*where, [&](Session& s) { return file_verb(s, *words); });
    };
  });

  CLI::App* lead = add_verb(*election, "run",
                            "Run a command on winning. It gets SIGUSR1 when leading, if it handles that, and SIGUSR2 when the lead is lost, which ends "
                            "it if it does not; its fencing token is in SLUICE_ELECTION_TOKEN, its exit code becomes ours.\n"
                            "  sluice election run backup --terminate -- /usr/local/bin/backup --for-ever",
                            *words, where);
  lead->add_option("NAME", words->name, "election")->required();
  lead->add_option("COMMAND", words->command, "command and its arguments, behind --")->required();
  lead->add_option("--candidate", words->candidate, "name of this candidate [host name]");
  lead->add_flag("--terminate", words->terminate, "on loss end the command: SIGINT, a second later SIGTERM");
  lead->callback([words, where, &run] {
    run = [words, where] { return with_session(*where, [&](Session& s) { return run_election_verb(s, *words); }); };
  });
}

}  // namespace sluice
