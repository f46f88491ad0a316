#include "config/replicator_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace sluice {
namespace {

constexpr std::string_view kBucketCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

using Tell = std::function<void(const std::string& path, std::string text)>;

/// A whole section replaces the one further out; null when there is none.
template <class T>
const T* innermost(const std::optional<T>& own, const std::optional<T>& of_stream, const std::optional<T>& of_all) {
  return own ? &*own : of_stream ? &*of_stream : of_all ? &*of_all : nullptr;
}

void take_tls(LinkOptions& link, const TlsFiles* files) {
  if (files == nullptr || link.embedded()) return;
  link.tls_ca_file = files->ca;
  link.tls_cert_file = files->cert;
  link.tls_key_file = files->key;
}

/// Choria's brokers have certificates that no authority of the system knows: without TLS files of our own who answers is not verified.
void take_choria(LinkOptions& link, const ChoriaLogin* login) {
  if (login == nullptr || link.embedded()) return;
  link.choria_token_file = login->jwt_file;
  link.choria_seed_file = login->seed_file;
  link.choria_collective = login->collective;
  if (link.tls_ca_file.empty() && link.tls_cert_file.empty()) link.tls_insecure = true;
}

void check_inspection(const StreamCopyOptions& copy, const std::string& path, const Tell& tell) {
  const InspectOptions& inspect = copy.inspect;
  const int ways = (inspect.field.empty() ? 0 : 1) + (inspect.header.empty() ? 0 : 1) + (inspect.subject_token == 0 ? 0 : 1);
  if (ways > 1) tell(path, "only one of 'inspect_field', 'inspect_header' and 'inspect_subject_token' can be given");
  if (!inspect.force_field.empty() && inspect.field.empty())
    tell(path + ".inspect_force_field", "'inspect_force_field' needs 'inspect_field'");
  if (ways == 0 && !inspect.advisory.subject.empty())
    tell(path + ".advisory", "advisories tell of sampled values: 'inspect_field', 'inspect_header' or 'inspect_subject_token' is missing");
  if (inspect.state_bucket.find_first_not_of(kBucketCharacters) != std::string::npos)
    tell(path + ".state_bucket", "'state_bucket' is no bucket name: letters, digits, '_' and '-'");
  if (!inspect.state_bucket.empty() && !inspect.enabled())
    tell(path + ".state_bucket", "'state_bucket' needs sampling: 'inspect_field', 'inspect_header' or 'inspect_subject_token' is missing");
  if (inspect.warn > inspect.duration) tell(path + ".warn_duration", "'warn_duration' is longer than 'inspect_duration'");
}

void check_fence(const StreamCopyOptions& copy, const std::string& path, const Tell& tell) {
  if (!copy.fence_subject.empty() && copy.target_writers == TargetWriters::kExclusive)
    tell(path + ".fence_subject", "'fence_subject' is for targets that others write to: 'target_writers: exclusive' has a fence of its own");
}

void check_target_initiated(const StreamCopyOptions& copy, const std::string& path, const Tell& tell) {
  if (!copy.target_initiated) return;
  if (copy.filters().empty()) tell(path, "'target_initiated' needs 'filter_subject'");
  if (copy.max_age.count() != 0) tell(path + ".max_age", "'max_age' can't be used with 'target_initiated'");
  if (copy.inspect.enabled()) tell(path, "sampling can't be used with 'target_initiated'");
  if (!copy.create_target) tell(path, "'no_target_create' can't be used with 'target_initiated'");
}

void check_header_word(const std::string& word, const std::string& path, const Tell& tell) {
  const bool good = !word.empty() && word.size() <= 64 &&
                    std::none_of(word.begin(), word.end(), [](unsigned char c) { return c <= ' ' || c == 0x7f || c == '/'; });
  if (!good) tell(path, fmt::format("'{}' can't be a name: it is a word of the header 'Choria-SR-Source' and of file names "
                                    "(no blanks, no '/', at most 64 characters)", word));
}

}  // namespace

void settle_replicator(ReplicatorOptions& replicator, const Tell& tell) {
  check_header_word(replicator.name, "name", tell);
  std::set<std::string> ids;
  for (size_t i = 0; i < replicator.streams.size(); ++i) {
    StreamCopyOptions& copy = replicator.streams[i];
    const std::string path = fmt::format("streams[{}]", i);
    if (copy.stream.empty()) continue;  // told as missing already
    if (copy.target_stream.empty()) copy.target_stream = copy.stream;
    if (copy.name.empty()) copy.name = replicator.name;
    check_header_word(copy.name, path + ".name", tell);
    if (!ids.insert(copy.id()).second)
      tell(path, fmt::format("stream '{}' is copied twice under the name '{}'", copy.stream, copy.name));
    if (!copy.filter_subject.empty() && !copy.filter_subjects.empty())
      tell(path, "'filter_subject' and 'filter_subjects' can't both be given");
    if (!copy.subject_transforms.empty() && copy.create_target)
      tell(path + ".subject_transforms", "'subject_transforms' needs 'create_target: false': the target's subjects can't be told from them");
    check_inspection(copy, path, tell);
    check_fence(copy, path, tell);
    check_target_initiated(copy, path, tell);
    take_tls(copy.source, innermost(copy.source_tls, copy.tls, replicator.tls));
    take_tls(copy.target, innermost(copy.target_tls, copy.tls, replicator.tls));
    take_choria(copy.source, innermost(copy.source_choria, copy.choria, replicator.choria));
    take_choria(copy.target, innermost(copy.target_choria, copy.choria, replicator.choria));
    if (copy.compression) copy.source.compression = copy.target.compression = *copy.compression;
    if (copy.source.urls == copy.target.urls && copy.stream == copy.target_stream)
      tell(path, fmt::format("stream '{}' would be copied onto itself", copy.stream));
  }
  HeartbeatOptions& heartbeats = replicator.heartbeats;
  take_tls(heartbeats.target, heartbeats.tls ? &*heartbeats.tls : nullptr);
  take_choria(heartbeats.target, heartbeats.choria ? &*heartbeats.choria : nullptr);
  if (heartbeats.interval.count() <= 0 && !heartbeats.subjects.empty()) tell("heartbeats.interval", "'interval' must be longer than 0");
}

}  // namespace sluice
