// What a `sluice object` line asks for; shared by its verbs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "client/object.h"
#include "gateway/cli/session.h"

namespace sluice {

struct ObjectWords {
  std::string bucket;
  std::string object;
  std::string file;
  std::string output;
  std::string target;
  std::string description;
  std::string ttl;
  std::string max_bucket;
  std::string storage = "file";
  std::string cluster;
  std::string chunk_size;
  std::vector<std::string> tags, metadata, headers;
  int replicas = 1;
  bool compress = false;
  bool force = false;
  bool json = false;
  bool quiet = false;
  bool deleted = false;
  bool once = false;
  bool updates_only = false;
};

/// KEY=VALUE, one each.
Result<std::map<std::string, std::string>> read_pairs(const std::vector<std::string>& words, const char* what);
/// "-1" or nothing = no limit.
Result<int64_t> read_size(const std::string& text, const char* what);
void print_object(const ObjectInfo& info, bool json);

/// Both show a bar with rate and time left when standard error is a terminal.
int put_object(Session& session, ObjectBucket& bucket, const ObjectWords& words);
int get_object(Session& session, ObjectBucket& bucket, const ObjectWords& words);

}  // namespace sluice
