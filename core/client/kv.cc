#include "client/kv.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/headers.h"
#include "client/kv_names.h"
#include "client/parse_number.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint16_t kWrongLastSequence = 10071;
constexpr std::chrono::seconds kPatience{5};

using RevisionDone = std::move_only_function<void(Result<StreamSeq>)>;
using EntryDone = std::move_only_function<void(Result<KvEntry>)>;

/// Runs `done(error)` in a later callback; the ticket cancels it.
template <class T>
Ticket refuse_later(Env& env, std::move_only_function<void(Result<T>)> done, Error why) {
  auto waiting = std::make_shared<std::move_only_function<void(Result<T>)>>(std::move(done));
  env.executor.post([waiting, error = std::move(why)]() mutable {
    if (auto run = std::exchange(*waiting, nullptr)) run(std::unexpected(std::move(error)));
  });
  return Ticket([waiting] { *waiting = nullptr; });
}

void expect(std::string& headers, StreamSeq revision) {
  append_header(headers, "Nats-Expected-Last-Subject-Sequence", std::to_string(revision.value()));
}

/// The answer of a direct get: the message itself, its place in the headers.
Result<KvEntry> parse_direct(const LinkMessage& reply, std::string_view key) {
  const HeaderStatus status = header_status(reply.headers);
  if (status.code == 404) return fail_api(Errc::kNotFound, 10037, "no message found");
  if (status.code != 0)
    return fail(Errc::kRefused, fmt::format("{} {}", status.code, status.text));
  const auto seq = find_header(reply.headers, "Nats-Sequence");
  const auto time = find_header(reply.headers, "Nats-Time-Stamp");
  const auto number = seq ? parse_decimal<uint64_t>(*seq) : std::nullopt;
  const auto stamp = time ? parse_rfc3339(*time) : std::nullopt;
  if (!number || !stamp) return fail(Errc::kCorrupt, "the reply is not a stored message");
  return KvEntry{std::string(key), std::string(reply.payload), StreamSeq(*number), *stamp,
                 kv_operation_of(reply.headers), reply.payload.size()};
}

Result<KvEntry> entry_of(const StoredCopy& stored, std::string_view key) {
  return KvEntry{std::string(key), stored.payload,        stored.seq,
                 stored.time,      kv_operation_of(stored.headers), stored.payload.size()};
}

/// Create: expect no message; when a marker stands there, expect that.
struct CreateCall : std::enable_shared_from_this<CreateCall> {
  StreamClient& client;
  std::string subject, stream, stored_subject, headers, value;
  RevisionDone done;
  Ticket step;

  explicit CreateCall(StreamClient& c) : client(c) {}

  void attempt(StreamSeq expected) {
    std::string block = headers;
    expect(block, expected);
    step = client.publish({subject, {}, block, value}, kPatience,
                          [self = shared_from_this(), expected](Result<PubAck> ack) {
                            self->step.release();
                            self->on_ack(std::move(ack), expected);
                          });
  }
  void on_ack(Result<PubAck> ack, StreamSeq expected) {
    if (ack) return done(ack->seq);
    if (ack.error().api_code != kWrongLastSequence) return done(std::unexpected(ack.error()));
    if (!expected.is_zero()) return exists();
    step = client.last_message(stream, stored_subject,
                               [self = shared_from_this()](Result<StoredCopy> last) {
                                 self->step.release();
                                 if (last && kv_operation_of(last->headers) != KvOperation::kPut)
                                   return self->attempt(last->seq);
                                 self->exists();
                               });
  }
  void exists() { done(fail_api(Errc::kExists, kWrongLastSequence, "the key exists")); }
};

}  // namespace

Ticket KvBucket::make(Env& env, StreamClient& client, const KvBucketSpec& spec,
                      std::move_only_function<void(Result<KvStatus>)> done) {
  auto config = encode_kv_bucket(spec);
  if (!config) return refuse_later<KvStatus>(env, std::move(done), config.error());
  return client.api("STREAM.CREATE", kv_stream(spec.bucket), *config,
                    [told = std::move(done)](Result<std::string> made) mutable {
                      if (made)
                        told(parse_kv_bucket(*made));
                      else
                        told(std::unexpected(made.error()));
                    });
}

Ticket KvBucket::open(Env& env, StreamClient& client, std::string bucket, std::string api_prefix,
                      std::move_only_function<void(Result<std::unique_ptr<KvBucket>>)> done) {
  if (!is_kv_bucket(bucket))
    return refuse_later<std::unique_ptr<KvBucket>>(
        env, std::move(done),
        {Errc::kInvalidArgument, 0, fmt::format("'{}' is no bucket name: letters, digits, '_' and '-'", bucket)});
  return client.api("STREAM.INFO", kv_stream(bucket), "",
                    [&env, &client, prefix = std::move(api_prefix),
                     told = std::move(done)](Result<std::string> info) mutable {
                      if (!info) return told(std::unexpected(info.error()));
                      auto status = parse_kv_bucket(*info);
                      if (!status) return told(std::unexpected(status.error()));
                      told(std::unique_ptr<KvBucket>(
                          new KvBucket(env, client, *std::move(status), *info, std::move(prefix))));
                    });
}

