// sluice replicator gossip: what replicators tell each other of sampled values, as it passes by.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/time_format.h"
#include "gateway/cli/command_line.h"
#include "gateway/cli/session.h"
#include "gateway/cli/table.h"
#include "gateway/cli/verbs.h"

namespace sluice {
namespace {

struct GossipWords {
  std::shared_ptr<SessionOptions> session;
  std::string stream = "*";
  std::string worker = "*";
  uint64_t count = 0;  ///< 0 = until interrupted
  bool json = false;
};

constexpr std::string_view kGossipSubject = "choria.stream-replicator.sync.";
constexpr std::chrono::hours kForever{24 * 365 * 100};

/// @return false when it is no gossip.
bool print_gossip(const LinkMessage& message, WallNanos now, bool as_json) {
  auto item = nlohmann::ordered_json::parse(message.payload, nullptr, false);
  const std::string_view place = message.subject.substr(kGossipSubject.size());
  if (!item.is_object() || !item.contains("value") || !item["value"].is_string()) return false;
  if (as_json) {
    item["from"] = place;
    std::printf("%s\n", item.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
  } else {
    const auto copied = parse_rfc3339(item.contains("copied") && item["copied"].is_string() ? item["copied"].get<std::string>() : "");
    const auto size = item.contains("size") && item["size"].is_number() ? item["size"].get<double>() : 0;
    const bool advised = item.contains("advised") && item["advised"].is_boolean() && item["advised"].get<bool>();
    std::printf("[%s] size: %.0f advised: %s copied: %s %s\n", printable(place).c_str(), size, advised ? "true" : "false",
                copied && *copied > 0 ? short_duration(now - *copied).c_str() : "never",
                printable(item["value"].get<std::string>()).c_str());
  }
  std::fflush(stdout);
  return true;
}

int gossip_verb(const GossipWords& words) {
  return with_session(*words.session, [&](Session& session) {
    uint64_t told = 0;
    const std::string subject = std::string(kGossipSubject) + words.stream + "." + words.worker;
    const auto listening = session.client().link().subscribe(subject, "", [&](const LinkMessage& message) {
      if (words.count != 0 && told >= words.count) return;
      told += print_gossip(message, session.env().clock.wall(), words.json) ? 1 : 0;
    });
    session.loop().run_until([&] { return words.count != 0 && told >= words.count; }, std::chrono::milliseconds(kForever));
    return kExitOk;
  });
}

}  // namespace

void add_replicator_gossip_verb(CLI::App& replicator, VerbRun& run) {
  auto words = std::make_shared<GossipWords>();
  CLI::App* verb = replicator.add_subcommand("gossip", "Print what replicators tell each other of sampled values, at the source.");
  words->session = add_session_options(*verb);
  verb->add_option("STREAM", words->stream, "only of this source stream")->capture_default_str();
  verb->add_option("WORKER", words->worker, "only of copies of this name")->capture_default_str();
  verb->add_option("--count", words->count, "end after as many");
  verb->add_flag("--json", words->json, "one JSON object a line");
  verb->callback([words, &run] { run = [words] { return gossip_verb(*words); }; });
}

}  // namespace sluice
