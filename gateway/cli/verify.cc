// sluice verify STREAM: whether a copy holds what its origin holds, message by message.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/check.h"
#include "crypto/secret.h"
#include "gateway/cli/command_line.h"
#include "gateway/cli/progress_bar.h"
#include "gateway/cli/session.h"
#include "gateway/cli/verbs.h"
#include "gateway/cli/verify_words.h"
#include "replicator/healing.h"
#include "replicator/stream_comparison.h"

namespace sluice {
namespace {

using Json = nlohmann::json;
using namespace std::chrono_literals;

constexpr int kExitDiffers = 1;
constexpr int kExitNotCompared = 2;
constexpr uint64_t kMaxNamed = 100;      ///< of each kind
constexpr uint64_t kMaxSubjectLimit = 64;  ///< above it that limit explains nothing
constexpr uint64_t kMaxExplained = 1000;  ///< missing messages held against the limit for each subject
constexpr uint64_t kMaxHealed = 100'000;  ///< in one run

struct Named {
  StreamSeq seq;
  std::string subject;  ///< at the source; empty when it can't be told
  std::string what;
};

int not_compared(const Error& why) {
  complain(why);
  return kExitNotCompared;
}

class Verification {
 public:
  Verification(Session& session, const VerifyWords& words, VerifySide& source, VerifySide& target)
      : session_(session),
        words_(words),
        source_(source),
        target_(target),
        bar_(session.env().clock, "comparing", "messages", words.json),
        comparison_(options(), source.digests(), target.digests(), [this](const auto& ended) { return wait(ended); }) {}

  Status run() {
    if (auto done = comparison_.run(); !done) return done;
    report_ = comparison_.report();
    note_lost_tail();
    if (auto done = explain_by_subject_limit(); !done) return done;
    return name_differences();
  }
  /// What is to be healed. Places of which nothing is known any more go to `left`.
  Result<HealWork> heal_work(HealReport& left);
  int show(const std::optional<HealReport>& healed) const;

 private:
  ComparisonOptions options() const {
    DigestKey key;
    std::ranges::copy(unguessable_bytes(key.size()), key.begin());
    const VerifiedStream& target = target_.info();
    return {.key = key,
            .source_stream = words_.stream,
            .same_sequences = target.mirror_of == words_.stream,
            .source_end = source_.info().last_seq,
            .target_end = target.last_seq,
            .replicator = words_.replicator,
            .worker = words_.worker,
            .hop = words_.hops,
            .compare_subjects = !words_.ignore_subjects,
            .rewrite = words_.rewrite,
            .target_limited = target.limits_front && target.first_seq > StreamSeq(1),
            .sampled = words_.sampled,
            .filters = words_.filters,
            .max_hops = words_.max_hops == 0 ? 0 : words_.max_hops - (std::max(words_.hops, 1U) - 1)};
  }

  bool wait(const std::function<bool()>& ended) {
    while (!session_.loop().run_until(ended, 200ms)) {
      const uint64_t all = source_.info().messages + target_.info().messages;
      const uint64_t read = source_.digests().traffic().messages + target_.digests().traffic().messages;
      bar_.show(std::min(read, all), all);
    }
    return true;
  }

  void note_lost_tail();
  Status explain_by_subject_limit();
  bool is_over_subject_limit(StreamSeq seq);
  Status name_differences();
  void name(StreamSeq seq, std::string what);
  bool same() const { return report_.holds(words_.exact) && lost_tail_ == 0; }
  Json to_json() const;
  void print() const;

