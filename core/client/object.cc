#include "client/object.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/nuid.h"
#include "client/object_change.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;
using InfoDone = ObjectBucket::InfoDone;

/// Runs `done(error)` in a later callback; the ticket cancels it.
template <class T>
Ticket refuse_later(Env& env, std::move_only_function<void(Result<T>)> done, Error why) {
  auto waiting = std::make_shared<std::move_only_function<void(Result<T>)>>(std::move(done));
  env.executor.post([waiting, error = std::move(why)]() mutable {
    if (auto run = std::exchange(*waiting, nullptr)) run(std::unexpected(std::move(error)));
  });
  return Ticket([waiting] { *waiting = nullptr; });
}

std::unexpected<Error> no_object() { return fail_api(Errc::kNotFound, 10037, "there is no such object"); }
std::unexpected<Error> exists(const std::string& name) {
  return fail(Errc::kExists, fmt::format("there is an object '{}' already", name));
}

Status check_name(const std::string& name) {
  if (!name.empty() && name.size() <= kMaxObjectName_bytes) return {};
  return fail(Errc::kInvalidArgument, fmt::format("an object's name has 1 to {} bytes", kMaxObjectName_bytes));
}

bool lives(const std::optional<ObjectInfo>& info) { return info && !info->deleted; }

/// What a person said takes the place of what stood there; how the bytes are cut stays.
ObjectInfo with_meta(ObjectInfo info, ObjectMeta meta) {
  meta.chunk_bytes = info.meta.chunk_bytes;
  info.meta = std::move(meta);
  return info;
}

void tell_status(std::move_only_function<void(Result<ObjectBucketStatus>)>& told, const Result<std::string>& answer) {
  if (answer)
    told(parse_object_bucket(*answer));
  else
    told(std::unexpected(answer.error()));
}

StreamWatchOptions watch_options(const std::string& bucket, bool updates_only) {
  StreamWatchOptions out{.stream = object_stream(bucket), .filters = {fmt::format("$O.{}.M.>", bucket)}};
  out.from = updates_only ? WatchFrom::kNew : WatchFrom::kLastOfEachSubject;
  return out;
}

/// Several steps of which one runs at a time.
struct Steps {
  Ticket now;
};

}  // namespace

ObjectWatch::ObjectWatch(Env& env, StreamClient& client, const std::string& bucket, bool updates_only, ObjectWatchEvents events)
    : events_(std::move(events)),
      watch_(env, client, watch_options(bucket, updates_only),
             {.on_message =
                  [this](const ConsumedMessage& message) {
                    // What can't be read is no object.
                    const auto info = parse_object_info(message.payload, message.time);
                    if (info && events_.on_object) events_.on_object(*info);
                  },
              .on_current =
                  [this] {
                    if (events_.on_current) events_.on_current();
                  },
              .on_trouble =
                  [this](const Error& why) {
                    if (events_.on_trouble) events_.on_trouble(why);
                  }}) {}

Ticket ObjectBucket::make(Env& env, StreamClient& client, const ObjectBucketSpec& spec,
                          std::move_only_function<void(Result<ObjectBucketStatus>)> done) {
  auto config = encode_object_bucket(spec);
  if (!config) return refuse_later<ObjectBucketStatus>(env, std::move(done), config.error());
  return client.api("STREAM.CREATE", object_stream(spec.bucket), *config,
                    [told = std::move(done)](Result<std::string> made) mutable { tell_status(told, made); });
}

Ticket ObjectBucket::open(Env& env, StreamClient& client, const std::string& bucket,
                          std::move_only_function<void(Result<std::unique_ptr<ObjectBucket>>)> done) {
  if (!is_object_bucket(bucket))
    return refuse_later<std::unique_ptr<ObjectBucket>>(
        env, std::move(done),
        {Errc::kInvalidArgument, 0, fmt::format("'{}' is no bucket name: letters, digits, '_' and '-'", bucket)});
  return client.api("STREAM.INFO", object_stream(bucket), "",
                    [&env, &client, told = std::move(done)](Result<std::string> info) mutable {
                      if (!info) return told(std::unexpected(info.error()));
                      auto status = parse_object_bucket(*info);
                      if (!status) return told(std::unexpected(status.error()));
                      told(std::unique_ptr<ObjectBucket>(new ObjectBucket(env, client, *std::move(status))));
                    });
}

