// Object stores (ADR-20): a bucket is a stream, an object a run of chunks in it and a description that names them. Written
// once on StreamClient, so it works on the embedded core and on any server; interoperable with the official clients.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/ticket.h"
#include "client/object_info.h"
#include "client/object_reader.h"
#include "client/object_writer.h"
#include "client/stream_client.h"
#include "client/stream_watch.h"
#include "io/env.h"

namespace sluice {

struct ObjectWatchEvents {
  std::move_only_function<void(const ObjectInfo&)> on_object{};  ///< deletions too
  /// Once: all that stood there at the beginning was told.
  std::move_only_function<void()> on_current{};
  /// The bucket is gone or may not be read; nothing comes any more.
  std::move_only_function<void(const Error&)> on_trouble{};
};

/// Follows the descriptions of a bucket's objects. Loop thread only. Callbacks may destroy the watch.
class ObjectWatch {
 public:
  /// `client` outlives the watch. `updates_only`: nothing of what stands there now.
  ObjectWatch(Env& env, StreamClient& client, const std::string& bucket, bool updates_only, ObjectWatchEvents events);

 private:
  ObjectWatchEvents events_;
  StreamWatch watch_;
};

/// Loop thread only; `done`s come once, later, on the loop. Changes of one name by several writers are put in order
/// by compare-and-set; the chunks of what was replaced are freed.
class ObjectBucket {
 public:
  using InfoDone = std::move_only_function<void(Result<ObjectInfo>)>;

  /// Makes a bucket. Errors of the server by its codes: 10058 when the name is in use with other options.
  static Ticket make(Env& env, StreamClient& client, const ObjectBucketSpec& spec,
                     std::move_only_function<void(Result<ObjectBucketStatus>)> done);
  /// Finds a bucket. kNotFound (10059) when it is not there.
  static Ticket open(Env& env, StreamClient& client, const std::string& bucket,
                     std::move_only_function<void(Result<std::unique_ptr<ObjectBucket>>)> done);

  const std::string& name() const { return status_.spec.bucket; }
  /// As it was when opened.
  const ObjectBucketStatus& status() const { return status_; }

  std::unique_ptr<ObjectWriter> put(ObjectMeta meta, ObjectWriterEvents events);
  /// Follows links.
  std::unique_ptr<ObjectReader> get(const std::string& object, ObjectReaderEvents events);
  /// A link is shown as such; kNotFound when there is none or, without `deleted_too`, only its deletion.
  Ticket info(const std::string& object, bool deleted_too, InfoDone done);
  Ticket remove(const std::string& object, InfoDone done);
  /// Description, headers, metadata and, when it differs, name; the bytes stay. kExists when
  /// another object has the new name. A crash in the midst of renaming leaves both names for the same bytes.
  Ticket update_meta(const std::string& object, ObjectMeta meta, InfoDone done);
  /// `target` is there and no link itself; `link` is no object of its own: kExists.
  Ticket link(const std::string& link, const ObjectInfo& target, InfoDone done);
  Ticket link_bucket(const std::string& link, const std::string& bucket, InfoDone done);
  /// For ever: nothing is changed any more.
  Ticket seal(std::move_only_function<void(Result<ObjectBucketStatus>)> done);
  /// By name. kFull beyond `max_count`.
  Ticket list(bool deleted_too, size_t max_count, std::move_only_function<void(Result<std::vector<ObjectInfo>>)> done);
  std::unique_ptr<ObjectWatch> watch(bool updates_only, ObjectWatchEvents events);

 private:
  ObjectBucket(Env& env, StreamClient& client, ObjectBucketStatus status);
  Ticket put_link(const std::string& name, ObjectLink to, InfoDone done);
  Ticket rename(const std::string& from, ObjectMeta meta, InfoDone done);

  Env& env_;
  StreamClient& client_;
  ObjectBucketStatus status_;
};

}  // namespace sluice
