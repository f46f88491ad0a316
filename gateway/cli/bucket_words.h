// What `sluice kv` and `sluice object` lines have in common: a bucket's options, and a verb that runs with an opened bucket.
#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "gateway/cli/command_line.h"
#include "gateway/cli/session.h"
#include "gateway/cli/verbs.h"

namespace sluice {

struct BucketWords {
  std::string bucket;
  std::string description;
  std::string ttl;
  std::string max_bucket;
  std::string storage = "file";
  std::string cluster;
  std::vector<std::string> tags, metadata;
  int replicas = 1;
  bool compress = false;
  bool force = false;
  bool json = false;
  bool once = false;
  bool updates_only = false;
};

/// KEY=VALUE, one each.
Result<std::map<std::string, std::string>> read_pairs(const std::vector<std::string>& words, const char* what);
/// "-1" or nothing = no limit.
Result<int64_t> read_size(const std::string& text, const char* what);
/// Nothing = 0.
Result<std::chrono::nanoseconds> read_time(const std::string& text, const char* what);

/// The options of a new bucket that are every bucket's.
void add_bucket_options(CLI::App& add, BucketWords& words, const char* what_ttl_ends);

/// Writes them into a KvBucketSpec or an ObjectBucketSpec.
template <class Spec>
Status fill_spec(const BucketWords& words, Spec& spec) {
  auto ttl = read_time(words.ttl, "--ttl");
  if (!ttl) return std::unexpected(ttl.error());
  auto size = read_size(words.max_bucket, "--max-bucket-size");
  if (!size) return std::unexpected(size.error());
  auto metadata = read_pairs(words.metadata, "--metadata");
  if (!metadata) return std::unexpected(metadata.error());
  spec.bucket = words.bucket;
  spec.description = words.description;
  spec.ttl = *ttl;
  spec.max_bytes = *size;
  spec.metadata = *std::move(metadata);
  spec.memory = words.storage == "memory";
  spec.compress = words.compress;
  spec.replicas = words.replicas;
  spec.placement_cluster = words.cluster;
  spec.placement_tags = words.tags;
  return {};
}

/// The bucket, or why not: a missing one is told with how to make it. Of KvBucket and ObjectBucket.
template <class Bucket>
Result<std::unique_ptr<Bucket>> open_bucket(Session& session, const std::string& name);

/// A verb of the command line: its sentence, and what runs with the opened bucket.
template <class Words, class Bucket>
struct BucketVerb {
  CLI::App* app;
  std::shared_ptr<Words> words;
  std::shared_ptr<SessionOptions> where;

  static BucketVerb add(CLI::App& parent, const char* name, const char* sentence, std::shared_ptr<Words> words, bool with_bucket = true) {
    BucketVerb verb{parent.add_subcommand(name, sentence), std::move(words), nullptr};
    verb.where = add_session_options(*verb.app);
    if (with_bucket) verb.app->add_option("BUCKET", verb.words->bucket, "bucket")->required();
    return verb;
  }
  BucketVerb& json(const char* sentence = "as JSON") {
    app->add_flag("--json", words->json, sentence);
    return *this;
  }
  BucketVerb& force() {
    app->add_flag("-f,--force", words->force, "do not ask");
    return *this;
  }
  void runs(VerbRun& run, int (*work)(Session&, Bucket&, const Words&)) {
    app->callback([w = words, at = where, work, &run] {
      run = [w, at, work] { return with_session(*at, [&](Session& session) { return opened(session, *w, work); }); };
    });
  }
  /// Without an opened bucket.
  void runs(VerbRun& run, int (*work)(Session&, const Words&)) {
    app->callback([w = words, at = where, work, &run] {
      run = [w, at, work] { return with_session(*at, [&](Session& session) { return work(session, *w); }); };
    });
  }
  /// `all` without a bucket's name, `one` with it.
  void lists(VerbRun& run, int (*all)(Session&, const Words&), int (*one)(Session&, Bucket&, const Words&)) {
    app->alias("list");
    app->add_option("BUCKET", words->bucket, "bucket");
    app->callback([w = words, at = where, all, one, &run] {
      run = [w, at, all, one] {
        return with_session(*at, [&](Session& session) { return w->bucket.empty() ? all(session, *w) : opened(session, *w, one); });
      };
    });
  }

 private:
  static int opened(Session& session, const Words& words, int (*work)(Session&, Bucket&, const Words&)) {
    auto bucket = open_bucket<Bucket>(session, words.bucket);
    return bucket ? work(session, **bucket, words) : complain(bucket.error());
  }
};

}  // namespace sluice