ObjectBucket::ObjectBucket(Env& env, StreamClient& client, ObjectBucketStatus status)
    : env_(env), client_(client), status_(std::move(status)) {}

std::unique_ptr<ObjectWriter> ObjectBucket::put(ObjectMeta meta, ObjectWriterEvents events) {
  return std::make_unique<ObjectWriter>(env_, client_, name(), std::move(meta), std::move(events));
}

std::unique_ptr<ObjectReader> ObjectBucket::get(const std::string& object, ObjectReaderEvents events) {
  return std::make_unique<ObjectReader>(env_, client_, name(), object, std::move(events));
}

Ticket ObjectBucket::info(const std::string& object, bool deleted_too, InfoDone done) {
  if (auto good = check_name(object); !good) return refuse_later<ObjectInfo>(env_, std::move(done), good.error());
  return read_object_info(client_, name(), object, [deleted_too, told = std::move(done)](Result<ObjectInfo> info) mutable {
    if (info && info->deleted && !deleted_too) return told(no_object());
    told(std::move(info));
  });
}

Ticket ObjectBucket::remove(const std::string& object, InfoDone done) {
  if (auto good = check_name(object); !good) return refuse_later<ObjectInfo>(env_, std::move(done), good.error());
  return change_object(
      client_, name(), object,
      [now = env_.clock.wall()](const std::optional<ObjectInfo>& before) -> Result<ObjectInfo> {
        if (!lives(before)) return no_object();
        ObjectInfo gone = *before;
        gone.deleted = true;
        gone.size = gone.chunks = 0;
        gone.digest.clear();
        gone.modified = now;
        return gone;
      },
      std::move(done));
}

Ticket ObjectBucket::update_meta(const std::string& object, ObjectMeta meta, InfoDone done) {
  for (const std::string& one : {object, meta.name})
    if (auto good = check_name(one); !good) return refuse_later<ObjectInfo>(env_, std::move(done), good.error());
  if (meta.name != object) return rename(object, std::move(meta), std::move(done));
  return change_object(
      client_, name(), object,
      [wanted = std::move(meta)](const std::optional<ObjectInfo>& before) -> Result<ObjectInfo> {
        if (!lives(before)) return no_object();
        return with_meta(*before, wanted);
      },
      std::move(done));
}

/// The description under the new name first, then the old one goes.
Ticket ObjectBucket::rename(const std::string& from, ObjectMeta meta, InfoDone done) {
  auto steps = std::make_shared<Steps>();
  const std::string to = meta.name;
  auto forget_old = [this, steps, from, told = std::move(done)](Result<ObjectInfo> written) mutable {
    steps->now.release();
    if (!written) return told(std::unexpected(written.error()));
    const std::string request = Json{{"filter", object_meta_subject(name(), from)}}.dump();
    steps->now = client_.api("STREAM.PURGE", object_stream(name()), request,
                             [steps, info = *std::move(written), tell = std::move(told)](Result<std::string> purged) mutable {
                               steps->now.release();
                               if (purged)
                                 tell(std::move(info));
                               else
                                 tell(std::unexpected(purged.error()));
                             });
  };
  steps->now = read_object_info(
      client_, name(), from,
      [this, steps, to, wanted = std::move(meta), next = std::move(forget_old)](Result<ObjectInfo> old) mutable {
        steps->now.release();
        if (!old) return next(std::unexpected(old.error()));
        if (old->deleted) return next(no_object());
        steps->now = change_object(
            client_, name(), to,
            [to, moved = with_meta(*std::move(old), std::move(wanted))](const std::optional<ObjectInfo>& before) -> Result<ObjectInfo> {
              if (lives(before) && before->nuid != moved.nuid) return exists(to);
              return moved;
            },
            std::move(next));
      });
  return Ticket([steps] { steps->now.cancel(); });
}

Ticket ObjectBucket::link(const std::string& link, const ObjectInfo& target, InfoDone done) {
  if (target.deleted || target.link)
    return refuse_later<ObjectInfo>(env_, std::move(done),
                                    {Errc::kInvalidArgument, 0, "a link leads to an object that is there and no link itself"});
  return put_link(link, {target.bucket, target.meta.name}, std::move(done));
}

