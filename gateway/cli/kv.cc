// sluice kv …: key-value buckets, on this daemon or any NATS JetStream.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "client/kv_names.h"
#include "config/units.h"
#include "gateway/cli/kv_words.h"
#include "gateway/cli/table.h"
#include "uv/signals.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;
using namespace std::chrono_literals;

constexpr size_t kMaxListedKeys = 10'000'000;

std::string dump(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace); }

/// "-" is standard input, whole.
Result<std::string> value_of(const KvWords& words) {
  if (words.value != "-") return words.value;
  std::string out;
  char chunk[65536];
  size_t got = 0;
  while ((got = std::fread(chunk, 1, sizeof chunk, stdin)) > 0) {
    out.append(chunk, got);
    if (out.size() > kMaxKvValue_bytes) return fail(Errc::kInvalidArgument, "the value on standard input is larger than 64 MiB");
  }
  return out;
}

Result<KvBucketSpec> spec_of(const KvWords& words) {
  KvBucketSpec spec{.history = words.history};
  if (Status filled = fill_spec(words, spec); !filled) return std::unexpected(filled.error());
  auto marker = read_time(words.marker_ttl, "--marker-ttl");
  auto value = read_size(words.max_value, "--max-value-size");
  if (!marker) return std::unexpected(marker.error());
  if (!value) return std::unexpected(value.error());
  spec.marker_ttl = *marker;
  spec.max_value_bytes = *value;
  if (!words.republish_destination.empty())
    spec.republish = KvRepublish{words.republish_source, words.republish_destination, words.republish_headers_only};
  spec.mirror = words.mirror;
  spec.sources = words.sources;
  return spec;
}

Json json_of(const KvStatus& status) {
  const KvBucketSpec& spec = status.spec;
  Json out = {{"bucket", spec.bucket},
              {"description", spec.description},
              {"history", spec.history},
              {"ttl_ns", spec.ttl.count()},
              {"marker_ttl_ns", spec.marker_ttl.count()},
              {"max_value_size", spec.max_value_bytes},
              {"max_bucket_size", spec.max_bytes},
              {"storage", spec.memory ? "memory" : "file"},
              {"compressed", spec.compress},
              {"replicas", spec.replicas},
              {"metadata", spec.metadata},
              {"mirror", spec.mirror},
              {"sources", spec.sources},
              {"values", status.values},
              {"keys", status.keys},
              {"bytes", status.bytes},
              {"last_revision", status.last_revision.value()},
              {"created", format_rfc3339(status.created)}};
  return out;
}

std::string limit_text(int64_t bytes) { return bytes < 0 ? "unlimited" : format_size(bytes); }
std::string age_text(std::chrono::nanoseconds age) { return age.count() == 0 ? "none" : format_go_duration(age); }

void print_status(const KvStatus& status) {
  const KvBucketSpec& spec = status.spec;
  std::printf("%s Key-Value Store\n\n", spec.bucket.c_str());
  const auto line = [](const char* name, const std::string& value) { std::printf("%17s: %s\n", name, value.c_str()); };
  if (!spec.description.empty()) line("Description", printable(spec.description));
  line("History", std::to_string(spec.history));
  line("TTL", age_text(spec.ttl));
  line("Limit Markers", age_text(spec.marker_ttl));
  line("Max Bucket Size", limit_text(spec.max_bytes));
  line("Max Value Size", limit_text(spec.max_value_bytes));
  line("Storage", fmt::format("{}{}", spec.memory ? "memory" : "file", spec.compress ? ", compressed" : ""));
  line("Replicas", std::to_string(spec.replicas));
  if (!spec.mirror.empty()) line("Mirror of", spec.mirror);
  if (!spec.sources.empty()) line("Sources", fmt::format("{}", fmt::join(spec.sources, ", ")));
  if (spec.republish) line("Republished to", spec.republish->destination);
  for (const auto& [key, value] : spec.metadata) line("Metadata", printable(key) + "=" + printable(value));
  line("Keys", std::to_string(status.keys));
  line("Values", std::to_string(status.values));
  line("Size", format_size(static_cast<int64_t>(status.bytes)));
  line("Last Revision", std::to_string(status.last_revision.value()));
  line("Created", format_rfc3339(status.created));
}

