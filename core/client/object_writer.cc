#include "client/object_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/nuid.h"
#include "client/object_change.h"

namespace sluice {
namespace {

constexpr size_t kWindow_bytes = 4 * 1024 * 1024;
constexpr uint64_t kMaxChunk_bytes = 64 * 1024 * 1024;
constexpr std::chrono::seconds kChunkPatience{30};

}  // namespace

ObjectWriter::ObjectWriter(Env& env, StreamClient& client, std::string bucket, ObjectMeta meta, ObjectWriterEvents events)
    : env_(env),
      client_(client),
      events_(std::move(events)),
      chunk_bytes_(static_cast<size_t>(
          meta.chunk_bytes == 0 ? kDefaultObjectChunk_bytes : std::min(meta.chunk_bytes, kMaxChunk_bytes))) {
  info_.meta = std::move(meta);
  info_.meta.chunk_bytes = chunk_bytes_;
  info_.bucket = std::move(bucket);
  info_.nuid = make_nuid(env.random);
  if (!info_.meta.name.empty() && info_.meta.name.size() <= kMaxObjectName_bytes) return;
  state_ = State::kDone;
  env.executor.post([this, alive = std::weak_ptr<char>(alive_)] {
    if (!alive.expired())
      end(fail(Errc::kInvalidArgument, fmt::format("an object's name has 1 to {} bytes", kMaxObjectName_bytes)));
  });
}

ObjectWriter::~ObjectWriter() {
  if (state_ == State::kCommitting)
    commit_.release();  // the description may be there already: it runs on alone
  else if (state_ != State::kDone && info_.chunks > 0)
    forget_object_subject(client_, info_.bucket, object_chunk_subject(info_.bucket, info_.nuid));
}

bool ObjectWriter::has_room() const { return buffer_.size() < chunk_bytes_ && in_flight_bytes_ < kWindow_bytes; }

bool ObjectWriter::write(std::string_view bytes) {
  if (state_ != State::kOpen) return false;
  buffer_.append(bytes);
  pump();
  waited_for_ = !has_room();
  return !waited_for_;
}

void ObjectWriter::finish() {
  if (state_ != State::kOpen) return;
  state_ = State::kFinishing;
  pump();
}

void ObjectWriter::pump() {
  size_t sent = 0;
  while (in_flight_bytes_ < kWindow_bytes && state_ != State::kDone) {
    const std::string_view rest = std::string_view(buffer_).substr(sent);
    if (rest.empty() || (rest.size() < chunk_bytes_ && state_ == State::kOpen)) break;
    send(rest.substr(0, chunk_bytes_));
    sent += std::min(rest.size(), chunk_bytes_);
  }
  buffer_.erase(0, sent);
  if (state_ == State::kFinishing && buffer_.empty() && in_flight_bytes_ == 0) commit();
}

void ObjectWriter::send(std::string_view chunk) {
  digest_.update(chunk);
  ++info_.chunks;
  info_.size += chunk.size();
  in_flight_bytes_ += chunk.size();
  client_
      .publish({object_chunk_subject(info_.bucket, info_.nuid), {}, {}, chunk}, kChunkPatience,
               [this, alive = std::weak_ptr<char>(alive_), size = chunk.size()](Result<PubAck> ack) {
                 if (!alive.expired()) on_ack(ack, size);
               })
      .release();
}

void ObjectWriter::on_ack(const Result<PubAck>& ack, size_t bytes) {
  if (state_ == State::kDone) return;
  in_flight_bytes_ -= bytes;
  if (!ack) return give_up(ack.error());
  acked_bytes_ += bytes;
  pump();
  if (state_ != State::kOpen || !waited_for_ || !has_room()) return;
  waited_for_ = false;
  if (events_.on_ready) events_.on_ready();
}

void ObjectWriter::commit() {
  state_ = State::kCommitting;
  const Sha256 digest = digest_.finish();
  info_.digest = object_digest_text({reinterpret_cast<const char*>(digest.data()), digest.size()});
  info_.modified = env_.clock.wall();
  commit_ = change_object(
      client_, info_.bucket, info_.meta.name,
      [info = info_](const std::optional<ObjectInfo>&) -> Result<ObjectInfo> { return info; },
      [this, alive = std::weak_ptr<char>(alive_)](Result<ObjectInfo> written) {
        if (alive.expired()) return;
        commit_.release();
        if (!written) return give_up(written.error());
        end(std::move(written));
      });
}

/// An answer that did not come may hide a description that was stored: its chunks must stay then.
void ObjectWriter::give_up(const Error& why) {
  const bool may_stand = state_ == State::kCommitting && why.api_code == 0;
  if (info_.chunks > 0 && !may_stand)
    forget_object_subject(client_, info_.bucket, object_chunk_subject(info_.bucket, info_.nuid));
  end(std::unexpected(why));
}

/// Last act: the callback may destroy this.
void ObjectWriter::end(Result<ObjectInfo> result) {
  state_ = State::kDone;
  if (events_.on_done) events_.on_done(std::move(result));
}

}  // namespace sluice
