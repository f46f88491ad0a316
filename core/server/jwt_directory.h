// The accounts' JWTs on disk, one file each: "<account key>.jwt". What is deleted stays as
// "<account key>.jwt.deleted". The layout is that of nats-server's full resolver.
#pragma once

#include <map>
#include <string>

#include "base/error.h"
#include "io/disk.h"

namespace sluice {

/// Loop thread only; small blocking writes, only when an operator changes an account.
class JwtDirectory {
 public:
  static constexpr size_t kMaxFiles = 100'000;

  JwtDirectory(Disk& disk, std::string path) : disk_(disk), path_(std::move(path)) {}

  /// Makes the folder when it is missing and reads all tokens: key → token, not yet looked into.
  /// Files of other names are left alone.
  Result<std::map<std::string, std::string>> load();
  /// Durable when it returns: written beside, synced, renamed.
  Status keep(const std::string& key, const std::string& token);
  Status drop(const std::string& key);

 private:
  std::string file_of(const std::string& key) const { return path_ + "/" + key + ".jwt"; }

  Disk& disk_;
  std::string path_;
};

}  // namespace sluice