KvBucket::KvBucket(Env& env, StreamClient& client, KvStatus status, std::string_view info,
                   std::string api_prefix)
    : env_(env),
      client_(client),
      status_(std::move(status)),
      api_prefix_(std::move(api_prefix)),
      stream_(kv_stream(status_.spec.bucket)) {
  const std::string own = kv_subject(status_.spec.bucket, "");
  read_prefix_ = own;
  write_prefix_ = api_prefix_ == "$JS.API" ? own : api_prefix_ + "." + own;
  if (status_.spec.mirror.empty()) return;
  // A mirror holds its origin's subjects and takes no publishes: those go to the origin.
  const Json mirror = Json::parse(info, nullptr, false)["config"]["mirror"];
  std::string origin = mirror.value("name", "");
  if (origin.starts_with("KV_")) origin.erase(0, 3);
  read_prefix_ = kv_subject(origin, "");
  const std::string api = mirror.value("external", Json::object()).value("api", "");
  write_prefix_ = api.empty() ? read_prefix_ : api + "." + read_prefix_;
}

template <class T>
std::optional<Ticket> KvBucket::refuse_key(std::string_view key,
                                           std::move_only_function<void(Result<T>)>& done) {
  if (is_kv_key(key)) return std::nullopt;
  return refuse_later<T>(env_, std::move(done),
                         {Errc::kInvalidArgument, 0,
                          fmt::format("'{}' is no key: letters, digits and -/_=. without empty parts", key)});
}

Ticket KvBucket::write(std::string_view key, const std::string& headers, std::string_view value,
                       RevisionDone done) {
  if (auto refused = refuse_key(key, done)) return *std::move(refused);
  return client_.publish({write_prefix_ + std::string(key), {}, headers, value}, kPatience,
                         [told = std::move(done)](Result<PubAck> ack) mutable {
                           if (ack)
                             told(ack->seq);
                           else
                             told(std::unexpected(ack.error()));
                         });
}

Ticket KvBucket::put(std::string_view key, std::string_view value, RevisionDone done) {
  return write(key, "", value, std::move(done));
}

Ticket KvBucket::create(std::string_view key, std::string_view value, std::chrono::nanoseconds ttl,
                        RevisionDone done) {
  if (auto refused = refuse_key(key, done)) return *std::move(refused);
  if (ttl.count() != 0 && !allows_key_ttl())
    return refuse_later<StreamSeq>(env_, std::move(done),
                                   {Errc::kInvalidArgument, 0,
                                    fmt::format("the bucket '{}' takes no TTL for single keys: it was made without marker_ttl",
                                                name())});
  auto call = std::make_shared<CreateCall>(client_);
  call->subject = write_prefix_ + std::string(key);
  call->stream = stream_;
  call->stored_subject = read_prefix_ + std::string(key);
  call->value = value;
  call->done = std::move(done);
  if (ttl.count() != 0) append_header(call->headers, "Nats-TTL", format_go_duration(ttl));
  call->attempt(StreamSeq(0));
  return Ticket([call] { call->step.cancel(); });
}

Ticket KvBucket::update(std::string_view key, std::string_view value, StreamSeq expected,
                        RevisionDone done) {
  std::string headers;
  expect(headers, expected);
  return write(key, headers, value, std::move(done));
}

Ticket KvBucket::put_while(std::string_view key, std::string_view value, std::string_view other_key, StreamSeq its_revision,
                           RevisionDone done) {
  std::string headers;
  expect(headers, its_revision);
  append_header(headers, "Nats-Expected-Last-Subject-Sequence-Subject", read_prefix_ + std::string(other_key));
  return write(key, headers, value, std::move(done));
}

Ticket KvBucket::remove(std::string_view key, std::optional<StreamSeq> expected, RevisionDone done) {
  std::string headers;
  append_header(headers, "KV-Operation", "DEL");
  if (expected) expect(headers, *expected);
  return write(key, headers, "", std::move(done));
}

Ticket KvBucket::purge(std::string_view key, std::optional<StreamSeq> expected,
                       std::chrono::nanoseconds marker_ttl, RevisionDone done) {
  std::string headers;
  append_header(headers, "KV-Operation", "PURGE");
  append_header(headers, "Nats-Rollup", "sub");
  if (marker_ttl.count() != 0) append_header(headers, "Nats-TTL", format_go_duration(marker_ttl));
  if (expected) expect(headers, *expected);
  return write(key, headers, "", std::move(done));
}

/// `target` and `body` of a direct get; a bucket without it is asked by MSG.GET.
Ticket KvBucket::fetch(const std::string& target, const std::string& body, const std::string& key,
                       EntryDone done) {
  return client_.link().request({api_prefix_ + ".DIRECT.GET." + target, {}, {}, body}, kPatience,
                                [key, told = std::move(done)](Result<LinkMessage> reply) mutable {
                                  if (reply)
                                    told(parse_direct(*reply, key));
                                  else
                                    told(std::unexpected(reply.error()));
                                });
}

