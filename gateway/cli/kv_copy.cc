// sluice kv export and import: a bucket as JSON lines. The first line names the format and the bucket's
// options; each other line is a revision, in the bucket's order.
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "gateway/cli/command_line.h"
#include "gateway/cli/kv_words.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kExportVersion = 1;
/// Base64 of the largest value and what stands around it.
constexpr size_t kMaxLine_bytes = kMaxKvValue_bytes / 3 * 4 + 4096;

struct FileCloser {
  void operator()(std::FILE* file) const {
    if (file != stdout && file != stdin) std::fclose(file);
  }
};
using File = std::unique_ptr<std::FILE, FileCloser>;

Result<File> open_file(const std::string& path, const char* mode) {
  const bool reading = *mode == 'r';
  if (path == "-") return File(reading ? stdin : stdout);
  File file(std::fopen(path.c_str(), mode));
  if (!file) return fail(Errc::kIo, fmt::format("'{}': {}", path, std::strerror(errno)));
  return file;
}

/// @return false at the end; kCorrupt for a line beyond the bound.
Result<bool> read_line(std::FILE* file, std::string& line) {
  line.clear();
  int c = 0;
  while ((c = std::getc(file)) != EOF && c != '\n') {
    line.push_back(static_cast<char>(c));
    if (line.size() > kMaxLine_bytes) return fail(Errc::kCorrupt, "a line is longer than any value could be");
  }
  if (std::ferror(file) != 0) return fail(Errc::kIo, std::strerror(errno));
  return c != EOF || !line.empty();
}

Status write_line(std::FILE* file, const Json& json) {
  const std::string line = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  if (std::fwrite(line.data(), 1, line.size(), file) != line.size()) return fail(Errc::kIo, std::strerror(errno));
  return {};
}

struct ImportedLine {
  std::string key;
  std::string value;
  KvOperation operation = KvOperation::kPut;
};

Result<ImportedLine> parse_line(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  const auto wrong = [](std::string_view why) { return fail(Errc::kCorrupt, std::string(why)); };
  if (!json.is_object()) return wrong("not a JSON object");
  if (!json.contains("key") || !json["key"].is_string()) return wrong("no 'key'");
  ImportedLine line{json["key"].get<std::string>(), {}, KvOperation::kPut};
  const std::string word = json.contains("operation") && json["operation"].is_string() ? json["operation"].get<std::string>() : "PUT";
  if (word == "DEL")
    line.operation = KvOperation::kDelete;
  else if (word == "PURGE")
    line.operation = KvOperation::kPurge;
  else if (word != "PUT")
    return wrong("'operation' is none of PUT, DEL, PURGE");
  if (line.operation != KvOperation::kPut) return line;
  if (!json.contains("value") || !json["value"].is_string()) return wrong("no 'value'");
  auto value = base64_decode(json["value"].get<std::string>());
  if (!value) return wrong("'value' is not base64");
  line.value = *std::move(value);
  return line;
}

Result<StreamSeq> store(Session& session, KvBucket& bucket, const ImportedLine& line, bool create_only) {
  return session.await<StreamSeq>([&](auto done) {
    switch (line.operation) {
      case KvOperation::kPut:
        break;
      case KvOperation::kDelete:
        return bucket.remove(line.key, std::nullopt, std::move(done));
      case KvOperation::kPurge:
        return bucket.purge(line.key, std::nullopt, std::chrono::nanoseconds(0), std::move(done));
    }
    if (create_only) return bucket.create(line.key, line.value, std::chrono::nanoseconds(0), std::move(done));
    return bucket.put(line.key, line.value, std::move(done));
  });
}

