#include "gateway/cli/bucket_words.h"

#include <fmt/format.h>

#include "config/units.h"

namespace sluice {

Result<std::map<std::string, std::string>> read_pairs(const std::vector<std::string>& words, const char* what) {
  std::map<std::string, std::string> out;
  for (const std::string& pair : words) {
    const size_t equals = pair.find('=');
    if (equals == std::string::npos || equals == 0)
      return fail(Errc::kInvalidArgument, fmt::format("{}: '{}' is not KEY=VALUE", what, pair));
    out[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  return out;
}

Result<int64_t> read_size(const std::string& text, const char* what) {
  if (text.empty() || text == "-1") return -1;
  auto size = parse_size(text);
  if (!size || *size < 0) return fail(Errc::kInvalidArgument, fmt::format("{}: '{}' is no size, as 512 or 1MiB", what, text));
  return *size;
}

Result<std::chrono::nanoseconds> read_time(const std::string& text, const char* what) {
  if (text.empty()) return std::chrono::nanoseconds(0);
  auto time = parse_time(text);
  if (!time || time->count() < 0) return fail(Errc::kInvalidArgument, fmt::format("{}: '{}' is no time, as 30s or 1h", what, text));
  return *time;
}

void add_bucket_options(CLI::App& add, BucketWords& words, const char* what_ttl_ends) {
  add.add_option("--description", words.description, "what it is for");
  add.add_option("--ttl", words.ttl, what_ttl_ends);
  add.add_option("--max-bucket-size", words.max_bucket, "largest bucket");
  add.add_option("--storage", words.storage, "file or memory")->check(CLI::IsMember({"file", "memory"}))->capture_default_str();
  add.add_flag("--compress", words.compress, "compress what is stored");
  add.add_option("--replicas", words.replicas, "copies in a cluster, 1 to 5")->capture_default_str();
  add.add_option("--cluster", words.cluster, "place it in this cluster");
  add.add_option("--tags", words.tags, "place it on servers with these tags");
  add.add_option("--metadata", words.metadata, "KEY=VALUE, repeatable");
}

}  // namespace sluice