Ticket ObjectBucket::link_bucket(const std::string& link, const std::string& bucket, InfoDone done) {
  if (!is_object_bucket(bucket))
    return refuse_later<ObjectInfo>(env_, std::move(done),
                                    {Errc::kInvalidArgument, 0, fmt::format("'{}' is no bucket name", bucket)});
  return put_link(link, {bucket, {}}, std::move(done));
}

Ticket ObjectBucket::put_link(const std::string& link, ObjectLink to, InfoDone done) {
  if (auto good = check_name(link); !good) return refuse_later<ObjectInfo>(env_, std::move(done), good.error());
  ObjectInfo info;
  info.meta.name = link;
  info.bucket = name();
  info.nuid = make_nuid(env_.random);
  info.link = std::move(to);
  info.modified = env_.clock.wall();
  return change_object(
      client_, name(), link,
      [wanted = std::move(info)](const std::optional<ObjectInfo>& before) -> Result<ObjectInfo> {
        if (lives(before) && !before->link) return exists(wanted.meta.name);
        return wanted;
      },
      std::move(done));
}

Ticket ObjectBucket::seal(std::move_only_function<void(Result<ObjectBucketStatus>)> done) {
  auto steps = std::make_shared<Steps>();
  steps->now = client_.api(
      "STREAM.INFO", object_stream(name()), "", [this, steps, told = std::move(done)](Result<std::string> info) mutable {
        steps->now.release();
        if (!info) return told(std::unexpected(info.error()));
        Json config = Json::parse(*info, nullptr, false).value("config", Json::object());
        config["sealed"] = true;
        steps->now = client_.api("STREAM.UPDATE", object_stream(name()), config.dump(-1, ' ', false, Json::error_handler_t::replace),
                                 [steps, tell = std::move(told)](Result<std::string> updated) mutable {
                                   steps->now.release();
                                   tell_status(tell, updated);
                                 });
      });
  return Ticket([steps] { steps->now.cancel(); });
}

std::unique_ptr<ObjectWatch> ObjectBucket::watch(bool updates_only, ObjectWatchEvents events) {
  return std::make_unique<ObjectWatch>(env_, client_, name(), updates_only, std::move(events));
}

namespace {

/// Collects what a watch tells of the present, then answers; the watch goes in a later callback.
struct Listing {
  std::unique_ptr<ObjectWatch> watch;
  std::map<std::string, ObjectInfo> found;
  std::move_only_function<void(Result<std::vector<ObjectInfo>>)> done;
};

void finish(Env& env, const std::shared_ptr<Listing>& listing, Result<std::vector<ObjectInfo>> answer) {
  env.executor.post([listing, result = std::move(answer)]() mutable {
    listing->watch.reset();
    if (auto run = std::exchange(listing->done, nullptr)) run(std::move(result));
  });
}

}  // namespace

Ticket ObjectBucket::list(bool deleted_too, size_t max_count,
                          std::move_only_function<void(Result<std::vector<ObjectInfo>>)> done) {
  auto listing = std::make_shared<Listing>();
  listing->done = std::move(done);
  Listing* list = listing.get();
  listing->watch = watch(
      false, {.on_object =
                  [list, deleted_too, max_count](const ObjectInfo& info) {
                    if (info.deleted && !deleted_too)
                      list->found.erase(info.meta.name);
                    else if (list->found.size() <= max_count)  // one more tells that it was too many
                      list->found[info.meta.name] = info;
                  },
              .on_current =
                  [&env = env_, listing, max_count] {
                    if (listing->found.size() > max_count)
                      return finish(env, listing, fail(Errc::kFull, fmt::format("more than {} objects", max_count)));
                    std::vector<ObjectInfo> out;
                    for (auto& [name, info] : listing->found) out.push_back(std::move(info));
                    finish(env, listing, std::move(out));
                  },
              .on_trouble = [&env = env_, listing](const Error& why) { finish(env, listing, std::unexpected(why)); }});
  return Ticket([listing] {
    listing->done = nullptr;
    listing->watch.reset();
  });
}

}  // namespace sluice