/// The bucket, made from the export's first line when that is wanted and it is missing.
Result<std::unique_ptr<KvBucket>> target_bucket(Session& session, const KvWords& words, const Json& head) {
  auto bucket = open_bucket<KvBucket>(session, words.bucket);
  if (bucket || !words.make_bucket || bucket.error().code != Errc::kNotFound) return bucket;
  const Json info = {{"config", head.value("config", Json::object())}, {"state", Json::object()}};
  auto exported = parse_kv_bucket(info.dump());
  if (!exported) return fail(Errc::kCorrupt, "line 1: no bucket options");
  exported->spec.bucket = words.bucket;
  exported->spec.mirror.clear();  // the copy stands on its own
  exported->spec.sources.clear();
  auto made = session.await<KvStatus>(
      [&](auto done) { return KvBucket::make(session.env(), session.client(), exported->spec, std::move(done)); });
  if (!made) return std::unexpected(made.error());
  return open_bucket<KvBucket>(session, words.bucket);
}

}  // namespace

int export_bucket(Session& session, const KvWords& words) {
  auto bucket = open_bucket<KvBucket>(session, words.bucket);
  if (!bucket) return complain(bucket.error());
  auto config = encode_kv_bucket((*bucket)->status().spec);
  if (!config) return complain(config.error());
  // A whole export takes the old one's place, a broken one does not.
  const std::string fresh = words.file == "-" ? words.file : words.file + ".new";
  auto file = open_file(fresh, "w");
  if (!file) return complain(file.error());
  Status written = write_line(file->get(), {{"sluice_kv_export", kExportVersion}, {"bucket", words.bucket}, {"config", Json::parse(*config)}});
  size_t count = 0;
  auto ended = follow(session, **bucket, {.history = words.with_history}, std::chrono::milliseconds(0), true, [&](const KvEntry& entry) {
    if (!written || (!words.with_history && entry.operation != KvOperation::kPut)) return;
    Json line = {{"key", entry.key},
                 {"operation", to_string(entry.operation)},
                 {"revision", entry.revision.value()},
                 {"created", format_rfc3339(entry.time)}};
    if (entry.operation == KvOperation::kPut) line["value"] = base64_encode(entry.value);
    written = write_line(file->get(), line);
    ++count;
  });
  if (!ended) return complain(ended.error());
  if (written && std::fflush(file->get()) != 0) written = fail(Errc::kIo, std::strerror(errno));
  if (!written) return complain(written.error());
  if (words.file == "-") return kExitOk;
  file->reset();
  if (std::rename(fresh.c_str(), words.file.c_str()) != 0) return complain(fmt::format("'{}': {}", words.file, std::strerror(errno)));
  std::printf("Exported %zu revisions of %s to %s\n", count, words.bucket.c_str(), words.file.c_str());
  return kExitOk;
}

int import_bucket(Session& session, const KvWords& words) {
  auto file = open_file(words.file, "r");
  if (!file) return complain(file.error());
  std::string text;
  auto more = read_line(file->get(), text);
  if (!more) return complain(more.error());
  const Json head = Json::parse(text, nullptr, false);
  if (!head.is_object() || head.value("sluice_kv_export", Json()) != kExportVersion)
    return complain(fmt::format("'{}' is not an export of 'sluice kv export', or of a newer version", words.file));
  auto bucket = target_bucket(session, words, head);
  if (!bucket) return complain(bucket.error());
  size_t stored = 0, skipped = 0;
  for (size_t number = 2;; ++number) {
    more = read_line(file->get(), text);
    if (!more) return complain(fmt::format("line {}: {}", number, more.error().detail));
    if (!*more) break;
    if (text.empty()) continue;
    auto line = parse_line(text);
    if (!line) return complain(fmt::format("line {}: {}; {} revisions before it are stored", number, line.error().detail, stored));
    auto revision = store(session, **bucket, *line, words.create_only);
    if (revision) {
      ++stored;
    } else if (words.create_only && revision.error().code == Errc::kExists) {
      ++skipped;
    } else {
      return complain(fmt::format("line {}: {}; {} revisions before it are stored", number, revision.error().detail, stored));
    }
  }
  std::printf("Imported %zu revisions into %s", stored, words.bucket.c_str());
  if (skipped != 0) std::printf(", %zu keys had a value and were left alone", skipped);
  std::printf("\n");
  return kExitOk;
}

}  // namespace sluice
