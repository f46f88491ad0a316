// sluice replay STREAM --last 500 | --since 1h | --seq A-B --to CHANNEL: events of a stream once more into a channel.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "adapters/cloud_events/nats_binding.h"
#include "adapters/http_channel/outgoing.h"
#include "base/headers.h"
#include "base/nuid.h"
#include "base/parse_number.h"
#include "gateway/cli/command_line.h"
#include "gateway/cli/missing_stream.h"
#include "gateway/cli/progress_bar.h"
#include "gateway/cli/session.h"
#include "gateway/cli/table.h"
#include "gateway/cli/verbs.h"

namespace sluice {
namespace {

using Json = nlohmann::json;
using namespace std::chrono_literals;

constexpr size_t kPullWindow = 256;
constexpr size_t kOpenPublishes = 512;
constexpr auto kSilence = 30s;

struct ReplayWords {
  std::string stream;
  std::string channel;
  std::string since;
  std::string sequences;
  std::string subject;
  uint64_t last = 0;
  bool dry_run = false;
};

/// Which messages: sequences from `first` to `last` (both in), the first `skip` of them left out.
struct Range {
  StreamSeq first{};
  StreamSeq last{};
  std::string consumer;
  uint64_t count = 0;
  uint64_t skip = 0;
};

/// An ephemeral consumer that begins as `start` says. @return its name and how many messages it has.
Result<Range> open_range(Session& session, const ReplayWords& words, Json start) {
  const std::string name = "replay-" + make_nuid(session.env().random);
  Json config = {{"name", name},           {"ack_policy", "none"},      {"replay_policy", "instant"},
                 {"mem_storage", true},    {"inactive_threshold", 60'000'000'000}, {"num_replicas", 1}};
  if (!words.subject.empty()) config["filter_subject"] = words.subject;
  config.update(start);
  auto made = session.api("CONSUMER.CREATE", words.stream + "." + name,
                          Json{{"stream_name", words.stream}, {"config", std::move(config)}}.dump());
  if (!made) return std::unexpected(made.error());
  Range range;
  range.consumer = name;
  range.count = Json::parse(*made, nullptr, false).value("num_pending", uint64_t{0});
  return range;
}

Json from_sequence(uint64_t seq) {
  return {{"deliver_policy", "by_start_sequence"}, {"opt_start_seq", std::max<uint64_t>(seq, 1)}};
}

/// Deleted messages make holes: the beginning moves back until there are enough, or none before.
Result<Range> last_messages(Session& session, const ReplayWords& words, const StreamFigures& stream) {
  for (uint64_t back = words.last;; back *= 4) {
    const uint64_t end = stream.last_seq.value();
    const bool whole = back >= end || end - back + 1 <= stream.first_seq.value();
    auto range = open_range(session, words, from_sequence(whole ? stream.first_seq.value() : end - back + 1));
    if (!range || whole || range->count >= words.last) {
      if (range && range->count > words.last) range->skip = range->count - words.last;
      return range;
    }
    (void)session.api("CONSUMER.DELETE", words.stream + "." + range->consumer);
  }
}

Result<Range> find_range(Session& session, const ReplayWords& words, const StreamFigures& stream) {
  Result<Range> range = fail(Errc::kInvalidArgument, "say which messages: --last, --since or --seq");
  if (words.last > 0) {
    range = last_messages(session, words, stream);
  } else if (!words.since.empty()) {
    const auto back = parse_go_duration(words.since);
    if (!back || back->count() <= 0) return fail(Errc::kInvalidArgument, "--since takes a duration such as 1h or 90m");
    range = open_range(session, words,
                       {{"deliver_policy", "by_start_time"},
                        {"opt_start_time", format_rfc3339(session.env().clock.wall() - back->count())}});
  } else if (!words.sequences.empty()) {
    const size_t dash = words.sequences.find('-');
    const auto first = parse_decimal<uint64_t>(std::string_view(words.sequences).substr(0, dash));
    const auto last = dash == std::string::npos ? first : parse_decimal<uint64_t>(std::string_view(words.sequences).substr(dash + 1));
    if (!first || !last || *first == 0 || *last < *first)
      return fail(Errc::kInvalidArgument, "--seq takes two numbers such as 100-200");
    range = open_range(session, words, from_sequence(*first));
    if (range) range->last = StreamSeq(std::min(*last, stream.last_seq.value()));
    if (range) range->first = StreamSeq(*first);
    return range;
  }
  if (range) range->last = stream.last_seq;
  return range;
}

/// Pulls the range and publishes each event to the channel, in order, kOpenPublishes at a time. Ids are
/// this run's own: an event that the channel has seen a moment ago is delivered again, which is what is asked for.
class Replay {
 public:
  Replay(Session& session, const ReplayWords& words, const Range& range)
      : session_(session), words_(words), range_(range), run_(make_nuid(session.env().random)),
        last_heard_(session.env().clock.now()), bar_(session.env().clock, "replaying", "events", false) {}

  Status run() {
    if (range_.count == 0) return {};
    pull_ = session_.client().pull(
        words_.stream, range_.consumer, kPullWindow, [this](const ConsumedMessage& m) { on_message(m); },
        [this](const Error& why) { failed_ = why; });
    while (!failed_ && (!all_read_ || !open_.empty())) {
      (void)session_.loop().run_until([&] { return failed_ || (all_read_ && open_.empty()); }, 1s);
      if (session_.env().clock.now() - last_heard_ > kSilence)
        failed_ = Error{Errc::kTimeout, 0, "nothing has moved for 30 s"};
    }
    pull_.reset();
    if (failed_) return std::unexpected(*failed_);
    return {};
  }
  uint64_t published() const { return published_; }
  uint64_t skipped() const { return skipped_; }
  /// From where to go on after a failure; 0 = nothing was read.
  uint64_t next() const { return open_.empty() ? last_seq_ + 1 : *open_.begin(); }

 private:
  void on_message(const ConsumedMessage& message) {
    last_heard_ = session_.env().clock.now();
    if (all_read_ || failed_) return;
    if (message.stream_seq > range_.last) {
      all_read_ = true;
      return;
    }
    last_seq_ = message.stream_seq.value();
    all_read_ = message.pending == 0 || message.stream_seq == range_.last;
    if (++read_ <= range_.skip) return;
    const auto event = outgoing_event(
        {words_.stream, message.stream_seq, message.time, message.subject, message.headers, message.payload});
    if (!event) {
      ++skipped_;
      return;
    }
    publish(last_seq_, *event);
    if (open_.size() >= kOpenPublishes) pull_->pause();
  }

  void publish(uint64_t seq, const CloudEvent& event) {
    std::string headers = write_nats_headers(event);
    append_header(headers, "Nats-Msg-Id", fmt::format("replay-{}-{}", run_, seq));
    open_.insert(seq);
    session_.client()
        .publish({channel_subject(words_.channel, event), {}, headers, event.data}, 10s,
                 [this, seq](Result<PubAck> stored) {
                   last_heard_ = session_.env().clock.now();
                   if (!stored) {
                     if (!failed_) failed_ = stored.error();
                     return;  // seq stays open: that is where to go on
                   }
                   open_.erase(seq);
                   bar_.show(++published_, range_.count - range_.skip);
                   if (open_.size() == kOpenPublishes / 2 && pull_) pull_->resume();
                 })
        .release();
  }

  Session& session_;
  const ReplayWords& words_;
  const Range& range_;
  const std::string run_;
  std::set<uint64_t> open_;  ///< published, not acknowledged
  uint64_t read_ = 0, published_ = 0, skipped_ = 0, last_seq_ = 0;
  bool all_read_ = false;
  std::optional<Error> failed_;
  MonoTime last_heard_;
  ProgressBar bar_;
  std::unique_ptr<PullSubscription> pull_;
};

/// kNotFound when no stream waits for the channel's events.
Status find_channel(Session& session, const std::string& channel) {
  auto names = session.api("STREAM.NAMES", "", Json{{"subject", "eventchannel." + channel + ".>"}}.dump());
  if (!names) return std::unexpected(names.error());
  const Json root = Json::parse(*names, nullptr, false);
  if (!root.is_object() || root.value("total", 0) == 0)
    return fail(Errc::kNotFound, fmt::format("there is no channel '{}': no stream takes eventchannel.{}.>", channel, channel));
  return {};
}

int replay_verb(Session& session, const ReplayWords& words) {
  if (words.channel.find_first_of(".*> ") != std::string::npos)
    return complain(fmt::format("'{}' is no name of a channel", words.channel));
  if (auto there = find_channel(session, words.channel); !there) return complain(there.error());
  auto stream = session.await<StreamFigures>(
      [&](auto done) { return session.client().stream_info(words.stream, std::move(done)); });
  if (!stream) return complain(explain_missing_stream(session, session.client(), session.link(), words.stream, stream.error()));
  auto range = find_range(session, words, *stream);
  if (!range) return complain(range.error());
  const uint64_t count = range->count - range->skip;
  const bool bounded = !words.sequences.empty();
  if (words.dry_run) {
    std::printf("Would replay %s%llu messages of %s to the channel %s\n", bounded ? "at most " : "",
                static_cast<unsigned long long>(
                    bounded ? std::min(count, range->last.value() - std::min(range->last.value(), range->first.value() - 1)) : count),
                words.stream.c_str(), words.channel.c_str());
    return kExitOk;
  }
  Replay replay(session, words, *range);
  const Status done = replay.run();
  (void)session.api("CONSUMER.DELETE", words.stream + "." + range->consumer);
  if (!done)
    return complain(fmt::format("stopped after {} messages: {}. Go on with --seq {}-{}", replay.published(),
                                done.error().detail, replay.next(), range->last.value()));
  std::printf("Replayed %llu messages of %s to the channel %s\n", static_cast<unsigned long long>(replay.published()),
              words.stream.c_str(), words.channel.c_str());
  if (replay.skipped() > 0)
    std::printf("%llu left out: they say they are CloudEvents and are none\n", static_cast<unsigned long long>(replay.skipped()));
  return kExitOk;
}

}  // namespace

void add_replay_verb(CLI::App& app, VerbRun& run) {
  CLI::App* replay = app.add_subcommand("replay", "Send messages of a stream to an event channel once more.");
  auto words = std::make_shared<ReplayWords>();
  const auto where = add_session_options(*replay);
  replay->add_option("STREAM", words->stream, "stream to read")->required();
  CLI::Option* last = replay->add_option("--last", words->last, "the last N messages")->check(CLI::PositiveNumber);
  CLI::Option* since = replay->add_option("--since", words->since, "what came within this time: 1h, 90m");
  CLI::Option* seq = replay->add_option("--seq", words->sequences, "sequences A-B, both included");
  last->excludes(since)->excludes(seq);
  since->excludes(seq);
  replay->add_option("--to", words->channel, "channel (its name in the configuration)")->required();
  replay->add_option("--subject", words->subject, "only messages on these subjects");
  replay->add_flag("--dry-run", words->dry_run, "tell how many, send nothing");
  replay->callback([words, where, &run] {
    run = [words, where] { return with_session(*where, [&](Session& s) { return replay_verb(s, *words); }); };
  });
}

}  // namespace sluice
