#include "server/jwt_directory.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "crypto/nkey.h"
#include "server/jwt.h"

namespace sluice {
namespace {

constexpr std::string_view kSuffix = ".jwt";

}  // namespace

Result<std::map<std::string, std::string>> JwtDirectory::load() {
  if (auto made = disk_.make_dirs(path_); !made) return std::unexpected(made.error());
  const auto names = disk_.list(path_);
  if (!names) return std::unexpected(names.error());
  std::map<std::string, std::string> out;
  for (const std::string& name : *names) {
    if (!name.ends_with(kSuffix)) continue;
    const std::string key = name.substr(0, name.size() - kSuffix.size());
    if (!is_nkey(NkeyKind::kAccount, key)) continue;
    if (out.size() == kMaxFiles)
      return fail(Errc::kFull, fmt::format("{} holds more than {} accounts", path_, kMaxFiles));
    auto file = disk_.open(file_of(key), OpenMode::kRead);
    if (!file) return std::unexpected(file.error());
    const auto size = (*file)->size();
    if (!size) return std::unexpected(size.error());
    std::string token(std::min<uint64_t>(*size, kMaxJwt_bytes + 1), '\0');
    const auto read = (*file)->read_at(0, std::as_writable_bytes(std::span(token)));
    if (!read) return std::unexpected(read.error());
    token.resize(*read);
    while (token.ends_with('\n') || token.ends_with('\r')) token.pop_back();
    out.emplace(key, std::move(token));
  }
  return out;
}

Status JwtDirectory::keep(const std::string& key, const std::string& token) {
  const std::string beside = file_of(key) + ".new";
  {
    auto file = disk_.open(beside, OpenMode::kCreate);
    if (!file) return std::unexpected(file.error());
    if (auto done = (*file)->truncate(0); !done) return done;
    if (auto done = (*file)->write_at(0, std::as_bytes(std::span(token))); !done) return done;
    if (auto done = (*file)->sync(); !done) return done;
  }
  if (auto done = disk_.rename(beside, file_of(key)); !done) return done;
  return disk_.sync_dir(path_);
}

Status JwtDirectory::drop(const std::string& key) {
  if (!disk_.exists(file_of(key))) return {};
  if (auto done = disk_.rename(file_of(key), file_of(key) + ".deleted"); !done) return done;
  return disk_.sync_dir(path_);
}

}  // namespace sluice
