// What a `sluice object` line asks for; shared by its verbs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "client/object.h"
#include "gateway/cli/bucket_words.h"

namespace sluice {

struct ObjectWords : BucketWords {
  std::string object;
  std::string file;
  std::string output;
  std::string target;
  std::string chunk_size;
  std::vector<std::string> headers;
  bool quiet = false;
  bool deleted = false;
};

template <>
Result<std::unique_ptr<ObjectBucket>> open_bucket(Session& session, const std::string& name);
void print_object(const ObjectInfo& info, bool json);

/// Both show a bar with rate and time left when standard error is a terminal.
int put_object(Session& session, ObjectBucket& bucket, const ObjectWords& words);
int get_object(Session& session, ObjectBucket& bucket, const ObjectWords& words);

}  // namespace sluice
