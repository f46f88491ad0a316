// sluice audit search: who asked which node to do what, from the central stream of RPC audit records.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <set>

#include "base/headers.h"
#include "base/time_format.h"
#include "config/units.h"
#include "gateway/cli/command_line.h"
#include "gateway/cli/session.h"
#include "gateway/cli/stream_reader.h"
#include "gateway/cli/table.h"
#include "gateway/cli/verbs.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;
constexpr size_t kShownData_bytes = 160;
constexpr WallNanos kSecond = 1'000'000'000;

struct AuditWords {
  std::string since = "24h";
  std::string stream = "CHORIA_AUDIT";
  std::string node, caller, agent, action, request;
  std::string colour = "auto";
  bool follow = false;
  bool full = false;
  bool json = false;
};

std::string text_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

/// Choria writes the offset as "+0000", RFC 3339 wants "+00:00".
std::optional<WallNanos> record_time(std::string text) {
  if (text.size() > 5 && (text[text.size() - 5] == '+' || text[text.size() - 5] == '-')) text.insert(text.size() - 2, ":");
  return parse_rfc3339(text);
}

std::string local_time(WallNanos time) {
  const auto seconds = static_cast<time_t>(time / kSecond);
  std::tm parts{};
  char text[32];
  if (::localtime_r(&seconds, &parts) == nullptr || std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts) == 0) return "-";
  return text;
}

/// "24h" or "2026-01-07T07:00:00Z".
Result<WallNanos> since_of(const std::string& text, WallNanos now) {
  if (const auto time = parse_rfc3339(text)) return *time;
  const auto back = parse_time(text);
  if (!back || back->count() < 0) return fail(Errc::kInvalidArgument, fmt::format("--since: '{}' is no time, as 24h or 2026-01-07T07:00:00Z", text));
  return now - back->count();
}

class AuditPrinter {
 public:
  AuditPrinter(const AuditWords& words, WallNanos since)
      : words_(words), since_(since), coloured_(words.colour == "always" || (words.colour == "auto" && ::isatty(STDOUT_FILENO) != 0)) {}

  void on_message(const ConsumedMessage& message) {
    const Json record = Json::parse(message.payload, nullptr, false);
    if (!record.is_object() || text_of(record, "agent").empty() || text_of(record, "action").empty()) {
      ++unreadable_;
      return;
    }
    const std::string node(find_header(message.headers, "Choria-Identity").value_or(""));
    const WallNanos time = record_time(text_of(record, "timestamp")).value_or(message.time);
    if (time < since_ || !wanted(record, node)) return;
    ++shown_;
    nodes_.insert(node);
    callers_.insert(text_of(record, "caller"));
    const std::string proof(find_header(message.headers, "Sluice-Verified").value_or(""));
    words_.json ? print_json(record, node, proof, message.stream_seq.value()) : print_line(record, node, proof, time);
  }

  void summary() const {
    if (words_.json) return;
    std::printf("\n%zu record%s of %zu node%s by %zu caller%s\n", shown_, shown_ == 1 ? "" : "s", nodes_.size(), nodes_.size() == 1 ? "" : "s",
                callers_.size(), callers_.size() == 1 ? "" : "s");
    if (unreadable_ != 0) std::printf("%zu messages are no audit records\n", unreadable_);
  }

 private:
  bool wanted(const Json& record, const std::string& node) const {
    const auto contains = [](const std::string& text, const std::string& part) { return part.empty() || text.find(part) != std::string::npos; };
    const auto equals = [](const std::string& text, const std::string& word) { return word.empty() || text == word; };
    return contains(node, words_.node) && contains(text_of(record, "caller"), words_.caller) && equals(text_of(record, "agent"), words_.agent) &&
           equals(text_of(record, "action"), words_.action) && text_of(record, "request_id").starts_with(words_.request);
  }

