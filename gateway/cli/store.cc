// sluice store verify|repair|dump DIR: a store directory of a daemon that does not run.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/base64.h"
#include "base/log.h"
#include "config/secret_file.h"
#include "gateway/cli/command_line.h"
#include "gateway/cli/progress_bar.h"
#include "gateway/cli/table.h"
#include "gateway/cli/verbs.h"
#include "store/overlay_disk.h"
#include "store/store_check.h"
#include "store/store_keys.h"
#include "uv/env.h"

namespace sluice {
namespace {

using Json = nlohmann::json;
using namespace std::chrono_literals;

// sysexits.h
constexpr int kExitDamaged = 1;
constexpr int kExitUnknownFormat = 65;
constexpr int kExitNoStore = 66;
constexpr int kExitIo = 74;
constexpr int kExitInUse = 75;
constexpr int kExitNoKey = 77;

constexpr const char* kExitCodes =
    "Exit codes: 0 sound; 1 damage was found, each lost message is listed; 65 written by a newer version;\n"
    "66 no store there; 74 the disk refused; 75 a daemon is using it (stop it first, nothing was touched);\n"
    "77 it is encrypted and the key is missing or another one.";

struct StoreWords {
  std::string dir;
  std::string stream;
  std::string subject = ">";
  uint64_t from = 0;
  uint64_t limit = 0;
  bool payload = true;
  std::string key_file;
  std::string previous_key_file;
  bool json = false;
  bool quiet = false;
};

/// Null when no key is given.
Result<std::shared_ptr<const SealingKeys>> keys_of(const StoreWords& words) {
  std::string secrets[2];
  const std::string* paths[2] = {&words.key_file, &words.previous_key_file};
  for (const int i : {0, 1}) {
    if (paths[i]->empty()) continue;
    auto secret = load_secret_file(*paths[i]);
    if (!secret) return fail(secret.error().code, *paths[i] + ": " + secret.error().detail);
    secrets[i] = std::move(*secret);
  }
  if (secrets[0].empty()) return nullptr;
  return make_store_keys(SealCipher::kAes256Gcm, secrets[0], secrets[1]);  // each file says its own cipher
}

int refuse(const std::string& dir, const Error& why) {
  std::fprintf(stderr, "sluice: %s: %s\n", dir.c_str(), why.detail.c_str());
  if (why.code == Errc::kExists) return kExitInUse;
  if (why.code == Errc::kDenied) return kExitNoKey;
  return why.code == Errc::kUnsupported ? kExitUnknownFormat : kExitIo;
}

/// A store opened by a command: over an overlay (nothing is changed), or for good.
class OpenedStore {
 public:
  static Result<std::unique_ptr<OpenedStore>> open(const StoreWords& words, bool for_good) {
    auto keys = keys_of(words);
    if (!keys) return std::unexpected(keys.error());
    auto out = std::make_unique<OpenedStore>();
    const Env& real = out->world_.env();
    out->overlay_ = std::make_unique<OverlayDisk>(real.disk);
    Disk& disk = for_good ? real.disk : *out->overlay_;
    out->env_ = std::unique_ptr<Env>(new Env{real.clock, real.timers, real.executor, real.random, disk, real.disk_workers,
                                             real.network, real.mailboxes, real.poller});
    StoreOptions options;
    options.dir = words.dir;
    options.keys = std::move(*keys);
    auto store = Store::open(*out->env_, options);
    if (!store) return std::unexpected(store.error());
    out->store_ = std::move(*store);
    return out;
  }
  Store& store() { return *store_; }
  Env& env() { return *env_; }

  Status close() {
    std::optional<Status> closed;
    store_->close([&](Status status) { closed = std::move(status); });
    if (!world_.loop().run_until([&] { return closed.has_value(); }, 10min)) return fail(Errc::kTimeout, "closing takes too long");
    return *closed;
  }

