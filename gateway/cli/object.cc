// sluice object …: object stores, on this daemon or any NATS JetStream.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "config/units.h"
#include "gateway/cli/object_words.h"
#include "gateway/cli/table.h"
#include "uv/signals.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;
using namespace std::chrono_literals;

constexpr size_t kMaxListedObjects = 1'000'000;

std::string dump(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace); }

Result<ObjectBucketSpec> spec_of(const ObjectWords& words) {
  ObjectBucketSpec spec;
  if (Status filled = fill_spec(words, spec); !filled) return std::unexpected(filled.error());
  return spec;
}

Json json_of(const ObjectBucketStatus& status) {
  const ObjectBucketSpec& spec = status.spec;
  return {{"bucket", spec.bucket},
          {"description", spec.description},
          {"ttl_ns", spec.ttl.count()},
          {"max_bucket_size", spec.max_bytes},
          {"storage", spec.memory ? "memory" : "file"},
          {"compressed", spec.compress},
          {"replicas", spec.replicas},
          {"metadata", spec.metadata},
          {"sealed", status.sealed},
          {"bytes", status.bytes},
          {"created", format_rfc3339(status.created)}};
}

Json json_of(const ObjectInfo& info) {
  Json out = {{"bucket", info.bucket},       {"name", info.meta.name},         {"description", info.meta.description},
              {"size", info.size},           {"chunks", info.chunks},          {"digest", info.digest},
              {"headers", info.meta.headers}, {"metadata", info.meta.metadata}, {"deleted", info.deleted},
              {"modified", format_rfc3339(info.modified)}};
  if (info.link) out["link"] = {{"bucket", info.link->bucket}, {"name", info.link->object}};
  return out;
}

void print_line(const char* name, const std::string& value) { std::printf("%17s: %s\n", name, value.c_str()); }

int print_bucket(const Result<ObjectBucketStatus>& status, const ObjectWords& words) {
  if (!status) return complain(status.error());
  if (words.json) {
    std::printf("%s\n", dump(json_of(*status)).c_str());
    return kExitOk;
  }
  const ObjectBucketSpec& spec = status->spec;
  std::printf("%s Object Store\n\n", spec.bucket.c_str());
  if (!spec.description.empty()) print_line("Description", printable(spec.description));
  print_line("TTL", spec.ttl.count() == 0 ? "none" : format_go_duration(spec.ttl));
  print_line("Max Bucket Size", spec.max_bytes < 0 ? "unlimited" : format_size(spec.max_bytes));
  print_line("Storage", fmt::format("{}{}", spec.memory ? "memory" : "file", spec.compress ? ", compressed" : ""));
  print_line("Replicas", std::to_string(spec.replicas));
  for (const auto& [key, value] : spec.metadata) print_line("Metadata", printable(key) + "=" + printable(value));
  print_line("Sealed", status->sealed ? "yes" : "no");
  print_line("Size", format_size(static_cast<int64_t>(status->bytes)));
  print_line("Created", format_rfc3339(status->created));
  return kExitOk;
}

int add_bucket(Session& session, const ObjectWords& words) {
  auto spec = spec_of(words);
  if (!spec) return complain(spec.error());
  auto made = session.await<ObjectBucketStatus>(
      [&](auto done) { return ObjectBucket::make(session.env(), session.client(), *spec, std::move(done)); });
  if (!made && made.error().code == Errc::kExists)
    return complain(fmt::format("the bucket '{}' is there already, with other options; 'sluice object info {}' shows them", words.bucket, words.bucket));
  return print_bucket(made, words);
}

int show(Session& session, ObjectBucket& bucket, const ObjectWords& words) {
  if (words.object.empty()) return print_bucket(bucket.status(), words);
  auto info = session.await<ObjectInfo>([&](auto done) { return bucket.info(words.object, words.deleted, std::move(done)); });
  if (!info && info.error().code == Errc::kNotFound)
    return complain(fmt::format("there is no object '{}' in {}", printable(words.object), words.bucket));
  if (!info) return complain(info.error());
  print_object(*info, words.json);
  return kExitOk;
}

int list_objects(Session& session, ObjectBucket& bucket, const ObjectWords& words) {
  auto found = session.await<std::vector<ObjectInfo>>(
      [&](auto done) { return bucket.list(words.deleted, kMaxListedObjects, std::move(done)); });
  if (!found) return complain(found.error());
  if (words.json) {
    Json out = Json::array();
    for (const ObjectInfo& info : *found) out.push_back(json_of(info));
    std::printf("%s\n", dump(out).c_str());
    return kExitOk;
  }
  if (found->empty()) {
    std::printf("No objects in %s\n", words.bucket.c_str());
    return kExitOk;
  }
  TextTable table({"Name", "Size", "Modified", ""});
  for (const ObjectInfo& info : *found) {
    std::string note = info.deleted ? "deleted" : "";
    if (info.link) note = printable(fmt::format("link to {}/{}", info.link->bucket, info.link->object));
    table.add({printable(info.meta.name), format_size(static_cast<int64_t>(info.size)), format_rfc3339(info.modified), note});
  }
  std::printf("%s", table.text().c_str());
  return kExitOk;
}