  std::string paint(const char* colour, const std::string& text) const { return coloured_ ? fmt::format("{}{}\033[0m", colour, text) : text; }

  void print_line(const Json& record, const std::string& node, const std::string& proof, WallNanos time) const {
    std::string line = fmt::format("{} {} {} {} from {}", local_time(time), paint("\033[36m", node.empty() ? "?" : printable(node)),
                                   paint("\033[1m", printable(text_of(record, "agent") + "#" + text_of(record, "action"))),
                                   printable(text_of(record, "caller")), printable(text_of(record, "sender")));
    const auto data = record.find("data");
    if (data != record.end() && !data->is_null() && !data->empty()) {
      std::string text = printable(data->dump(-1, ' ', false, Json::error_handler_t::replace));
      if (!words_.full && text.size() > kShownData_bytes) text = text.substr(0, kShownData_bytes) + "...";
      line += " " + text;
    }
    if (!proof.empty() && proof != "yes") line += paint("\033[31m", fmt::format(" [not proven: {}]", printable(proof)));
    print(line);
  }

  static void print_json(const Json& record, const std::string& node, const std::string& proof, uint64_t sequence) {
    Json line{{"node", node}, {"sequence", sequence}};
    if (!proof.empty()) line["verified"] = proof;
    line["record"] = record;
    print(line.dump(-1, ' ', false, Json::error_handler_t::replace));
  }

  static void print(const std::string& line) {
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
  }

  const AuditWords& words_;
  const WallNanos since_;
  const bool coloured_;
  size_t shown_ = 0;
  size_t unreadable_ = 0;
  std::set<std::string> nodes_, callers_;
};

int search_verb(Session& session, const AuditWords& words) {
  const auto since = since_of(words.since, session.env().clock.wall());
  if (!since) return complain(since.error());
  // A record comes after it was made, never before: what the stream got earlier can't be newer.
  StreamWatchOptions options{.stream = words.stream, .from = WatchFrom::kTime};
  options.time = *since;
  AuditPrinter printer(words, *since);
  auto read = read_stream(session, std::move(options), words.follow, [&](const ConsumedMessage& message) {
    printer.on_message(message);
    return true;
  });
  if (!read && read.error().api_code == 10059) return complain(fmt::format("there is no stream '{}'; auto_streams.audit makes one", words.stream));
  if (!read) return complain(read.error());
  printer.summary();
  return kExitOk;
}

}  // namespace

void add_audit_verbs(CLI::App& app, VerbRun& run) {
  CLI::App* audit = app.add_subcommand("audit", "RPC audit records of all nodes.");
  audit->require_subcommand(1);
  CLI::App* search = audit->add_subcommand("search", "Who asked which node to do what.\n  sluice audit search --since 1h --agent puppet --action disable");
  auto words = std::make_shared<AuditWords>();
  auto where = add_session_options(*search);
  search->add_option("--since", words->since, "how far back, as 1h or 7d, or from when, as 2026-01-07T07:00:00Z")->capture_default_str();
  search->add_option("--node", words->node, "only nodes whose name contains this");
  search->add_option("--caller", words->caller, "only callers whose id contains this");
  search->add_option("--agent", words->agent, "only this agent");
  search->add_option("--action", words->action, "only this action");
  search->add_option("--request", words->request, "only requests whose id begins with this");
  search->add_flag("--follow", words->follow, "go on with what comes");
  search->add_flag("--full", words->full, "the whole arguments, not their beginning");
  search->add_option("--stream", words->stream, "stream of the records")->capture_default_str();
  search->add_option("--color", words->colour, "auto, always or never")->check(CLI::IsMember({"auto", "always", "never"}))->capture_default_str();
  search->add_flag("--json", words->json, "JSON lines: node, sequence and the record");
  search->callback([words, where, &run] {
    run = [words, where] { return with_session(*where, [&](Session& s) { return search_verb(s, *words); }); };
  });
}

}  // namespace sluice