int add_bucket(Session& session, const KvWords& words) {
  auto spec = spec_of(words);
  if (!spec) return complain(spec.error());
  auto made = session.await<KvStatus>(
      [&](auto done) { return KvBucket::make(session.env(), session.client(), *spec, std::move(done)); });
  if (!made && made.error().code == Errc::kExists)
    return complain(fmt::format("the bucket '{}' is there already, with other options; 'sluice kv info {}' shows them", words.bucket, words.bucket));
  if (!made) return complain(made.error());
  if (words.json)
    std::printf("%s\n", dump(json_of(*made)).c_str());
  else
    print_status(*made);
  return kExitOk;
}

int show_bucket(KvBucket& bucket, const KvWords& words) {
  if (words.json)
    std::printf("%s\n", dump(json_of(bucket.status())).c_str());
  else
    print_status(bucket.status());
  return kExitOk;
}

Json entry_json(const KvEntry& entry) {
  return {{"key", entry.key},
          {"operation", to_string(entry.operation)},
          {"revision", entry.revision.value()},
          {"created", format_rfc3339(entry.time)},
          {"value", base64_encode(entry.value)}};
}

int print_entry(const Result<KvEntry>& entry, const KvWords& words) {
  if (!entry && entry.error().code == Errc::kNotFound)
    return complain(fmt::format("'{}' has no value{} in {}", words.key,
                                words.revision != 0 ? fmt::format(" of revision {}", words.revision) : "", words.bucket));
  if (!entry) return complain(entry.error());
  if (words.json) {
    std::printf("%s\n", dump(entry_json(*entry)).c_str());
  } else if (words.raw) {
    std::fwrite(entry->value.data(), 1, entry->value.size(), stdout);
  } else {
    std::printf("%s > %s revision %llu created @ %s\n\n%s\n", words.bucket.c_str(), entry->key.c_str(),
                static_cast<unsigned long long>(entry->revision.value()), format_rfc3339(entry->time).c_str(),
                printable(entry->value).c_str());
  }
  return kExitOk;
}

int get_key(Session& session, KvBucket& bucket, const KvWords& words) {
  return print_entry(session.await<KvEntry>([&](auto done) {
    return words.revision == 0 ? bucket.get(words.key, std::move(done))
                               : bucket.get_revision(words.key, StreamSeq(words.revision), std::move(done));
  }),
                     words);
}

int told_revision(const Result<StreamSeq>& revision, const KvWords& words, const char* what) {
  if (!revision) {
    if (revision.error().code == Errc::kExists)
      return complain(fmt::format("'{}' has a value in {} already; 'update' changes it", words.key, words.bucket));
    if (revision.error().api_code == 10071)
      return complain(fmt::format("'{}' is not at revision {} any more, nothing was changed: {}", words.key, words.revision,
                                  revision.error().detail));
    return complain(revision.error());
  }
  if (words.json)
    std::printf("%s\n", Json{{"key", words.key}, {"revision", revision->value()}}.dump().c_str());
  else
    std::printf("%s %s, new revision %llu\n", what, words.key.c_str(), static_cast<unsigned long long>(revision->value()));
  return kExitOk;
}

int put_key(Session& session, KvBucket& bucket, const KvWords& words) {
  auto value = value_of(words);
  if (!value) return complain(value.error());
  auto revision = session.await<StreamSeq>([&](auto done) { return bucket.put(words.key, *value, std::move(done)); });
  if (!revision || words.json) return told_revision(revision, words, "Put");
  std::printf("%s\n", printable(*value).c_str());
  return kExitOk;
}

int create_key(Session& session, KvBucket& bucket, const KvWords& words) {
  auto value = value_of(words);
  auto ttl = read_time(words.ttl, "--ttl");
  if (!value) return complain(value.error());
  if (!ttl) return complain(ttl.error());
  return told_revision(session.await<StreamSeq>([&](auto done) { return bucket.create(words.key, *value, *ttl, std::move(done)); }),
                       words, "Created");
}

int update_key(Session& session, KvBucket& bucket, const KvWords& words) {
  auto value = value_of(words);
  if (!value) return complain(value.error());
  return told_revision(session.await<StreamSeq>([&](auto done) {
    return bucket.update(words.key, *value, StreamSeq(words.revision), std::move(done));
  }),
                       words, "Updated");
}