int list_buckets(Session& session, const ObjectWords& words) {
  std::vector<ObjectBucketStatus> buckets;
  for (size_t offset = 0;;) {
    auto page = session.api("STREAM.LIST", "", Json{{"offset", offset}, {"subject", "$O.>"}}.dump());
    if (!page) return complain(page.error());
    const Json root = Json::parse(*page, nullptr, false);
    const Json streams = root.value("streams", Json());
    if (!streams.is_array() || streams.empty()) break;
    for (const Json& stream : streams)
      if (auto status = parse_object_bucket(stream.dump())) buckets.push_back(*std::move(status));
    offset += streams.size();
    if (offset >= root.value("total", size_t{0})) break;
  }
  if (words.json) {
    Json out = Json::array();
    for (const ObjectBucketStatus& status : buckets) out.push_back(json_of(status));
    std::printf("%s\n", dump(out).c_str());
    return kExitOk;
  }
  if (buckets.empty()) {
    std::printf("No object stores\n");
    return kExitOk;
  }
  TextTable table({"Bucket", "Sealed", "Size", "Description"});
  for (const ObjectBucketStatus& status : buckets)
    table.add({status.spec.bucket, status.sealed ? "yes" : "no", format_size(static_cast<int64_t>(status.bytes)),
               printable(status.spec.description)});
  std::printf("%s", table.text().c_str());
  return kExitOk;
}

/// With OBJECT that one, else the bucket with all that is in it.
int remove_words(Session& session, ObjectBucket& bucket, const ObjectWords& words) {
  const std::string what = words.object.empty() ? "the bucket " + words.bucket + " with all its objects"
                                                : printable(words.object) + " from " + words.bucket;
  if (!words.force && !confirm("Delete " + what + "?")) return kExitFailure;
  if (words.object.empty()) {
    auto gone = session.api("STREAM.DELETE", object_stream(words.bucket));
    if (!gone) return complain(gone.error());
  } else {
    auto gone = session.await<ObjectInfo>([&](auto done) { return bucket.remove(words.object, std::move(done)); });
    if (!gone) return complain(gone.error());
  }
  std::printf("Deleted %s\n", what.c_str());
  return kExitOk;
}

int seal_bucket(Session& session, ObjectBucket& bucket, const ObjectWords& words) {
  if (!words.force && !confirm(fmt::format("Seal {}? Nothing in it can be changed or deleted any more.", words.bucket)))
    return kExitFailure;
  return print_bucket(session.await<ObjectBucketStatus>([&](auto done) { return bucket.seal(std::move(done)); }), words);
}

/// TARGET is OBJECT, BUCKET/OBJECT or BUCKET/.
int link_object(Session& session, ObjectBucket& bucket, const ObjectWords& words) {
  const size_t slash = words.target.find('/');
  const std::string place = slash == std::string::npos ? words.bucket : words.target.substr(0, slash);
  const std::string target = slash == std::string::npos ? words.target : words.target.substr(slash + 1);
  Result<ObjectInfo> made = fail(Errc::kClosed, "");
  if (target.empty()) {
    made = session.await<ObjectInfo>([&](auto done) { return bucket.link_bucket(words.object, place, std::move(done)); });
  } else {
    auto other = open_bucket<ObjectBucket>(session, place);
    if (!other) return complain(other.error());
    auto info = session.await<ObjectInfo>([&](auto done) { return (*other)->info(target, false, std::move(done)); });
    if (!info) return complain(fmt::format("{}/{}: {}", place, printable(target), info.error().detail));
    made = session.await<ObjectInfo>([&](auto done) { return bucket.link(words.object, *info, std::move(done)); });
  }
  if (!made) return complain(made.error());
  print_object(*made, words.json);
  return kExitOk;
}

int watch_objects(Session& session, ObjectBucket& bucket, const ObjectWords& words) {
  bool over = false;
  std::optional<Error> trouble;
  Signals signals(session.loop(), {SIGINT, SIGTERM}, [&](int) { over = true; });
  {
    auto watch = bucket.watch(words.updates_only, {.on_object =
                                                       [&](const ObjectInfo& info) {
                                                         if (words.json)
                                                           std::printf("%s\n", json_of(info).dump().c_str());
                                                         else
                                                           std::printf("[%s] %s %s/%s: %s\n", format_rfc3339(info.modified).c_str(),
                                                                       info.deleted ? "DEL" : "PUT", words.bucket.c_str(),
                                                                       printable(info.meta.name).c_str(),
                                                                       format_size(static_cast<int64_t>(info.size)).c_str());
                                                         std::fflush(stdout);
                                                       },
                                                   .on_current = [&] { over = over || words.once; },
                                                   .on_trouble = [&](const Error& why) { trouble = why; }});
    const auto done = [&] { return over || trouble; };
    while (!done()) (void)session.loop().run_until(done, 1h);
  }
  if (trouble) return complain(*trouble);
  // The consumer's end goes out before the process does: wait for a round trip.
  (void)session.api("INFO", "");
  return kExitOk;
}

