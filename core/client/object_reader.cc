#include "client/object_reader.h"

#include <fmt/format.h>

#include <utility>

#include "base/base64.h"
#include "client/object_change.h"

namespace sluice {
namespace {

constexpr int kMaxLinks = 8;
constexpr size_t kWindow_chunks = 32;
constexpr std::chrono::seconds kSilence{30};

std::unexpected<Error> damaged(std::string what) { return fail(Errc::kCorrupt, std::move(what)); }

}  // namespace

ObjectReader::ObjectReader(Env& env, StreamClient& client, std::string bucket, std::string name, ObjectReaderEvents events)
    : env_(env), client_(client), events_(std::move(events)), silence_(env.timers.make([this] {
        end(fail(Errc::kTimeout, "nothing of the object came for 30 s"));
      })) {
  look_up(std::move(bucket), std::move(name));
}

void ObjectReader::pause() {
  paused_ = true;
  silence_->stop();
  if (watch_) watch_->pause();
}

void ObjectReader::resume() {
  paused_ = false;
  if (!watch_ || done_) return;
  silence_->start(kSilence);
  watch_->resume();
}

void ObjectReader::look_up(std::string bucket, std::string name) {
  call_ = read_object_info(client_, bucket, name, [this](Result<ObjectInfo> info) {
    call_.release();
    on_found(std::move(info));
  });
}

void ObjectReader::on_found(Result<ObjectInfo> info) {
  if (!info) return end(std::unexpected(info.error()));
  if (info->deleted) return end(fail_api(Errc::kNotFound, 10037, "the object was deleted"));
  if (info->link) {
    if (info->link->object.empty())
      return end(fail(Errc::kRefused, fmt::format("it is a link to the bucket '{}', not to an object", info->link->bucket)));
    if (!is_object_bucket(info->link->bucket) || ++links_followed_ > kMaxLinks)
      return end(fail(Errc::kRefused, "the link leads nowhere"));
    return look_up(info->link->bucket, info->link->object);
  }
  info_ = *std::move(info);
  const std::weak_ptr<char> alive = alive_;
  if (events_.on_info) events_.on_info(info_);
  if (alive.expired()) return;
  if (info_.chunks == 0) return check_end();
  read_chunks();
}

void ObjectReader::read_chunks() {
  watch_ = std::make_unique<StreamWatch>(
      env_, client_,
      StreamWatchOptions{.stream = object_stream(info_.bucket),
                         .filters = {object_chunk_subject(info_.bucket, info_.nuid)},
                         .window = kWindow_chunks},
      StreamWatchEvents{.on_message = [this](const ConsumedMessage& message) { on_chunk(message); },
                        .on_current =
                            [this] {
                              if (!done_) end(damaged(fmt::format("{} of {} chunks are gone", info_.chunks - chunks_, info_.chunks)));
                            },
                        .on_trouble = [this](const Error& why) { end(std::unexpected(why)); }});
  if (paused_)
    watch_->pause();
  else
    silence_->start(kSilence);
}

void ObjectReader::on_chunk(const ConsumedMessage& message) {
  if (done_) return;
  if (!paused_) silence_->start(kSilence);
  ++chunks_;
  bytes_ += message.payload.size();
  if (bytes_ > info_.size) return end(damaged("there are more bytes than the object has"));
  digest_.update(message.payload);
  const std::weak_ptr<char> alive = alive_;
  if (events_.on_bytes) events_.on_bytes(message.payload);
  if (!alive.expired() && chunks_ == info_.chunks) check_end();
}

void ObjectReader::check_end() {
  if (bytes_ != info_.size) return end(damaged(fmt::format("{} bytes came of {}", bytes_, info_.size)));
  const Sha256 digest = digest_.finish();
  const std::string_view raw(reinterpret_cast<const char*>(digest.data()), digest.size());
  constexpr std::string_view kPrefix = "SHA-256=";
  const std::string_view told = info_.digest;
  // Compared by value: writers differ in padding.
  const auto wanted = told.starts_with(kPrefix) ? base64url_decode(told.substr(kPrefix.size())) : std::nullopt;
  if (!wanted) return end(damaged(fmt::format("'{}' is no SHA-256 digest", told)));
  if (*wanted != raw) return end(damaged("the digest is not the object's: its bytes are damaged"));
  end({});
}

/// Last act: the callback may destroy this. The watch may be what called.
void ObjectReader::end(Status status) {
  if (std::exchange(done_, true)) return;
  silence_->stop();
  if (watch_) watch_->pause();
  if (events_.on_done) events_.on_done(std::move(status));
}

}  // namespace sluice
