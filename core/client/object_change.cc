#include "client/object_change.h"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/headers.h"

namespace sluice {
namespace {

constexpr uint16_t kWrongLastSequence = 10071;
constexpr int kMaxTries = 8;
constexpr std::chrono::seconds kPatience{5};

std::string purge_request(const std::string& subject) { return nlohmann::json{{"filter", subject}}.dump(); }

struct Change : std::enable_shared_from_this<Change> {
  StreamClient& client;
  std::string bucket, name;
  std::move_only_function<Result<ObjectInfo>(const std::optional<ObjectInfo>&)> decide;
  std::move_only_function<void(Result<ObjectInfo>)> done;
  std::optional<ObjectInfo> before;
  int tries = 0;
  Ticket step;

  explicit Change(StreamClient& c) : client(c) {}

  void read() {
    if (++tries > kMaxTries) return done(fail(Errc::kFull, fmt::format("'{}' is changed by others all the time", name)));
    step = client.last_message(object_stream(bucket), object_meta_subject(bucket, name),
                               [self = shared_from_this()](Result<StoredCopy> stored) {
                                 self->step.release();
                                 self->on_read(std::move(stored));
                               });
  }

  void on_read(Result<StoredCopy> stored) {
    StreamSeq expected;
    before.reset();
    if (stored) {
      expected = stored->seq;
      // What can't be read is no object, and is written over.
      if (auto info = parse_object_info(stored->payload, stored->time)) before = *std::move(info);
    } else if (stored.error().code != Errc::kNotFound || stored.error().api_code == 10059) {
      return done(std::unexpected(stored.error()));
    }
    auto wanted = decide(before);
    if (!wanted) return done(std::unexpected(wanted.error()));
    write(*std::move(wanted), expected);
  }

  void write(ObjectInfo info, StreamSeq expected) {
    std::string headers;
    append_header(headers, "Nats-Rollup", "sub");
    append_header(headers, "Nats-Expected-Last-Subject-Sequence", std::to_string(expected.value()));
    const std::string body = encode_object_info(info);
    step = client.publish({object_meta_subject(bucket, name), {}, headers, body}, kPatience,
                          [self = shared_from_this(), written = std::move(info)](Result<PubAck> ack) mutable {
                            self->step.release();
                            self->on_written(std::move(ack), std::move(written));
                          });
  }

  void on_written(Result<PubAck> ack, ObjectInfo info) {
    if (!ack) return ack.error().api_code == kWrongLastSequence ? read() : done(std::unexpected(ack.error()));
    const bool stale = before && !before->nuid.empty() && (info.deleted || before->nuid != info.nuid);
    if (!stale) return done(std::move(info));
    step = client.api("STREAM.PURGE", object_stream(bucket), purge_request(object_chunk_subject(bucket, before->nuid)),
                      [self = shared_from_this(), written = std::move(info)](Result<std::string>) mutable {
                        self->step.release();
                        self->done(std::move(written));  // chunks that stay take room, nothing else
                      });
  }
};

}  // namespace

Ticket read_object_info(StreamClient& client, const std::string& bucket, const std::string& name,
                        std::move_only_function<void(Result<ObjectInfo>)> done) {
  return client.last_message(object_stream(bucket), object_meta_subject(bucket, name),
                             [told = std::move(done)](Result<StoredCopy> stored) mutable {
                               if (stored)
                                 told(parse_object_info(stored->payload, stored->time));
                               else
                                 told(std::unexpected(stored.error()));
                             });
}

Ticket change_object(StreamClient& client, std::string bucket, std::string name,
                     std::move_only_function<Result<ObjectInfo>(const std::optional<ObjectInfo>&)> decide,
                     std::move_only_function<void(Result<ObjectInfo>)> done) {
  auto change = std::make_shared<Change>(client);
  change->bucket = std::move(bucket);
  change->name = std::move(name);
  change->decide = std::move(decide);
  change->done = std::move(done);
  change->read();
  return Ticket([change] { change->step.cancel(); });
}

void forget_object_subject(StreamClient& client, const std::string& bucket, const std::string& subject) {
  client.api("STREAM.PURGE", object_stream(bucket), purge_request(subject), [](Result<std::string>) {}).release();
}

}  // namespace sluice
