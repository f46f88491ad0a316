// sluice history: what Scout checks and autonomous agents said, as a person wants to read it.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <ctime>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "config/units.h"
#include "gateway/cli/command_line.h"
#include "gateway/cli/session.h"
#include "gateway/cli/stream_reader.h"
#include "gateway/cli/table.h"
#include "gateway/cli/verbs.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

struct HistoryWords {
  std::string back = "5m";
  std::string stream = "CHORIA_MACHINE";
  std::string node, check;
  std::vector<std::string> states;
  std::string colour = "auto";
  bool follow = false;
  bool changes = false;
  bool transitions = false;
  bool perf = false;
  bool json = false;
};

struct StateWord {
  const char* name;
  const char* shown;
  const char* colour;
};
constexpr StateWord kStates[] = {{"OK", "OK  ", "\033[32m"}, {"WARNING", "WARN", "\033[33m"}, {"CRITICAL", "CRIT", "\033[31m"},
                                 {"UNKNOWN", "UNKN", "\033[35m"}};

const StateWord* state_word(std::string_view name) {
  for (const StateWord& word : kStates)
    if (name == word.name) return &word;
  return nullptr;
}

std::string clock_text(int64_t unix_seconds) {
  const auto time = static_cast<time_t>(unix_seconds);
  std::tm parts{};
  char text[32];
  if (::localtime_r(&time, &parts) == nullptr || std::strftime(text, sizeof text, "%H:%M:%S", &parts) == 0) return "--:--:--";
  return text;
}

std::string text_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

class HistoryPrinter {
 public:
  explicit HistoryPrinter(const HistoryWords& words)
      : words_(words), coloured_(words.colour == "always" || (words.colour == "auto" && ::isatty(STDOUT_FILENO) != 0)) {}

  void on_event(std::string_view payload) {
    Json event = Json::parse(payload, nullptr, false);
    // A CloudEvent carries the event in `data`; older ones are bare.
    if (event.is_object() && event.contains("specversion")) event = event.value("data", Json());
    if (!event.is_object()) {
      ++unreadable_;
      return;
    }
    const std::string protocol = text_of(event, "protocol");
    if (protocol == "io.choria.machine.watcher.nagios.v1.state")
      on_check(event);
    else if (protocol == "io.choria.machine.v1.transition")
      on_transition(event);
    else
      ++unreadable_;
  }

  void summary() const {
    if (words_.json) return;
    std::map<std::string, size_t> counts;
    std::set<std::string> nodes;
    for (const auto& [who, seen] : checks_) {
      ++counts[seen.state];
      nodes.insert(who.first);
    }
    std::printf("\n%zu nodes, %zu checks:", nodes.size(), checks_.size());
    for (const StateWord& word : kStates) std::printf(" %s %zu", paint(word, word.name).c_str(), counts[word.name]);
    std::printf("\n");
    for (const auto& [who, seen] : checks_) {
      if (seen.changes == 0) continue;
      std::printf("  %s %s: %s, changed %zu time%s, last at %s\n", printable(who.first).c_str(), printable(who.second).c_str(),
                  painted(seen.state).c_str(), seen.changes, seen.changes == 1 ? "" : "s", clock_text(seen.changed_at).c_str());
    }
    if (unreadable_ != 0) std::printf("%zu messages are no check states or transitions\n", unreadable_);
  }

 private:
  struct Seen {
    std::string state;
    size_t changes = 0;
    int64_t changed_at = 0;
  };

  std::string paint(const StateWord& word, std::string_view text) const {
    return coloured_ ? fmt::format("{}{}\033[0m", word.colour, text) : std::string(text);
  }
  std::string painted(const std::string& state) const {
    const StateWord* word = state_word(state);
    return word != nullptr ? paint(*word, state) : printable(state);
  }
  bool about(const std::string& node, const std::string& check) const {
    if (!words_.node.empty() && node.find(words_.node) == std::string::npos) return false;
    return words_.check.empty() || check.find(words_.check) != std::string::npos;
  }
  bool is_state(const std::string& state) const {
    return words_.states.empty() || std::ranges::find(words_.states, state) != words_.states.end();
  }