 private:
  UvEnv world_;
  std::unique_ptr<OverlayDisk> overlay_;
  std::unique_ptr<Env> env_;
  std::unique_ptr<Store> store_;
};

bool is_store(const std::string& dir) {
  UvEnv world;
  return world.env().disk.exists(dir + "/journal") && world.env().disk.exists(dir + "/segments");
}

/// 0 when DIR is a store, else the exit code, after saying so.
int look_for_store(const std::string& dir) {
  configure_logging({LogLevel::kOff, false, ""});
  if (is_store(dir)) return kExitOk;
  std::fprintf(stderr, "sluice: %s: no store there (it has the folders journal and segments; 'store.dir' of the configuration "
               "names it)\n", dir.c_str());
  return kExitNoStore;
}

/// "3-7, 9".
std::string ranges_of(const std::vector<uint64_t>& seqs) {
  std::string out;
  for (size_t i = 0; i < seqs.size();) {
    size_t end = i + 1;
    while (end < seqs.size() && seqs[end] == seqs[end - 1] + 1) ++end;
    if (!out.empty()) out += ", ";
    out += end - i == 1 ? std::to_string(seqs[i]) : fmt::format("{}-{}", seqs[i], seqs[end - 1]);
    i = end;
  }
  return out;
}

/// [[first, last], …]
Json lost_json(const SeqSet& lost) {
  Json out = Json::array();
  for (const auto& [first, last] : lost.ranges()) out.push_back({first, last});
  return out;
}

Json to_json(const std::string& dir, const StoreCheck& found) {
  Json out = {{"dir", dir}, {"sound", found.sound()}, {"messages", found.messages}, {"bytes", found.bytes},
              {"lost_records", found.lost_records}, {"damaged_messages", found.damaged_messages},
              {"cut_bytes", found.cut_bytes}, {"notes", found.notes}, {"streams", Json::array()}};
  for (const StreamCheck& s : found.streams) {
    out["streams"].push_back({{"name", s.name}, {"messages", s.state.messages}, {"first_seq", s.state.first_seq.value()},
                              {"last_seq", s.state.last_seq.value()}, {"bytes", s.state.bytes}, {"consumers", s.consumers},
                              {"lost", lost_json(s.lost)}, {"damaged", s.damaged}, {"unreadable_from", s.unreadable}});
  }
  return out;
}

void print_check(const std::string& dir, const StoreCheck& found) {
  TextTable table({"Stream", "Messages", "First", "Last", "Bytes", "Consumers", "Damaged", "Lost"});
  for (const StreamCheck& s : found.streams) {
    table.add({printable(s.name), std::to_string(s.state.messages), std::to_string(s.state.first_seq.value()),
               std::to_string(s.state.last_seq.value()), std::to_string(s.state.bytes), std::to_string(s.consumers),
               std::to_string(s.damaged.size()), std::to_string(s.lost.size())});
  }
  if (!found.streams.empty()) std::printf("%s\n", table.text().c_str());
  for (const std::string& note : found.notes) std::printf("found at opening: %s\n", printable(note).c_str());
  for (const StreamCheck& s : found.streams) {
    if (!s.damaged.empty()) std::printf("%s: lost for good: %s\n", printable(s.name).c_str(), ranges_of(s.damaged).c_str());
    if (s.unreadable != 0) {
      std::printf("%s: the disk refuses to read message %llu; those behind it were not tried\n", printable(s.name).c_str(),
                  static_cast<unsigned long long>(s.unreadable));
    }
  }
  if (found.cut_bytes != 0) {
    std::printf("%llu bytes of a newest batch that was never finished: no damage, nobody had its acknowledgement\n",
                static_cast<unsigned long long>(found.cut_bytes));
  }
  std::printf("%s: %s, %llu messages read, %llu lost\n", dir.c_str(), found.sound() ? "sound" : "DAMAGED",
              static_cast<unsigned long long>(found.messages),
              static_cast<unsigned long long>(found.lost_records + found.damaged_messages));
}

Result<StoreCheck> verify(const StoreWords& words, const char* bar_word) {
  auto opened = OpenedStore::open(words, false);
  if (!opened) return std::unexpected(opened.error());
  ProgressBar bar((*opened)->env().clock, bar_word, "messages", words.quiet || words.json);
  return check_store((*opened)->store(), [&](uint64_t done, uint64_t all) { bar.show(done, all); });
}

int verify_verb(const StoreWords& words) {
  if (const int no = look_for_store(words.dir); no != kExitOk) return no;
  auto found = verify(words, "verify");
  if (!found) return refuse(words.dir, found.error());
  if (words.json) {
    std::printf("%s\n", to_json(words.dir, *found).dump(2, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    print_check(words.dir, *found);
  }
  return found->sound() ? kExitOk : kExitDamaged;
}

/// Recovery for good, damaged messages become gaps, and a second look at the result.
int repair_verb(const StoreWords& words) {
  if (const int no = look_for_store(words.dir); no != kExitOk) return no;
  auto before = verify(words, "verify");
  if (!before) return refuse(words.dir, before.error());
  uint64_t given_up = 0;
  {
    auto opened = OpenedStore::open(words, true);
    if (!opened) return refuse(words.dir, opened.error());
    given_up = give_up_damaged((*opened)->store(), *before);
    if (auto s = (*opened)->close(); !s) return refuse(words.dir, s.error());
  }
  auto after = verify(words, "verify again");
  if (!after) return refuse(words.dir, after.error());
  if (words.json) {
    std::printf("%s\n", Json{{"before", to_json(words.dir, *before)}, {"given_up", given_up}, {"after", to_json(words.dir, *after)}}
                            .dump(2, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    print_check(words.dir, *before);
    std::printf("repair: %llu damaged messages are plain gaps now\n", static_cast<unsigned long long>(given_up));
    if (!after->sound()) std::printf("Holes in the journal stay until their file is retired; what is listed as lost is lost.\n");
    print_check(words.dir, *after);
  }
  return after->sound() ? kExitOk : kExitDamaged;
}

bool is_text(std::string_view bytes) {
  try {
    (void)Json(std::string(bytes)).dump();
    return true;
  } catch (const Json::exception&) {
    return false;
  }
}

void put_bytes(Json& out, const char* name, std::string_view bytes) {
  if (is_text(bytes)) {
    out[name] = std::string(bytes);
  } else {
    out[std::string(name) + "_base64"] = base64_encode(bytes);
  }
}

void dump_stream(Store& store, const RecoveredStream& found, const StoreWords& words) {
  Json head = {{"stream", found.name}, {"consumers", Json::array()}};
  put_bytes(head, "meta", found.meta);
  for (const RecoveredConsumer& consumer : store.consumers(found.name)) head["consumers"].push_back(consumer.name);
  std::printf("%s\n", head.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
  StreamStore& stream = *store.find_stream(found.name);
  uint64_t left = words.limit == 0 ? UINT64_MAX : words.limit;
  for (StreamSeq from(words.from); left > 0; --left) {
    const auto message = stream.load_next(from, words.subject);
    if (!message) return;
    Json line = {{"stream", found.name}, {"seq", message->seq.value()}, {"time", format_rfc3339(message->time)}};
    put_bytes(line, "subject", message->subject);
    if (!message->headers.empty()) put_bytes(line, "headers", message->headers);
    line["size"] = message->payload.size();
    if (words.payload) put_bytes(line, "payload", message->payload);
    std::printf("%s\n", line.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
    from = message->seq.next();
  }
}

int dump_verb(const StoreWords& words) {
  if (const int no = look_for_store(words.dir); no != kExitOk) return no;
  auto opened = OpenedStore::open(words, false);
  if (!opened) return refuse(words.dir, opened.error());
  Store& store = (*opened)->store();
  if (!words.stream.empty() && store.find_stream(words.stream) == nullptr) {
    std::fprintf(stderr, "sluice: %s holds no stream '%s'\n", words.dir.c_str(), words.stream.c_str());
    return kExitNoStore;
  }
  for (const RecoveredStream& stream : store.streams()) {
    if (words.stream.empty() || words.stream == stream.name) dump_stream(store, stream, words);
  }
  return kExitOk;
}

CLI::App* add_verb(CLI::App& parent, const char* name, const char* text, const std::shared_ptr<StoreWords>& words,
                   VerbRun& run, int (*work)(const StoreWords&)) {
  CLI::App* verb = parent.add_subcommand(name, text);
  verb->add_option("DIR", words->dir, "the store: 'store.dir' of the configuration")->required();
  verb->add_option("--key-file", words->key_file, "of an encrypted store: file with the key, as 'store.encryption.key_file'");
  verb->add_option("--previous-key-file", words->previous_key_file, "the same of the key before");
  verb->footer(kExitCodes);
  verb->callback([words, work, &run] { run = [words, work] { return work(*words); }; });
  return verb;
}

}  // namespace

void add_store_verbs(CLI::App& app, VerbRun& run) {
  CLI::App* store = app.add_subcommand("store", "Look into, check and mend a store directory while no daemon uses it.");
  store->require_subcommand(1);
  auto words = std::make_shared<StoreWords>();
  CLI::App* verify = add_verb(*store, "verify",
                              "Read every message and say what is damaged. Changes nothing, copies nothing.\n"
                              "  sluice store verify /var/lib/sluice && echo sound",
                              words, run, verify_verb);
  CLI::App* repair = add_verb(*store, "repair",
                              "Do what a start of the daemon would do, and turn damaged messages, which are lost, into gaps;\n"
                              "then verify again. Good messages are never touched. Keep a copy of DIR when in doubt.",
                              words, run, repair_verb);
  for (CLI::App* verb : {verify, repair}) {
    verb->add_flag("--json", words->json, "print the findings as JSON");
    verb->add_flag("-q,--quiet", words->quiet, "no progress bar");
  }
  CLI::App* dump = add_verb(*store, "dump",
                            "Print what is stored, one JSON object a line: each stream, then its messages. Bytes that are no\n"
                            "UTF-8 come as payload_base64. Changes nothing.\n"
                            "  sluice store dump /var/lib/sluice --stream ORDERS --subject 'orders.eu.>' | jq .payload",
                            words, run, dump_verb);
  dump->add_option("--stream", words->stream, "only this stream");
  dump->add_option("--subject", words->subject, "only messages whose subject matches (wildcards)")->capture_default_str();
  dump->add_option("--from", words->from, "first sequence");
  dump->add_option("--limit", words->limit, "at most so many messages of each stream; 0 = all");
  dump->add_flag("!--no-payload", words->payload, "sizes only");
}

}  // namespace sluice
