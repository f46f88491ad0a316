// sluice verify STREAM: whether a copy holds what its origin holds, message by message.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <nlohmann/json.hpp>

#include "gateway/cli/command_line.h"
#include "gateway/cli/session.h"
#include "gateway/cli/verbs.h"
#include "replicator/stream_comparison.h"
#include "client/stream_reader.h"

namespace sluice {
namespace {

using Json = nlohmann::json;
using namespace std::chrono_literals;

constexpr auto kSilence = 60s;  ///< of both sides, after which nothing more is expected

struct VerifyWords {
  std::string stream;
  std::string target_stream;
  std::string filter;
  SessionOptions source;
  SessionOptions target;
  bool ignore_subjects = false;
  bool sampled = false;
  bool exact = false;
  bool json = false;
};

/// One of the two readings.
struct Side {
  std::string name;  ///< "source" or "target"
  std::string stream;
  StreamClient* client = nullptr;
  StreamSeq end{};  ///< newest message selected when we began
  std::unique_ptr<StreamReader> reader{};
  bool ended = false;
  uint64_t read = 0;
  StreamSeq at{};
  std::string trouble{};
};

Result<StreamSeq> newest(Session& session, StreamClient& client, std::string_view stream, std::string_view filter) {
  auto last = session.await<StoredCopy>([&](auto done) {
    return client.last_message(stream, filter.empty() ? ">" : filter, std::move(done));
  });
  if (last) return last->seq;
  if (last.error().code == Errc::kNotFound && last.error().api_code != 10059) return StreamSeq{};
  return std::unexpected(last.error());
}

Result<bool> is_mirror_of(Session& session, StreamClient& client, const std::string& stream, const std::string& origin) {
  auto info = session.await<std::string>([&](auto done) { return client.api("STREAM.INFO", stream, "", std::move(done)); });
  if (!info) return std::unexpected(info.error());
  const Json root = Json::parse(*info, nullptr, false);
  const Json config = root.value("config", Json::object());
  return config.contains("mirror") && config["mirror"].value("name", "") == origin;
}

class Verification {
 public:
  Verification(Session& session, const VerifyWords& words, ComparisonOptions options, Side source, Side target)
      : session_(session), words_(words), comparison_(std::move(options)), sides_{std::move(source), std::move(target)} {}

  Status run() {
    for (Side& side : sides_) begin(side);
    auto heard = session_.env().clock.now();
    uint64_t read = 0;
    while (!comparison_.ended()) {
      session_.loop().run_until([&] { return comparison_.ended() || failed() || comparison_.too_different(); }, 1s);
      for (const Side& side : sides_) {
        if (!side.trouble.empty()) return fail(Errc::kIo, fmt::format("reading the {}: {}", side.name, side.trouble));
      }
      if (comparison_.too_different())
        return fail(Errc::kInvalidArgument,
                    "the two streams hold their messages in too different an order to be compared in one pass");
      const uint64_t now_read = sides_[0].read + sides_[1].read;
      if (now_read != read) heard = session_.env().clock.now();
      read = now_read;
      if (session_.env().clock.now() - heard > kSilence)
        return fail(Errc::kTimeout, fmt::format("nothing came from either side for {} s", kSilence.count()));
      show_progress(false);
    }
    show_progress(true);
    return {};
  }
  const ComparisonReport& report() const { return comparison_.report(); }

 private:
  bool failed() const { return !sides_[0].trouble.empty() || !sides_[1].trouble.empty(); }

  void begin(Side& side) {
    if (side.end.is_zero()) return end(side);
    ReadPlan plan;
    plan.stream = side.stream;
    // A filter speaks of the source's subjects, which the copy may have changed.
    if (!words_.filter.empty() && &side == &sides_[0]) plan.filters = {words_.filter};
    plan.first = StreamSeq(1);
    plan.consumer_prefix = "verify";
    plan.description = "sluice verify";
    side.reader = std::make_unique<StreamReader>(
        session_.env(), *side.client, plan,
        StreamReader::Events{[this, &side](const ConsumedMessage& message) { take(side, message); },
                             [&side](const std::string& why) { side.trouble = why; }});
    side.reader->start();
  }

  void take(Side& side, const ConsumedMessage& message) {
    if (side.ended || !side.trouble.empty()) return;
    const bool of_source = &side == &sides_[0];
    if (message.stream_seq <= side.end) {
      ++side.read;
      side.at = message.stream_seq;
      of_source ? comparison_.add_source(message) : comparison_.add_target(message);
    }
    if (message.stream_seq >= side.end) end(side);
    balance();
  }

  void end(Side& side) {
    side.ended = true;
    side.at = side.end;
    if (side.reader) side.reader->pause();
    &side == &sides_[0] ? comparison_.end_source() : comparison_.end_target();
  }

  void balance() {
    const bool waits[2] = {comparison_.source_waits(), comparison_.target_waits()};
    for (size_t i = 0; i < 2; ++i) {
      Side& side = sides_[i];
      if (side.ended || !side.reader) continue;
      waits[i] ? side.reader->pause() : side.reader->resume();
    }
  }