  void on_check(const Json& event) {
    const std::string node = text_of(event, "identity"), check = text_of(event, "machine"), state = text_of(event, "status");
    const int64_t time = event.value("timestamp", Json(0)).is_number_integer() ? event.value("timestamp", int64_t{0}) : 0;
    if (!about(node, check)) return;
    Seen& seen = checks_[{node, check}];
    const bool changed = !seen.state.empty() && seen.state != state;
    const std::string before = std::exchange(seen.state, state);
    if (changed) {
      ++seen.changes;
      seen.changed_at = time;
    }
    if (!is_state(state) || (words_.changes && !changed)) return;
    if (words_.json) {
      Json line = event;
      if (changed) line["previous_status"] = before;
      return print(line.dump(-1, ' ', false, Json::error_handler_t::replace));
    }
    const StateWord* word = state_word(state);
    std::string output = text_of(event, "output");
    output.resize(std::min(output.size(), output.find('|')));
    std::string line = fmt::format("{} {} {} {}: {}", clock_text(time), word != nullptr ? paint(*word, word->shown) : printable(state),
                                   printable(node), printable(check), printable(output));
    if (changed) line += fmt::format(" (was {})", painted(before));
    print(line);
    if (words_.perf) print_perf(event);
  }

  void print_perf(const Json& event) const {
    const auto perf = event.find("perfdata");
    if (perf == event.end() || !perf->is_array()) return;
    for (const Json& one : *perf) {
      if (!one.is_object() || !one.contains("value") || !one["value"].is_number()) continue;
      print(fmt::format("              {} = {}{}", printable(text_of(one, "label")), one["value"].get<double>(),
                        printable(text_of(one, "unit"))));
    }
  }

  void on_transition(const Json& event) const {
    const std::string node = text_of(event, "identity"), machine = text_of(event, "machine");
    const std::string from = text_of(event, "from_state"), to = text_of(event, "to_state");
    if (!words_.transitions || from == to || !about(node, machine) || !is_state(to)) return;
    if (words_.json) return print(event.dump(-1, ' ', false, Json::error_handler_t::replace));
    const int64_t time = event.value("timestamp", Json(0)).is_number_integer() ? event.value("timestamp", int64_t{0}) : 0;
    print(fmt::format("{} ---- {} {}: {} => {}", clock_text(time), printable(node), printable(machine), painted(from), painted(to)));
  }

  static void print(const std::string& line) {
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
  }

  const HistoryWords& words_;
  const bool coloured_;
  std::map<std::pair<std::string, std::string>, Seen> checks_;  ///< by node and check
  size_t unreadable_ = 0;
};

int history_verb(Session& session, HistoryWords words) {
  auto back = parse_time(words.back);
  if (!back || back->count() < 0) return complain(fmt::format("--history: '{}' is no time, as 5m or 1h", words.back));
  for (std::string& state : words.states) {
    std::ranges::transform(state, state.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    for (const StateWord& word : kStates)
      if (state.size() >= 2 && std::string_view(word.name).starts_with(state)) state = word.name;
    if (state_word(state) == nullptr) return complain(fmt::format("--state: '{}' is none of OK, WARNING, CRITICAL, UNKNOWN", state));
  }
  StreamWatchOptions options{.stream = words.stream, .from = WatchFrom::kTime};
  options.filters = {"choria.machine.watcher.nagios.state", "choria.machine.transition"};
  options.time = session.env().clock.wall() - back->count();
  HistoryPrinter printer(words);
  auto read = read_stream(session, std::move(options), words.follow, [&](const ConsumedMessage& message) {
    printer.on_event(message.payload);
    return true;
  });
  if (!read && read.error().api_code == 10059)
    return complain(fmt::format("there is no stream '{}'; auto_streams.machine makes Choria's", words.stream));
  if (!read) return complain(read.error());
  printer.summary();
  return kExitOk;
}

}  // namespace

void add_history_verb(CLI::App& app, VerbRun& run) {
  CLI::App* history = app.add_subcommand("history", "Show what Scout checks said lately, with a summary of what changed.");
  auto words = std::make_shared<HistoryWords>();
  auto where = add_session_options(*history);
  history->add_option("--history", words->back, "how far back")->capture_default_str();
  history->add_flag("--follow", words->follow, "go on with what comes");
  history->add_option("--node", words->node, "only nodes whose name contains this");
  history->add_option("--check", words->check, "only checks whose name contains this");
  history->add_option("--state", words->states, "only these states: ok, warning, critical, unknown; repeatable");
  history->add_flag("--changes", words->changes, "only states that differ from the one before");
  history->add_flag("--transitions", words->transitions, "autonomous agents' transitions too");
  history->add_flag("--perf", words->perf, "performance data too");
  history->add_option("--stream", words->stream, "stream of the events")->capture_default_str();
  history->add_option("--color", words->colour, "auto, always or never")->check(CLI::IsMember({"auto", "always", "never"}))->capture_default_str();
  history->add_flag("--json", words->json, "the events as JSON lines");
  history->callback([words, where, &run] {
    run = [words, where] { return with_session(*where, [&](Session& s) { return history_verb(s, *words); }); };
  });
}

}  // namespace sluice