  Session& session_;
  const VerifyWords& words_;
  VerifySide& source_;
  VerifySide& target_;
  ProgressBar bar_;
  StreamComparison comparison_;
  ComparisonReport report_;
  std::vector<StreamSeq> missing_;        ///< the first kMaxExplained, or kMaxHealed
  std::vector<Named> named_;
  uint64_t over_subject_limit_ = 0;
  uint64_t lost_tail_ = 0;  ///< messages that the target has let go at its end, not by its limits
};

/// A stream without age limit that ends before its last sequence has lost its newest messages: what is not there is
/// then not "behind".
void Verification::note_lost_tail() {
  const VerifiedStream& target = target_.info();
  if (target.limits_front || report_.behind == 0 || report_.of_others != 0 || target.last_seq <= report_.newest_copy_own) return;
  lost_tail_ = std::min(target.last_seq.value() - report_.newest_copy_own.value(), report_.behind);
}

/// What is not at the target because newer messages of its subject pushed it out is no loss.
Status Verification::explain_by_subject_limit() {
  auto missing = comparison_.list_missing(words_.heal.empty() ? kMaxExplained : kMaxHealed);
  if (!missing) return std::unexpected(missing.error());
  missing_ = *std::move(missing);
  const uint64_t limit = target_.info().max_msgs_per_subject;
  if (limit == 0 || limit > kMaxSubjectLimit || words_.ignore_subjects || report_.missing > std::min(missing_.size(), kMaxExplained)) return {};
  std::vector<StreamSeq> left;
  for (const StreamSeq seq : missing_) {
    if (!is_over_subject_limit(seq)) left.push_back(seq);
  }
  over_subject_limit_ = missing_.size() - left.size();
  report_.missing -= over_subject_limit_;
  missing_ = std::move(left);
  return {};
}

/// So many newer ones of its subject have gone through the copy.
bool Verification::is_over_subject_limit(StreamSeq seq) {
  auto message = source_.message(seq);
  if (!message) return false;  // gone meanwhile: told as missing
  StreamSeq from = seq;
  for (uint64_t newer = 0; newer < target_.info().max_msgs_per_subject; ++newer) {
    const auto next = source_.next_of_subject(from.next(), message->subject);
    if (!next || *next > report_.newest_copy) return false;
    from = *next;
  }
  return true;
}

void Verification::name(StreamSeq seq, std::string what) {
  auto message = source_.message(seq);
  named_.push_back({seq, message ? message->subject : std::string(), std::move(what)});
}

Status Verification::name_differences() {
  const auto some = [this](const std::vector<StreamSeq>& seqs, const char* what) {
    for (size_t i = 0; i < std::min<size_t>(seqs.size(), kMaxNamed); ++i) name(seqs[i], what);
  };
  some(report_.different_seqs, "other content");
  some(missing_, "missing");
  some(report_.doubled_seqs, "more than once");
  return {};
}

Result<HealWork> Verification::heal_work(HealReport& left) {
  HealWork work{.missing = missing_};
  if (words_.heal != kHealReplace) return work;
  for (const auto& place : report_.wrong_places) {
    if (work.wrong.size() >= kMaxHealed) break;
    auto copies = comparison_.copies_of(place);
    if (copies)
      work.wrong.push_back({place.seq, *std::move(copies)});
    else if (copies.error().code == Errc::kNotFound)
      left.left.emplace_back(place.seq, fmt::format("source: {}", copies.error().detail));
    else
      return std::unexpected(copies.error());
  }
  return work;
}

Json sequences(const std::vector<StreamSeq>& seqs) {
  Json out = Json::array();
  for (size_t i = 0; i < std::min<size_t>(seqs.size(), kMaxNamed); ++i) out.push_back(seqs[i].value());
  return out;
}

Json side_json(VerifySide& side) {
  const auto& traffic = side.digests().traffic();
  return {{"by", side.served() ? "digests" : "reading"}, {"bytes", traffic.bytes}, {"messages", traffic.messages}};
}

Json Verification::to_json() const {
  const ComparisonReport& r = report_;
  Json differences = Json::array();
  for (const Named& one : named_) differences.push_back({{"seq", one.seq.value()}, {"subject", one.subject}, {"what", one.what}});
  return {{"same", same()}, {"equal", r.equal}, {"different", r.different}, {"missing", r.missing},
          {"doubled", r.doubled}, {"behind", r.behind}, {"only_at_target", r.only_at_target},
          {"of_others", r.of_others}, {"left_out", r.left_out}, {"removed_at_target", r.removed_at_target},
          {"over_subject_limit", over_subject_limit_}, {"lost_tail", lost_tail_}, {"disordered", r.disordered},
          {"stopped", r.stopped}, {"newest_copy", r.newest_copy.value()},
          {"different_seqs", sequences(r.different_seqs)}, {"missing_seqs", sequences(missing_)},
          {"doubled_seqs", sequences(r.doubled_seqs)}, {"differences", differences},
          {"source", side_json(source_)}, {"target", side_json(target_)}};
}

void Verification::print() const {
  std::printf("%s", describe(report_).c_str());
  if (over_subject_limit_ != 0)
    std::printf("%s", fmt::format("{} are over the target's limit for each subject\n", over_subject_limit_).c_str());
  if (lost_tail_ != 0)
    std::printf("%s", fmt::format("{} messages were removed at the target's end\n", lost_tail_).c_str());
  for (const Named& one : named_)
    std::printf("%s", fmt::format("  {:>10}  {:<14}  {}\n", one.seq.value(), one.what, one.subject).c_str());
  const uint64_t found = report_.different + report_.missing + report_.doubled;
  if (found > named_.size()) std::printf("  … and %llu more\n", static_cast<unsigned long long>(found - named_.size()));
  for (VerifySide* side : {&source_, &target_}) {
    const auto& traffic = side->digests().traffic();
    std::printf("%s", fmt::format("{}: {} messages, {} bytes {}\n", side->name(), traffic.messages, traffic.bytes,
                                  side->served() ? "exchanged" : "read").c_str());
  }
  std::printf("%s\n", same() ? "The copy holds what its source holds." : "The copy differs from its source.");
}

Json heal_json(const HealReport& report, bool dry_run) {
  Json left = Json::array();
  for (const auto& [seq, why] : report.left) left.push_back({{"seq", seq.value()}, {"why", why}});
  Json json = {{"dry_run", dry_run}, {"healed", report.healed}, {"removed", report.removed},
               {"removed_seqs", sequences(report.removed_seqs)}, {"left", left}};
  if (report.ended) json["ended"] = report.ended->detail;
  return json;
}

void print(const HealReport& report, bool dry_run) {
  const char* const were = dry_run ? "would be" : "were";
  std::printf("%s", fmt::format("{} messages {} healed: written at the target's end\n", report.healed, were).c_str());
  if (report.removed != 0) std::printf("%s", fmt::format("{} of the target's messages {} removed\n", report.removed, were).c_str());
  for (const StreamSeq own : report.removed_seqs) std::printf("%s", fmt::format("  {:>10}  of the target\n", own.value()).c_str());
  for (const auto& [seq, why] : report.left) std::printf("%s", fmt::format("  {:>10}  not healed: {}\n", seq.value(), why).c_str());
}

int Verification::show(const std::optional<HealReport>& healed) const {
  if (words_.json) {
    Json json = to_json();
    if (healed) json["heal"] = heal_json(*healed, words_.dry_run);
    std::printf("%s\n", json.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    if (healed) sluice::print(*healed, words_.dry_run);
    print();
  }
  return same() ? kExitOk : kExitDiffers;
}

/// @return what was done, its `ended` included; an error when nothing could be.
Result<HealReport> heal(Session& session, const VerifyWords& words, VerifySide& source, VerifySide& target, const HealWork& work) {
  if (!target.info().mirror_of.empty()) return fail(Errc::kUnsupported, "a mirror takes messages of its origin only: it can't be healed");
  if (!work.wrong.empty() && target.info().denies_delete)
    return fail(Errc::kUnsupported, "target: the stream denies deletes, so that nothing in it can be replaced");
  HealOptions options{.source_stream = source.stream(),
                      .target_stream = target.stream(),
                      .keeps_newest_of_subject = target.info().max_msgs_per_subject != 0,
                      .replicator = words.replicator,
                      .worker = words.worker,
                      .dry_run = words.dry_run};
  auto rewrite = SubjectRewrite::make(words.rewrite);
  SLUICE_CHECK(rewrite.has_value());
  options.rewrite = *std::move(rewrite);
  ProgressBar bar(session.env().clock, "healing", "messages", words.json);
  options.progress = [&bar](uint64_t done, uint64_t all) { bar.show(done, all); };
  return Healing(std::move(options), source, target).run(work);
}

int verify(VerifyWords words) {
  if (auto settled = settle(words); !settled) return not_compared(settled.error());
  const auto loop = Session::unconnected();
  Session& session = *loop;
  auto source = VerifySide::open(session, words.source, "source", words.stream);
  if (!source) return not_compared(source.error());
  auto target = VerifySide::open(session, words.target, "target", words.target_stream.empty() ? words.stream : words.target_stream);
  if (!target) return not_compared(target.error());
  std::optional<HealReport> healed;
  {
    Verification before(session, words, **source, **target);
    if (auto done = before.run(); !done) return not_compared(done.error());
    if (words.heal.empty()) return before.show(healed);
    HealReport unknown;
    const auto work = before.heal_work(unknown);
    if (!work) return not_compared(work.error());
    if (work->missing.empty() && work->wrong.empty()) return before.show(healed);
    auto report = heal(session, words, **source, **target, *work);
    if (!report) return not_compared(report.error());
    report->left.insert(report->left.end(), unknown.left.begin(), unknown.left.end());
    healed = *std::move(report);
    if (words.dry_run) return before.show(healed);
    if (healed->ended) {
      before.show(healed);
      return not_compared(*healed->ended);
    }
  }
  // The proof of the pudding: what is there now.
  for (VerifySide* side : {source->get(), target->get()})
    if (auto asked = side->refresh(); !asked) return not_compared(asked.error());
  Verification after(session, words, **source, **target);
  if (auto done = after.run(); !done) return not_compared(done.error());
  return after.show(healed);
}

}  // namespace

void add_verify_verb(CLI::App& app, VerbRun& run) {
  auto words = std::make_shared<VerifyWords>();
  CLI::App* verb = app.add_subcommand("verify", "Compare a stream with its copy, message by message");
  verb->footer(
      "Joins the two streams by the source's sequences: marks of Sluice's and Choria's replicator, Nats-Stream-Source of sourced\n"
      "streams, the same sequences of mirrors. Compared are subject, headers (but those that copiers write) and payload.\n"
      "A Sluice folds its stream into digests itself and little is exchanged; a stream of any other server is read.\n"
      "Ends with 0 when nothing differs, is missing or is there twice; with 1 otherwise; with 2 when it could not compare.\n"
      "Example: sluice verify ORDERS --source nats://edge:4222 --target nats://centre:4222");
  verb->add_option("stream", words->stream, "The stream at the source")->required();
  add_side_options(*verb, "source", words->source);
  add_side_options(*verb, "target", words->target);
  verb->add_option("--target-stream", words->target_stream, "The copy, when it has another name");
  verb->add_option("--filter", words->filters, "Only these subjects of the source are copied");
  verb->add_option("--max-hops", words->max_hops, "The copy (each one on the way) leaves out what was copied so often already");
  verb->add_option("--hops", words->hops, "So many copies lie between the two streams; needed when streams on the way have the same name");
  verb->add_option("--replicator", words->replicator, "Only marks of this replicator count: others copy a stream of that name too");
  verb->add_option("--worker", words->worker, "Only marks of this copy, by its name, count");
  verb->add_option("--subject-prefix", words->rewrite.prefix, "As target_subject_prefix of the copy");
  verb->add_option("--subject-remove", words->rewrite.remove, "As target_subject_remove of the copy");
  verb->add_option("--subject-transform", words->transforms, "As subject_transforms of the copy: <source>=<destination>");
  verb->add_option("--config", words->config_path, "All that from the copy's configuration, Sluice's or Stream Replicator's file");
  verb->add_option("--copy", words->copy, "Its name there, when the stream is copied more than once");
  verb->add_flag("--ignore-subjects", words->ignore_subjects, "The copy has other subjects");
  verb->add_flag("--sampled", words->sampled, "The copy leaves messages out on purpose: they are told, and no difference");
  verb->add_flag("--exact", words->exact,
                 "Messages that are not copied yet, gone at either side, of others or out of order are differences too");
  verb->add_flag("--heal{missing}", words->heal,
                 "Write what is missing at the target's end, then compare again. --heal=replace also mends other contents and doubled\n"
                 "messages: the right copy is written when there is none, and what is wrong is removed. A stream only appends: what is\n"
                 "written stands behind everything else, out of the source's order");
  verb->add_flag("--dry-run", words->dry_run, "With --heal: only say what would be written and removed");
  verb->add_flag("--json", words->json, "The figures as JSON");
  verb->callback([words, &run] { run = [words] { return verify(*words); }; });
}

}  // namespace sluice