std::optional<StreamSeq> expected_of(const KvWords& words) {
  if (words.revision == 0) return std::nullopt;
  return StreamSeq(words.revision);
}

int delete_key(Session& session, KvBucket& bucket, const KvWords& words) {
  if (!words.force && !confirm(fmt::format("Delete {} from {}?", words.key, words.bucket))) return kExitFailure;
  return told_revision(session.await<StreamSeq>([&](auto done) { return bucket.remove(words.key, expected_of(words), std::move(done)); }),
                       words, "Deleted");
}

int purge_key(Session& session, KvBucket& bucket, const KvWords& words) {
  auto ttl = read_time(words.marker_ttl, "--marker-ttl");
  if (!ttl) return complain(ttl.error());
  if (!words.force && !confirm(fmt::format("Purge {} and its history from {}?", words.key, words.bucket))) return kExitFailure;
  return told_revision(
      session.await<StreamSeq>([&](auto done) { return bucket.purge(words.key, expected_of(words), *ttl, std::move(done)); }), words,
      "Purged");
}

int show_history(Session& session, KvBucket& bucket, const KvWords& words) {
  auto entries = session.await<std::vector<KvEntry>>([&](auto done) { return bucket.history(words.key, std::move(done)); });
  if (!entries) return complain(entries.error());
  if (words.json) {
    Json out = Json::array();
    for (const KvEntry& entry : *entries) out.push_back(entry_json(entry));
    std::printf("%s\n", dump(out).c_str());
    return kExitOk;
  }
  if (entries->empty()) return complain(fmt::format("'{}' has no history in {}", words.key, words.bucket));
  TextTable table({"Revision", "Operation", "Created", "Length", "Value"});
  for (const KvEntry& entry : *entries) {
    std::string value = printable(entry.value.substr(0, 64));
    if (entry.value.size() > 64) value += "…";
    table.add({std::to_string(entry.revision.value()), std::string(to_string(entry.operation)), format_rfc3339(entry.time),
               std::to_string(entry.value.size()), value});
  }
  std::printf("%s", table.text().c_str());
  return kExitOk;
}

int list_keys(Session& session, KvBucket& bucket, const KvWords& words) {
  auto keys = session.await<std::vector<std::string>>(
      [&](auto done) { return bucket.keys(words.filters.empty() ? "" : words.filters[0], kMaxListedKeys, std::move(done)); });
  if (!keys) return complain(keys.error());
  if (words.json) {
    std::printf("%s\n", dump(Json(*keys)).c_str());
    return kExitOk;
  }
  for (const std::string& key : *keys) std::printf("%s\n", key.c_str());
  return kExitOk;
}

int list_buckets(Session& session, const KvWords& words) {
  std::vector<KvStatus> buckets;
  for (size_t offset = 0;;) {
    auto page = session.api("STREAM.LIST", "", Json{{"offset", offset}, {"subject", "$KV.>"}}.dump());
    if (!page) return complain(page.error());
    const Json root = Json::parse(*page, nullptr, false);
    const Json streams = root.value("streams", Json());
    if (!streams.is_array() || streams.empty()) break;
    for (const Json& stream : streams) {
      auto status = parse_kv_bucket(stream.dump());
      if (status) buckets.push_back(*std::move(status));
    }
    offset += streams.size();
    if (offset >= root.value("total", size_t{0})) break;
  }
  if (words.json) {
    Json out = Json::array();
    for (const KvStatus& status : buckets) out.push_back(json_of(status));
    std::printf("%s\n", dump(out).c_str());
    return kExitOk;
  }
  if (buckets.empty()) {
    std::printf("No key-value buckets\n");
    return kExitOk;
  }
  TextTable table({"Bucket", "History", "TTL", "Keys", "Values", "Size"});
  for (const KvStatus& status : buckets)
    table.add({status.spec.bucket, std::to_string(status.spec.history), age_text(status.spec.ttl), std::to_string(status.keys),
               std::to_string(status.values), format_size(static_cast<int64_t>(status.bytes))});
  std::printf("%s", table.text().c_str());
  return kExitOk;
}

