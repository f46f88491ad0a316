// sluice import nats-store DIR: the streams of a nats-server that is stopped, into a store of our own.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "backup/nats_import.h"
#include "base/log.h"
#include "config/secret_file.h"
#include "gateway/cli/command_line.h"
#include "gateway/cli/import_nats_store.h"
#include "gateway/cli/progress_bar.h"
#include "gateway/cli/table.h"
#include "node/node.h"
#include "store/store_keys.h"
#include "uv/env.h"

namespace sluice {
namespace {

using Json = nlohmann::json;
using namespace std::chrono_literals;

// sysexits.h
constexpr int kExitNoStore = 66;
constexpr int kExitIo = 74;
constexpr int kExitInUse = 75;
constexpr int kExitNoKey = 77;

constexpr const char* kFooter =
    "Exit codes: 0 everything is there; 1 something is not, each is named; 64 wrong arguments; 66 no nats-server's store in DIR;\n"
    "74 the disk refused; 75 a daemon is using the target (stop it first, nothing was touched);\n"
    "77 the target is encrypted and the key is missing or another one.\n\n"
    "  sluice import nats-store /var/lib/nats --dry-run\n"
    "  sluice import nats-store /var/lib/nats --into /var/lib/nats/sluice    # where 'sluice nats-server -sd /var/lib/nats' looks";

struct ImportWords {
  std::string dir;
  std::string into;
  std::string key_file;  ///< of the target
  bool dry_run = false;
  bool skip_existing = false;
  bool replace = false;
  bool json = false;
  bool quiet = false;
};

/// One stream of the source and what became of it.
struct Outcome {
  NatsStreamFolder folder;
  std::unique_ptr<NatsStreamFiles> files;  ///< null when it can't be read at all
  std::optional<Error> refused;
  bool skipped = false;     ///< is there already
  uint64_t imported = 0;
  uint64_t kept = 0;        ///< of these, after the stream's own limits
  uint64_t consumers = 0;
  std::vector<std::string> left_out;

  bool complete() const { return !refused && left_out.empty() && files != nullptr && files->survey().damages == 0; }
  uint64_t bytes() const {
    uint64_t sum = 0;
    for (size_t i = 0; files != nullptr && i < files->blocks(); ++i) sum += files->block_bytes(i);
    return sum;
  }
  std::string name() const { return printable(folder.account + "/" + folder.stream); }
};

int complain(int code, const std::string& what) {
  std::fprintf(stderr, "sluice: %s\n", what.c_str());
  return code;
}

/// Our store with an engine on it that nobody can reach.
class Target {
 public:
  Target(UvEnv& world, std::unique_ptr<Node> node) : world_(world), node_(std::move(node)) {}
  static Result<std::unique_ptr<Target>> open(UvEnv& world, const ImportWords& words, const std::set<std::string>& accounts) {
    NodeOptions options;
    if (!words.key_file.empty()) {
      const auto secret = load_secret_file(words.key_file);
      if (!secret) return fail(secret.error().code, words.key_file + ": " + secret.error().detail);
      options.store.keys = make_store_keys(SealCipher::kAes256Gcm, *secret, "");
    }
    options.server.jetstream = true;
    for (const std::string& account : accounts) {
      if (account != kGlobalAccount) options.server.accounts.push_back({.name = account, .jetstream = JetStreamLimits{}});
    }
    options.store.dir = words.into;
    options.store.scrub_bytes_per_second = 0;
    auto node = Node::make(world.env(), std::move(options));
    if (!node) return std::unexpected(node.error());
    // A mirror must not begin to copy before its origin is here.
    for (const auto& engine : (*node)->engines()) engine->sourcing.reset();
    return std::make_unique<Target>(world, *std::move(node));
  }
  AccountEngine& engine(const std::string& account) { return *node_->engine(account); }
  bool wait_for(const std::function<bool()>& done) { return world_.loop().run_until(done, 10min); }
  Status close() {
    std::optional<Status> closed;
    node_->stop(DrainPlan(0s), [&](Status status) { closed = std::move(status); });
    if (!wait_for([&] { return closed.has_value(); })) return fail(Errc::kTimeout, "closing takes too long");
    return *closed;
  }

 private:
  UvEnv& world_;
  std::unique_ptr<Node> node_;
};

class Progress {
 public:
  Progress(const Clock& clock, const std::string& word, const std::vector<Outcome>& all, bool quiet) : bar_(clock, word, "bytes", quiet) {
    for (const Outcome& one : all) total_ += one.bytes();
  }
  void add(uint64_t bytes) { bar_.show(done_ += bytes, total_); }

