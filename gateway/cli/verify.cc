// sluice verify STREAM: whether a copy holds what its origin holds, message by message.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "crypto/secret.h"
#include "gateway/cli/command_line.h"
#include "gateway/cli/progress_bar.h"
#include "gateway/cli/session.h"
#include "gateway/cli/verbs.h"
#include "gateway/cli/verify_heal.h"
#include "gateway/cli/verify_side.h"
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

struct VerifyWords {
  std::string stream;
  std::string target_stream;
  std::vector<std::string> filters;
  VerifySideWords source, target;
  uint32_t max_hops = 0;
  bool ignore_subjects = false;
  bool sampled = false;
  bool exact = false;
  bool json = false;
  bool heal = false;
  bool dry_run = false;
};

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
        bar_("comparing", "messages", words.json),
        comparison_(options(), source.digests(), target.digests(), [this](const auto& ended) { return wait(ended); }) {}

  Status run() {
    if (auto done = comparison_.run(); !done) return done;
    report_ = comparison_.report();
    note_lost_tail();
    if (auto done = explain_by_subject_limit(); !done) return done;
    return name_differences();
  }
  const std::vector<StreamSeq>& missing() const { return missing_; }
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
            .compare_subjects = !words_.ignore_subjects,
            .target_limited = target.limits_front && target.first_seq > StreamSeq(1),
            .sampled = words_.sampled,
            .filters = words_.filters,
            .max_hops = words_.max_hops};
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
  auto missing = comparison_.list_missing(words_.heal ? kMaxHealed : kMaxExplained);
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
  return {{"dry_run", dry_run}, {"healed", report.healed}, {"left", left}};
}

void print(const HealReport& report, bool dry_run) {
  std::printf("%s", fmt::format("{} messages {} healed\n", report.healed, dry_run ? "would be" : "were").c_str());
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

int complain_of_words(const VerifyWords& words) {
  if (words.dry_run && !words.heal) return complain("--dry-run goes with --heal"), kExitNotCompared;
  if (words.heal && words.sampled)
    return complain("--heal can't tell what a sampled copy has lost from what it leaves out"), kExitNotCompared;
  if (words.heal && words.ignore_subjects)
    return complain("--heal writes under the source's subjects: not with --ignore-subjects"), kExitNotCompared;
  return kExitOk;
}

int verify(const VerifyWords& words) {
  if (const int bad = complain_of_words(words); bad != kExitOk) return bad;
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
    if (!words.heal || before.missing().empty()) return before.show(healed);
    auto report = heal(**source, **target, before.missing(), words.dry_run);
    if (!report) return not_compared(report.error());
    healed = *std::move(report);
    if (words.dry_run) return before.show(healed);
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
  verb->add_option("--max-hops", words->max_hops, "The copy leaves out what was copied so often already");
  verb->add_flag("--ignore-subjects", words->ignore_subjects, "The copy has other subjects");
  verb->add_flag("--sampled", words->sampled, "The copy leaves messages out on purpose: they are told, and no difference");
  verb->add_flag("--exact", words->exact,
                 "Messages that are not copied yet, gone at either side, of others or out of order are differences too");
  verb->add_flag("--heal", words->heal, "Write what is missing at the target's end, then compare again");
  verb->add_flag("--dry-run", words->dry_run, "With --heal: only say what would be written");
  verb->add_flag("--json", words->json, "The figures as JSON");
  verb->callback([words, &run] { run = [words] { return verify(*words); }; });
}

}  // namespace sluice