Ticket KvBucket::get(std::string_view key, EntryDone done) {
  if (auto refused = refuse_key(key, done)) return *std::move(refused);
  auto live = [told = std::move(done)](Result<KvEntry> entry) mutable {
    if (entry && entry->operation != KvOperation::kPut)
      told(fail_api(Errc::kNotFound, 10037, "the key was deleted"));
    else
      told(std::move(entry));
  };
  const std::string subject = read_prefix_ + std::string(key);
  if (status_.allow_direct) return fetch(stream_ + "." + subject, "", std::string(key), std::move(live));
  return client_.last_message(stream_, subject,
                              [text = std::string(key), told = std::move(live)](Result<StoredCopy> stored) mutable {
                                if (stored)
                                  told(entry_of(*stored, text));
                                else
                                  told(std::unexpected(stored.error()));
                              });
}

Ticket KvBucket::get_revision(std::string_view key, StreamSeq revision, EntryDone done) {
  if (auto refused = refuse_key(key, done)) return *std::move(refused);
  // The subject tells whether the revision is this key's.
  return client_.get_message(
      stream_, revision,
      [subject = read_prefix_ + std::string(key), text = std::string(key),
       told = std::move(done)](Result<StoredCopy> stored) mutable {
        if (!stored) return told(std::unexpected(stored.error()));
        if (stored->subject != subject)
          return told(fail_api(Errc::kNotFound, 10037, "the revision is another key's"));
        told(entry_of(*stored, text));
      });
}

std::unique_ptr<KvWatch> KvBucket::watch(KvWatchOptions options, KvWatchEvents events) {
  return std::make_unique<KvWatch>(env_, client_, stream_, read_prefix_, std::move(options), std::move(events));
}

namespace {

/// Collects what a watch tells of the present, then answers; the watch goes in a later callback.
template <class Collected, class Answer>
struct Listing {
  std::unique_ptr<KvWatch> watch;
  Collected collected;
  size_t max_count = SIZE_MAX;
  std::move_only_function<void(Result<Answer>)> done;
};

template <class Collected, class Answer>
void finish(Env& env, const std::shared_ptr<Listing<Collected, Answer>>& listing, Result<Answer> answer) {
  env.executor.post([listing, result = std::move(answer)]() mutable {
    listing->watch.reset();
    if (auto run = std::exchange(listing->done, nullptr)) run(std::move(result));
  });
}

/// The callbacks hold the listing, and the listing the watch that holds them: finish() parts them.
template <class Collected, class Answer>
Ticket stop_of(const std::shared_ptr<Listing<Collected, Answer>>& listing) {
  return Ticket([listing] {
    listing->done = nullptr;
    listing->watch.reset();
  });
}

}  // namespace

Ticket KvBucket::history(std::string_view key,
                         std::move_only_function<void(Result<std::vector<KvEntry>>)> done) {
  if (auto refused = refuse_key(key, done)) return *std::move(refused);
  using List = Listing<std::vector<KvEntry>, std::vector<KvEntry>>;
  auto listing = std::make_shared<List>();
  listing->done = std::move(done);
  List* list = listing.get();
  listing->watch = watch({.filters = {std::string(key)}, .history = true},
                         {.on_entry = [list](const KvEntry& entry) { list->collected.push_back(entry); },
                          .on_current = [&env = env_, listing] {
                            finish(env, listing, Result<std::vector<KvEntry>>(std::move(listing->collected)));
                          },
                          .on_trouble = [&env = env_, listing](const Error& why) {
                            finish(env, listing, Result<std::vector<KvEntry>>(std::unexpected(why)));
                          }});
  return stop_of(listing);
}

Ticket KvBucket::keys(std::string_view filter, size_t max_count,
                      std::move_only_function<void(Result<std::vector<std::string>>)> done) {
  using List = Listing<std::set<std::string>, std::vector<std::string>>;
  auto listing = std::make_shared<List>();
  listing->done = std::move(done);
  listing->max_count = max_count;
  List* list = listing.get();
  KvWatchOptions options{.headers_only = true};
  if (!filter.empty()) options.filters.emplace_back(filter);
  listing->watch = watch(
      std::move(options),
      {.on_entry =
           [list](const KvEntry& entry) {
             if (entry.operation != KvOperation::kPut)
               list->collected.erase(entry.key);
             else if (list->collected.size() <= list->max_count)  // one more tells that it was too many
               list->collected.insert(entry.key);
           },
       .on_current =
           [&env = env_, listing] {
             using Keys = Result<std::vector<std::string>>;
             if (listing->collected.size() > listing->max_count)
               return finish(env, listing, Keys(fail(Errc::kFull, fmt::format("more than {} keys", listing->max_count))));
             finish(env, listing, Keys(std::vector<std::string>(listing->collected.begin(), listing->collected.end())));
           },
       .on_trouble = [&env = env_, listing](const Error& why) {
         finish(env, listing, Result<std::vector<std::string>>(std::unexpected(why)));
       }});
  return stop_of(listing);
}

}  // namespace sluice