int remove_bucket(Session& session, KvBucket& bucket, const KvWords& words) {
  if (!words.force &&
      !confirm(fmt::format("Delete the bucket {} with its {} values?", words.bucket, bucket.status().values)))
    return kExitFailure;
  auto gone = session.api("STREAM.DELETE", kv_stream(words.bucket));
  if (!gone) return complain(gone.error());
  std::printf("Deleted the bucket %s\n", words.bucket.c_str());
  return kExitOk;
}

int watch_keys(Session& session, KvBucket& bucket, const KvWords& words) {
  auto limit = read_time(words.timeout, "--timeout");
  if (!limit) return complain(limit.error());
  bool told = false;
  KvWatchOptions options{.filters = words.filters, .history = words.with_history, .updates_only = words.updates_only};
  auto ended = follow(session, bucket, std::move(options), std::chrono::duration_cast<std::chrono::milliseconds>(*limit), words.once,
                      [&](const KvEntry& entry) {
                        told = true;
                        if (words.json)
                          std::printf("%s\n", entry_json(entry).dump().c_str());
                        else
                          std::printf("[%s] %s %s.%s: %s\n", format_rfc3339(entry.time).c_str(),
                                      std::string(to_string(entry.operation)).c_str(), words.bucket.c_str(), entry.key.c_str(),
                                      printable(entry.value).c_str());
                        std::fflush(stdout);
                      });
  if (!ended) return complain(ended.error());
  return words.once && !told ? kExitFailure : kExitOk;
}

using Verb = BucketVerb<KvWords, KvBucket>;
constexpr const char* kAsJson = "as JSON, values in base64";

void add_key(Verb& verb) { verb.app->add_option("KEY", verb.words->key, "key")->required(); }
void add_value(Verb& verb) { verb.app->add_option("VALUE", verb.words->value, "value; - reads standard input")->required(); }
void add_filters(Verb& verb, const char* sentence) { verb.app->add_option("KEY", verb.words->filters, sentence); }

void add_kv_bucket_options(CLI::App& add, KvWords& words) {
  add_bucket_options(add, words, "a value ends after this time");
  add.add_option("--history", words.history, "revisions kept of a key, 1 to 64")->capture_default_str();
  add.add_option("--marker-ttl", words.marker_ttl, "values that end leave a marker for this time; single keys may have a TTL");
  add.add_option("--max-value-size", words.max_value, "largest value");
  add.add_option("--republish-source", words.republish_source, "of what is stored, republish these subjects [all]");
  add.add_option("--republish-destination", words.republish_destination, "subject to republish to");
  add.add_flag("--republish-headers", words.republish_headers_only, "republish headers only");
  add.add_option("--mirror", words.mirror, "be a mirror of this bucket (BUCKET or DOMAIN/BUCKET)");
  add.add_option("--source", words.sources, "copy this bucket's keys into this one, repeatable");
}

}  // namespace

template <>
Result<std::unique_ptr<KvBucket>> open_bucket(Session& session, const std::string& name) {
  auto bucket = session.await<std::unique_ptr<KvBucket>>(
      [&](auto done) { return KvBucket::open(session.env(), session.client(), name, session.api_prefix(), std::move(done)); });
  if (!bucket && bucket.error().code == Errc::kNotFound)
    return fail(Errc::kNotFound, fmt::format("there is no bucket '{}'; make it with: sluice kv add {}", name, name));
  return bucket;
}

Status follow(Session& session, KvBucket& bucket, KvWatchOptions options, std::chrono::milliseconds limit, bool stop_when_current,
              const std::function<void(const KvEntry&)>& tell) {
  bool over = false;
  std::optional<Error> trouble;
  auto watch = bucket.watch(std::move(options), {.on_entry = tell,
                                                 .on_current = [&] { over = over || stop_when_current; },
                                                 .on_trouble = [&](const Error& why) { trouble = why; }});
  Signals signals(session.loop(), {SIGINT, SIGTERM}, [&](int) { over = true; });
  const auto done = [&] { return over || trouble; };
  if (limit.count() != 0)
    (void)session.loop().run_until(done, limit);
  else
    while (!done()) (void)session.loop().run_until(done, 1h);
  watch.reset();
  // Its consumer's end goes out before the process does: wait for a round trip.
  if (!trouble) (void)session.api("INFO", "");
  if (trouble) return std::unexpected(*trouble);
  return {};
}