  void show_progress(bool last) const {
    if (words_.json || ::isatty(STDERR_FILENO) == 0) return;
    const auto part = [](const Side& side) {
      return side.end.is_zero() ? 100.0
                                : 100.0 * static_cast<double>(side.at.value()) / static_cast<double>(side.end.value());
    };
    fmt::print(stderr, "\r\033[Ksource {:.0f} %, target {:.0f} %, {} messages read{}", part(sides_[0]), part(sides_[1]),
               sides_[0].read + sides_[1].read, last ? "\n" : "");
  }

  Session& session_;
  const VerifyWords& words_;
  StreamComparison comparison_;
  std::array<Side, 2> sides_;
};

Json to_json(const std::vector<StreamSeq>& seqs) {
  Json out = Json::array();
  for (const StreamSeq seq : seqs) out.push_back(seq.value());
  return out;
}

int show(const VerifyWords& words, const ComparisonReport& r) {
  const bool same = r.different == 0 && r.doubled == 0 && (words.sampled || r.missing == 0) &&
                    (!words.exact || (r.behind == 0 && r.only_at_target == 0 && r.of_others == 0));
  if (words.json) {
    const Json out = {{"same", same}, {"equal", r.equal}, {"different", r.different}, {"missing", r.missing},
                      {"doubled", r.doubled}, {"behind", r.behind}, {"only_at_target", r.only_at_target},
                      {"of_others", r.of_others}, {"different_seqs", to_json(r.different_seqs)},
                      {"missing_seqs", to_json(r.missing_seqs)}, {"doubled_seqs", to_json(r.doubled_seqs)}};
    std::printf("%s\n", out.dump(2).c_str());
  } else {
    std::printf("%s%s\n", describe(r).c_str(), same ? "The copy holds what its source holds." : "The copy differs from its source.");
  }
  return same ? kExitOk : kExitFailure;
}

int verify(const VerifyWords& words) {
  auto opened = Session::open(words.source, "sluice verify");
  if (!opened) return complain(opened.error());
  Session& session = **opened;
  auto link = session.connect(words.target, "sluice verify");
  if (!link) return complain(link.error());
  auto target_client = StreamClient::make(session.env(), *link->link, link->api_prefix);
  const std::string target_stream = words.target_stream.empty() ? words.stream : words.target_stream;
  // The source's end first: what is copied while we look at the target is then passed over, not missing.
  auto source_end = newest(session, session.client(), words.stream, words.filter);
  if (!source_end) return complain(fmt::format("source: {}", source_end.error().detail));
  auto target_end = newest(session, *target_client, target_stream, "");
  if (!target_end) return complain(fmt::format("target: {}", target_end.error().detail));
  auto mirror = is_mirror_of(session, *target_client, target_stream, words.stream);
  if (!mirror) return complain(fmt::format("target: {}", mirror.error().detail));
  ComparisonOptions options{.source_stream = words.stream, .same_sequences = *mirror, .source_end = *source_end,
                            .compare_subjects = !words.ignore_subjects};
  Verification verification(session, words, options,
                            {.name = "source", .stream = words.stream, .client = &session.client(), .end = *source_end},
                            {.name = "target", .stream = target_stream, .client = target_client.get(), .end = *target_end});
  if (auto done = verification.run(); !done) return complain(done.error());
  return show(words, verification.report());
}

}  // namespace

void add_verify_verb(CLI::App& app, VerbRun& run) {
  auto words = std::make_shared<VerifyWords>();
  CLI::App* verb = app.add_subcommand("verify", "Compare a stream with its copy, message by message");
  verb->footer(
      "Reads both streams and joins them by the source's sequences: marks of Sluice's and Choria's replicator, Nats-Stream-Source of\n"
      "sourced streams, the same sequences of mirrors. Compared are subject, headers (but those that copiers write) and payload.\n"
      "Ends with 0 when nothing differs, is missing or is there twice; with 1 otherwise.\n"
      "Example: sluice verify ORDERS --source nats://edge:4222 --target nats://centre:4222");
  verb->add_option("stream", words->stream, "The stream at the source")->required();
  verb->add_option("--source", words->source.server, "URL of the source")->required();
  verb->add_option("--source-creds", words->source.credentials_file, "Credentials file for it");
  verb->add_option("--target", words->target.server, "URL of the target")->required();
  verb->add_option("--target-creds", words->target.credentials_file, "Credentials file for it");
  verb->add_option("--target-stream", words->target_stream, "The copy, when it has another name");
  verb->add_option("--filter", words->filter, "Only these subjects of the source are copied");
  verb->add_flag("--ignore-subjects", words->ignore_subjects, "The copy has other subjects");
  verb->add_flag("--sampled", words->sampled, "The copy leaves messages out on purpose: missing ones are told, and no difference");
  verb->add_flag("--exact", words->exact, "Messages that are not copied yet, no longer at the source, or of others are differences too");
  verb->add_flag("--json", words->json, "The figures as JSON");
  verb->callback([words, &run] { run = [words] { return verify(*words); }; });
}

}  // namespace sluice
