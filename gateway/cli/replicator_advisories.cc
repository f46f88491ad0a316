// sluice replicator advisories: what sampling has told of its values, from a stream that keeps it.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "config/choria_duration.h"
#include "gateway/cli/command_line.h"
#include "gateway/cli/missing_stream.h"
#include "gateway/cli/session.h"
#include "gateway/cli/table.h"
#include "gateway/cli/verbs.h"
#include "client/stream_reader.h"

namespace sluice {
namespace {

struct AdvisoryWords {
  std::shared_ptr<SessionOptions> session;
  std::string stream;
  std::string value;
  std::string since = "1m";
  bool follow = false;
};

constexpr std::chrono::hours kForever{24 * 365 * 100};

void print_advisory(const ConsumedMessage& message, const std::string& wanted) {
  const auto advisory = nlohmann::json::parse(message.payload, nullptr, false);
  if (!advisory.is_object() || advisory.value("protocol", "") != "io.choria.sr.v2.age_advisory") return;
  const std::string value = advisory.value("value", "");
  if (!wanted.empty() && value != wanted) return;
  const auto number = [&](const char* key) {
    return advisory.contains(key) && advisory[key].is_number() ? advisory[key].get<int64_t>() : 0;
  };
  constexpr WallNanos kSecond = 1'000'000'000;
  std::printf("[%s] %7s %s seen %s earlier on %s\n", format_rfc3339(number("timestamp") * kSecond).c_str(),
              printable(advisory.value("event", "")).c_str(), printable(value).c_str(),
              short_duration(number("age") * kSecond).c_str(), printable(advisory.value("replicator", "")).c_str());
  std::fflush(stdout);
}

int advisories_verb(const AdvisoryWords& words) {
  const auto since = parse_choria_duration(words.since);
  if (!since) return complain("--since: " + since.error().detail);
  return with_session(*words.session, [&](Session& session) {
    const auto info = session.await<StreamFigures>(
        [&](auto done) { return session.client().stream_info(words.stream, std::move(done)); });
    if (!info) return complain(explain_missing_stream(session, session.client(), session.link(), words.stream, info.error()));
    bool at_end = info->last_seq.is_zero();
    std::string trouble;
    StreamReader reader(session.env(), session.client(),
                        {.stream = words.stream,
                         .start_time = session.env().clock.wall() - since->count(),
                         .consumer_prefix = "advisories",
                         .description = "sluice replicator advisories"},
                        {[&](const ConsumedMessage& message) {
                           print_advisory(message, words.value);
                           at_end = message.pending == 0;
                         },
                         [&](const std::string& why) { trouble = why; }});
    reader.start();
    // Nothing may lie that far back: then there is no message to tell the end by.
    session.loop().run_until([&] { return !trouble.empty() || (at_end && !words.follow); },
                             words.follow ? std::chrono::milliseconds(kForever) : std::chrono::milliseconds(3000));
    return trouble.empty() ? kExitOk : complain(trouble);
  });
}

}  // namespace

void add_replicator_advisories_verb(CLI::App& replicator, VerbRun& run) {
  auto words = std::make_shared<AdvisoryWords>();
  CLI::App* verb = replicator.add_subcommand("advisories", "Print what sampling has told, from the stream that keeps its advisories.");
  words->session = add_session_options(*verb);
  verb->add_option("STREAM", words->stream, "stream of the advisories")->required();
  verb->add_option("VALUE", words->value, "only of this value");
  verb->add_option("--since", words->since, "how far back")->capture_default_str();
  verb->add_flag("-f,--follow", words->follow, "go on with new ones");
  verb->callback([words, &run] { run = [words] { return advisories_verb(*words); }; });
}

}  // namespace sluice