void add_kv_verbs(CLI::App& app, VerbRun& run) {
  CLI::App* kv = app.add_subcommand("kv", "Key-value buckets: make them, read, write and watch their keys.");
  kv->require_subcommand(1);
  auto words = std::make_shared<KvWords>();
  const auto add_verb = [&](const char* name, const char* sentence, bool with_bucket = true) {
    return Verb::add(*kv, name, sentence, words, with_bucket);
  };
  const auto add_key_verb = [&](const char* name, const char* sentence, bool with_value = false) {
    Verb verb = add_verb(name, sentence);
    add_key(verb);
    if (with_value) add_value(verb);
    return verb.json(kAsJson);
  };

  Verb add = add_verb("add", "Make a bucket.");
  add_kv_bucket_options(*add.app, *words);
  add.json(kAsJson).runs(run, &add_bucket);
  Verb info = add_verb("info", "Show a bucket's options and figures.");
  info.app->alias("status");
  info.json(kAsJson).runs(run, [](Session&, KvBucket& bucket, const KvWords& w) { return show_bucket(bucket, w); });

  add_key_verb("put", "Set a key's value.", true).runs(run, &put_key);
  Verb get = add_key_verb("get", "Show a key's value.");
  get.app->add_flag("--raw", words->raw, "the value's bytes, nothing else");
  get.app->add_option("--revision", words->revision, "an older revision");
  get.runs(run, &get_key);
  Verb create = add_key_verb("create", "Set a key that has no value yet.", true);
  create.app->add_option("--ttl", words->ttl, "the value ends after this time; needs a bucket with --marker-ttl");
  create.runs(run, &create_key);
  Verb update = add_key_verb("update", "Set a key's value if its last revision is REVISION.", true);
  update.app->add_option("REVISION", words->revision, "last revision, as get shows it")->required();
  update.runs(run, &update_key);
  Verb del = add_key_verb("del", "Delete a key; its history stays.").force();
  del.app->add_option("--revision", words->revision, "only if this is its last revision");
  del.runs(run, &delete_key);
  Verb purge = add_key_verb("purge", "Delete a key with its history.").force();
  purge.app->add_option("--revision", words->revision, "only if this is its last revision");
  purge.app->add_option("--marker-ttl", words->marker_ttl, "the marker goes away after this time");
  purge.runs(run, &purge_key);
  add_key_verb("history", "Show the revisions kept of a key.").runs(run, &show_history);
  Verb watch = add_verb("watch", "Show keys and their changes as they come.").json(kAsJson);
  add_filters(watch, "keys, wildcards allowed [all]");
  watch.app->add_flag("--once", words->once, "show what stands there and end; exit 1 when nothing does");
  watch.app->add_option("--timeout", words->timeout, "end after this time");
  watch.app->add_flag("--history", words->with_history, "begin with all revisions kept");
  watch.app->add_flag("--updates-only", words->updates_only, "nothing of what stands there now");
  watch.runs(run, &watch_keys);
  Verb keys = add_verb("keys", "List a bucket's keys.").json(kAsJson);
  add_filters(keys, "only keys that match, wildcards allowed");
  keys.runs(run, &list_keys);

  add_verb("ls", "List the buckets, or with BUCKET its keys.", false).json(kAsJson).lists(run, &list_buckets, &list_keys);
  add_verb("rm", "Delete a bucket with all that is in it.").force().runs(run, &remove_bucket);

  Verb out = add_verb("export", "Write a bucket's keys to FILE as JSON lines.");
  out.app->add_option("FILE", words->file, "file; - is standard output")->capture_default_str();
  out.app->add_flag("--history", words->with_history, "all revisions kept, with deletions");
  out.runs(run, &export_bucket);
  Verb in = add_verb("import", "Put the keys that 'export' wrote into a bucket.");
  in.app->add_option("FILE", words->file, "file; - is standard input")->capture_default_str();
  in.app->add_flag("--create-only", words->create_only, "leave keys alone that have a value");
  in.app->add_flag("--make-bucket", words->make_bucket, "make the bucket when it is missing, with the exported one's options");
  in.runs(run, &import_bucket);
}

}  // namespace sluice