using Verb = BucketVerb<ObjectWords, ObjectBucket>;

void add_quiet(Verb& verb) { verb.app->add_flag("-q,--quiet", verb.words->quiet, "no progress bar"); }

}  // namespace

template <>
Result<std::unique_ptr<ObjectBucket>> open_bucket(Session& session, const std::string& name) {
  auto bucket = session.await<std::unique_ptr<ObjectBucket>>(
      [&](auto done) { return ObjectBucket::open(session.env(), session.client(), name, std::move(done)); });
  if (!bucket && bucket.error().code == Errc::kNotFound)
    return fail(Errc::kNotFound, fmt::format("there is no bucket '{}'; make it with: sluice object add {}", name, name));
  return bucket;
}

void print_object(const ObjectInfo& info, bool json) {
  if (json) {
    std::printf("%s\n", dump(json_of(info)).c_str());
    return;
  }
  std::printf("Object %s in %s\n\n", printable(info.meta.name).c_str(), info.bucket.c_str());
  if (!info.meta.description.empty()) print_line("Description", printable(info.meta.description));
  if (info.link) {
    print_line("Link to", printable(fmt::format("{}/{}", info.link->bucket, info.link->object)));
  } else {
    print_line("Size", format_size(static_cast<int64_t>(info.size)));
    print_line("Chunks", std::to_string(info.chunks));
    print_line("Digest", printable(info.digest));
  }
  for (const auto& [name, values] : info.meta.headers)
    for (const std::string& value : values) print_line("Header", printable(name) + ": " + printable(value));
  for (const auto& [key, value] : info.meta.metadata) print_line("Metadata", printable(key) + "=" + printable(value));
  print_line("Modified", format_rfc3339(info.modified));
  if (info.deleted) print_line("Deleted", "yes");
}

void add_object_verbs(CLI::App& app, VerbRun& run) {
  CLI::App* object = app.add_subcommand("object", "Object stores: put files of any size into buckets, get and watch them.");
  object->alias("obj");
  object->require_subcommand(1);
  auto words = std::make_shared<ObjectWords>();
  const auto add_verb = [&](const char* name, const char* sentence, bool with_bucket = true) {
    return Verb::add(*object, name, sentence, words, with_bucket);
  };

  Verb add = add_verb("add", "Make a bucket.");
  add_bucket_options(*add.app, *words, "objects end after this time");
  add.json().runs(run, &add_bucket);
  Verb put = add_verb("put", "Put a file into a bucket.").json().force();
  add_quiet(put);
  put.app->add_option("FILE", words->file, "file; - is standard input")->required();
  put.app->add_option("--name", words->object, "the object's name [the file's]");
  put.app->add_option("--description", words->description, "what it is");
  put.app->add_option("--header", words->headers, "KEY=VALUE, repeatable");
  put.app->add_option("--metadata", words->metadata, "KEY=VALUE, repeatable");
  put.app->add_option("--chunk-size", words->chunk_size, "bytes of a message [128KiB]");
  put.runs(run, &put_object);
  Verb get = add_verb("get", "Get an object; the file appears once its digest was found right.").force();
  add_quiet(get);
  get.app->add_option("OBJECT", words->object, "object")->required();
  get.app->add_option("-O,--output", words->output, "file [the object's name]; - is standard output, where only the exit code tells of damage");
  get.runs(run, &get_object);
  Verb info = add_verb("info", "Show a bucket, or with OBJECT that object.").json();
  info.app->alias("status");
  info.app->add_option("OBJECT", words->object, "object");
  info.app->add_flag("--deleted", words->deleted, "also what was deleted");
  info.runs(run, &show);
  Verb rm = add_verb("rm", "Delete an object, or without OBJECT the bucket.").force();
  rm.app->add_option("OBJECT", words->object, "object");
  rm.runs(run, &remove_words);
  Verb watch = add_verb("watch", "Show objects and their changes as they come.").json();
  watch.app->add_flag("--once", words->once, "show what stands there and end");
  watch.app->add_flag("--updates-only", words->updates_only, "nothing of what stands there now");
  watch.runs(run, &watch_objects);
  add_verb("seal", "Let nothing in a bucket be changed any more, for ever.").force().json().runs(run, &seal_bucket);
  Verb link = add_verb("link", "Let a name stand for another object or bucket.").json();
  link.app->add_option("NAME", words->object, "the link's name")->required();
  link.app->add_option("TARGET", words->target, "OBJECT, BUCKET/OBJECT, or BUCKET/ for a whole bucket")->required();
  link.runs(run, &link_object);
  Verb ls = add_verb("ls", "List the buckets, or with BUCKET its objects.", false).json();
  ls.app->add_flag("--deleted", words->deleted, "also what was deleted");
  ls.lists(run, &list_buckets, &list_objects);
}

}  // namespace sluice