 private:
  ProgressBar bar_;
  uint64_t done_ = 0;
  uint64_t total_ = 0;
};

void survey(Outcome& one, Progress& progress) {
  for (size_t i = 0; i < one.files->blocks() && !one.refused; ++i) {
    if (auto read = one.files->survey_block(i); !read) one.refused = read.error();
    progress.add(one.files->block_bytes(i));
  }
  one.files->end_survey();
}

std::vector<Outcome> survey_all(Env& env, const std::vector<NatsStreamFolder>& folders, bool quiet) {
  std::vector<Outcome> out;
  for (const NatsStreamFolder& folder : folders) {
    Outcome& one = out.emplace_back();
    one.folder = folder;
    auto files = NatsStreamFiles::open(env.disk, folder);
    if (files)
      one.files = *std::move(files);
    else
      one.refused = files.error();
  }
  Progress progress(env.clock, "read", out, quiet);
  for (Outcome& one : out)
    if (!one.refused) survey(one, progress);
  return out;
}

Status import_blocks(Target& target, Outcome& one, NatsImport& import, Progress& progress) {
  for (size_t i = 0; i < one.files->blocks(); ++i) {
    bool durable = false;
    if (auto taken = import.take_block(i, [&durable] { durable = true; }); !taken) return taken;
    if (!target.wait_for([&durable] { return durable; })) return fail(Errc::kTimeout, "the disk does not answer");
    progress.add(one.files->block_bytes(i));
  }
  return {};
}

void import(Target& target, Outcome& one, const ImportWords& words, Progress& progress) {
  AccountEngine& engine = target.engine(one.folder.account);
  if (engine.streams->find(one.folder.stream) != nullptr) {
    if (words.skip_existing) {
      one.skipped = true;
      return;
    }
    if (auto removed = engine.streams->remove(one.folder.stream); !removed) {
      one.refused = removed.error();
      return;
    }
  }
  auto begun = NatsImport::begin(*engine.streams, *engine.consumers, *one.files);
  Status taken = begun ? import_blocks(target, one, **begun, progress) : Status(std::unexpected(begun.error()));
  auto made = taken ? (*begun)->finish() : Result<Stream*>(std::unexpected(taken.error()));
  if (!made) {
    one.refused = made.error();
    return;
  }
  bool durable = false;
  (*made)->when_durable([&durable] { durable = true; });
  if (!target.wait_for([&durable] { return durable; })) one.refused = Error{Errc::kTimeout, 0, "the disk does not answer"};
  one.imported = (*begun)->messages();
  one.consumers = (*begun)->consumers();
  one.left_out = (*begun)->left_out();
  one.kept = (*made)->store().state().messages;
}

/// Those that the target has already, unless the operator said what to do about them.
std::vector<std::string> in_the_way(Target& target, const std::vector<Outcome>& all, const ImportWords& words) {
  std::vector<std::string> out;
  if (words.skip_existing || words.replace) return out;
  for (const Outcome& one : all)
    if (target.engine(one.folder.account).streams->find(one.folder.stream) != nullptr) out.push_back(one.name());
  return out;
}

int import_all(UvEnv& world, std::vector<Outcome>& all, const ImportWords& words) {
  std::set<std::string> accounts;
  for (const Outcome& one : all) accounts.insert(one.folder.account);
  auto target = Target::open(world, words, accounts);
  if (!target) {
    const Errc code = target.error().code;
    return complain(code == Errc::kExists ? kExitInUse : code == Errc::kDenied ? kExitNoKey : kExitIo,
                    fmt::format("{}: {}", words.into, target.error().detail));
  }
  if (const auto there = in_the_way(**target, all, words); !there.empty()) {
    (void)(*target)->close();
    return complain(kExitFailure, fmt::format("{} has already: {}. Nothing was changed; --skip-existing leaves these as they are, "
                                              "--replace deletes ours first", words.into, fmt::join(there, ", ")));
  }
  Progress progress(world.env().clock, "import", all, words.quiet || words.json);
  for (Outcome& one : all)
    if (!one.refused) import(**target, one, words, progress);
  const Status closed = (*target)->close();
  return closed ? kExitOk : complain(kExitIo, fmt::format("{}: {}", words.into, closed.error().detail));
}

std::string state_of(const Outcome& one, bool dry_run) {
  if (one.refused) return "refused";
  if (one.skipped) return "left as it is";
  if (!one.complete()) return "with losses";
  return dry_run ? "can be read" : "imported";
}

void print_text(const std::vector<Outcome>& all, const ImportWords& words) {
  TextTable table({"Stream", "Messages", "First", "Last", "Consumers", "Outcome"});
  uint64_t messages = 0;
  uint64_t consumers = 0;
  size_t streams = 0;
  for (const Outcome& one : all) {
    const NatsSurvey survey = one.files == nullptr ? NatsSurvey{} : one.files->survey();
    const uint64_t count = words.dry_run ? survey.messages : one.imported;
    const uint64_t readers = words.dry_run && one.files != nullptr ? one.files->consumers().size() : one.consumers;
    table.add({one.name(), std::to_string(count), std::to_string(survey.first.value()), std::to_string(survey.last.value()),
               std::to_string(readers), state_of(one, words.dry_run)});
    if (one.refused || one.skipped) continue;
    ++streams;
    messages += count;
    consumers += readers;
  }
  std::printf("%s\n", table.text().c_str());
  for (const Outcome& one : all) {
    const auto say = [&one](const std::string& what) { std::printf("%s: %s\n", one.name().c_str(), printable(what).c_str()); };
    if (one.refused) say("refused: " + one.refused->detail);
    if (one.files == nullptr) continue;
    for (const std::string& note : one.files->survey().notes) say("note: " + note);
    for (const std::string& damage : one.files->survey().damage) say(damage);
    if (one.files->survey().damages > one.files->survey().damage.size()) say(fmt::format("{} damages in all", one.files->survey().damages));
    for (const std::string& left : one.left_out) say("left out: " + left);
    if (one.kept < one.imported) say(fmt::format("note: {} messages went at once by the stream's limits", one.imported - one.kept));
  }
  std::printf("%s: %zu of %zu streams, %llu messages, %llu consumers%s\n", words.dry_run ? "would be imported" : "imported", streams,
              all.size(), static_cast<unsigned long long>(messages), static_cast<unsigned long long>(consumers),
              words.dry_run ? "; nothing was written" : "");
}

void print_json(const std::vector<Outcome>& all, const ImportWords& words) {
  Json out = {{"dry_run", words.dry_run}, {"streams", Json::array()}};
  for (const Outcome& one : all) {
    const NatsSurvey survey = one.files == nullptr ? NatsSurvey{} : one.files->survey();
    Json stream = {{"account", one.folder.account}, {"name", one.folder.stream}, {"outcome", state_of(one, words.dry_run)},
                   {"messages", survey.messages}, {"first_seq", survey.first.value()}, {"last_seq", survey.last.value()},
                   {"damages", survey.damages}, {"damage", survey.damage}, {"notes", survey.notes}, {"left_out", one.left_out}};
    if (!words.dry_run) stream.update({{"imported", one.imported}, {"kept", one.kept}, {"consumers", one.consumers}});
    if (one.refused) stream["error"] = one.refused->detail;
    out["streams"].push_back(std::move(stream));
  }
  std::printf("%s\n", out.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
}

/// Whether `path` lies in nats-server's own folder.
bool is_inside_source(const ImportWords& words) {
  std::error_code ignored;
  const auto root = std::filesystem::weakly_canonical(std::filesystem::path(words.dir), ignored);
  const auto source = std::filesystem::is_directory(root / "jetstream", ignored) ? root / "jetstream" : root;
  const auto target = std::filesystem::weakly_canonical(std::filesystem::path(words.into), ignored);
  const auto [end, unused] = std::mismatch(source.begin(), source.end(), target.begin(), target.end());
  return end == source.end();
}

int import_nats_store(const ImportWords& words) {
  configure_logging({LogLevel::kOff, false, ""});
  if (words.into.empty() != words.dry_run) return complain(kExitUsage, "either --into STORE or --dry-run");
  if (words.skip_existing && words.replace) return complain(kExitUsage, "either --skip-existing or --replace");
  if (!words.dry_run && is_inside_source(words))
    return complain(kExitUsage, fmt::format("{} lies in the folder that is read, which is never written to", words.into));
  UvEnv world;
  const auto folders = find_nats_streams(world.env().disk, words.dir);
  if (!folders) return complain(kExitNoStore, folders.error().detail);
  std::vector<Outcome> all = survey_all(world.env(), *folders, words.quiet || words.json);
  if (!words.dry_run) {
    if (const int no = import_all(world, all, words); no != kExitOk) return no;
  }
  if (words.json)
    print_json(all, words);
  else
    print_text(all, words);
  return std::ranges::all_of(all, [](const Outcome& one) { return one.skipped || one.complete(); }) ? kExitOk : kExitFailure;
}

}  // namespace

void add_import_nats_store(CLI::App& import, VerbRun& run) {
  auto words = std::make_shared<ImportWords>();
  CLI::App* verb = import.add_subcommand(
      "nats-store",
      "Take over the streams of a nats-server 2.15 that is stopped: every message with its sequence, time and headers, and\n"
      "the durable consumers where they stand. Reads DIR and never writes to it.");
  verb->add_option("DIR", words->dir, "its store_dir (the folder that holds 'jetstream')")->required();
  verb->add_option("--into", words->into, "our store: 'store.dir' of the configuration; made when it is not there");
  verb->add_option("--key-file", words->key_file, "of an encrypted target: file with the key, as 'store.encryption.key_file'");
  verb->add_flag("--dry-run", words->dry_run, "read everything, say what is there and what is damaged, write nothing");
  verb->add_flag("--skip-existing", words->skip_existing, "leave streams that our store has already as they are");
  verb->add_flag("--replace", words->replace, "delete our stream of the same name first");
  verb->add_flag("--json", words->json, "print the outcome as JSON");
  verb->add_flag("-q,--quiet", words->quiet, "no progress bar");
  verb->footer(kFooter);
  verb->callback([words, &run] { run = [words] { return import_nats_store(*words); }; });
}

}  // namespace sluice
