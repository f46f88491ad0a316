#include "backup/stream_restorer.h"

#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/nuid.h"
#include "consumer/consumers.h"
#include "stream/json_object.h"
#include "subject/subject.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
constexpr Logger log_{"backup"};
constexpr std::chrono::nanoseconds kSilence = 5s;
/// Decompressed in one callback.
constexpr size_t kSlice_bytes = 4 * kMiB;

}  // namespace

StreamRestorer::StreamRestorer(Env& env, Bus& bus, Streams& streams, Consumers& consumers, StreamConfig config,
                               RestoreWords words, std::function<void()> over)
    : env_(env),
      bus_(bus),
      streams_(streams),
      consumers_(consumers),
      config_(std::move(config)),
      words_(std::move(words)),
      tell_over_(std::move(over)),
      subject_(fmt::format("$JS.SNAPSHOT.RESTORE.{}.{}", config_.name, make_nuid(env.random))),
      silence_(env.timers.make([this] {
        SLUICE_LOG(log_, kWarn, "restore given up, nothing came for 5 s stream={}", config_.name);
        conclude("", fail_api(Errc::kTimeout, 10062, "no data was received for 5s"));
      })),
      anchor_(std::make_shared<StreamRestorer*>(this)) {
  figures_.begun = env_.clock.wall();
  subscription_ = bus_.subscribe(subject_, "", [this](const Message& m, const Origin&) { on_chunk(m); });
  silence_->start(kSilence);
}

StreamRestorer::~StreamRestorer() = default;

void StreamRestorer::on_chunk(const Message& message) {
  if (over_) return;
  if (message.reply.empty())
    return conclude("", fail_api(Errc::kInvalidArgument, 10062, "a chunk came without a reply subject"));
  ahead_bytes_ += message.payload.size();
  figures_.bytes += message.payload.size();
  if (ahead_bytes_ > kMaxAhead_bytes)
    return conclude(std::string(message.reply),
                    fail_api(Errc::kFull, 10062, "more than 16 MiB were sent before they were answered"));
  chunks_.push_back({.reply = std::string(message.reply), .bytes = std::string(message.payload)});
  silence_->stop();
  later();
}

void StreamRestorer::later() {
  if (std::exchange(queued_, true)) return;
  env_.executor.post([weak = std::weak_ptr<StreamRestorer*>(anchor_)] {
    const auto self = weak.lock();
    if (!self) return;
    (*self)->queued_ = false;
    (*self)->work();
  });
}

/// One slice of one chunk.
void StreamRestorer::work() {
  if (over_ || chunks_.empty()) return;
  Chunk& chunk = chunks_.front();
  if (chunk.bytes.empty()) return finish(chunk.reply);
  if (!std::exchange(chunk_begun_, true)) compressed_.feed(chunk.bytes);
  const auto more = read_some();
  if (!more) {
    Error why = more.error();
    why.api_code = 10062;
    return conclude(chunk.reply, std::unexpected(std::move(why)));
  }
  if (!*more) {
    chunk_begun_ = false;
    ahead_bytes_ -= chunk.bytes.size();
    answer_when_durable(std::move(chunk.reply));
    chunks_.pop_front();
    if (chunks_.empty()) silence_->start(kSilence);
  }
  if (!over_ && !chunks_.empty()) later();
}

/// @return whether the chunk may hold more.
Result<bool> StreamRestorer::read_some() {
  std::string raw;
  for (size_t done = 0; done < kSlice_bytes; done += raw.size()) {
    const auto read = compressed_.next(raw);
    if (!read) return std::unexpected(read.error());
    if (!*read) return false;
    if (auto taken = take(raw); !taken) return std::unexpected(taken.error());
  }
  return true;
}

Status StreamRestorer::take(std::string_view raw) {
  if (legacy_) return take_legacy(raw);
  std::string first;
  if (!into_ && sniffed_.size() < kArchiveMagic.size()) {
    sniffed_ += raw;
    if (sniffed_.size() < kArchiveMagic.size()) return {};
    if (!sniffed_.starts_with(kArchiveMagic)) {
      // Older servers put their own files into a tar.
      legacy_.emplace(config_.name);
      if (auto begun = begin(StreamSeq()); !begun) return begun;
      return take_legacy(std::exchange(sniffed_, {}));
    }
    first = sniffed_;
    raw = first;
  }
  archive_.feed(raw);
  while (true) {
    const auto entry = archive_.next();
    if (!entry) return std::unexpected(entry.error());
    if (!*entry) return {};
    if (auto taken = take_entry(**entry); !taken) return taken;
  }
}

Status StreamRestorer::take_entry(const ArchiveEntry& entry) {
  if (!into_) {
    if (entry.name != kArchiveState) return fail(Errc::kCorrupt, "the archive does not begin with its state");
    return take_state(entry.body);
  }
  if (entry.seq.is_zero()) {
    if (!entry.name.starts_with(kArchiveConsumers)) return fail(Errc::kCorrupt, "an entry of an unknown kind");
    saved_consumers_bytes_ += entry.body.size();
    if (saved_consumers_bytes_ > kMaxConsumers_bytes) return fail(Errc::kFull, "more than 256 MiB of consumers");
    saved_consumers_.emplace_back(entry.body);
    return {};
  }
  if (!is_valid_subject(entry.name) || has_wildcards(entry.name))
    return fail(Errc::kCorrupt, "a message without a valid subject");
  return into_->append({.seq = entry.seq,
                        .time = entry.time,
                        .subject = entry.name,
                        .headers = entry.headers,
                        .payload = entry.body});
}

Status StreamRestorer::take_state(std::string_view json) {
  uint64_t first = 0;
  uint64_t last = 0;
  const std::array fields{JsonField::into("first_seq", first), JsonField::into("last_seq", last),
                          JsonField{"last_ts", [this](const JsonElement& e) { return read_json_time(e, last_time_); }}};
  if (auto status = parse_json_object(json, fields, UnknownKeys::kIgnore); !status) return status;
  last_ = StreamSeq(last);
  return begin(StreamSeq(first));
}

Status StreamRestorer::begin(StreamSeq first) {
  auto made = streams_.restore(config_, first);
  if (!made) return std::unexpected(made.error());
  into_ = *std::move(made);
  return {};
}

Status StreamRestorer::take_legacy(std::string_view raw) { return legacy_->take(raw, *into_); }

void StreamRestorer::answer_when_durable(std::string reply) {
  auto answer = [bus = &bus_, to = std::move(reply)] {
    bus->publish({.subject = to, .reply = "", .headers = "", .payload = ""});
  };
  if (into_)
    into_->when_durable(std::move(answer));
  else
    answer();
}

void StreamRestorer::finish(const std::string& reply) {
  const std::string to = reply;
  Result<Stream*> made = make_stream();
  if (!made && made.error().api_code != 10062) {
    Error why = std::move(made.error());
    if (why.detail.empty()) why.detail = fmt::format("error {}", why.api_code);
    made = fail_api(why.code, 10062, std::move(why.detail));
  }
  conclude(to, made);
}

Result<Stream*> StreamRestorer::make_legacy_stream() {
  const auto last = legacy_->last_seq();
  if (!last) return std::unexpected(last.error());
  const auto saved = legacy_->consumers();
  if (!saved) return std::unexpected(saved.error());
  auto made = into_->finish(*last, legacy_->last_time());
  if (!made) return made;
  for (const uint64_t seq : legacy_->removed()) {
    // Nobody has seen it yet, so what the configuration forbids to clients does not count.
    if (auto removed = (*made)->delete_message(StreamSeq(seq), false); !removed && removed.error().code == Errc::kDenied)
      (*made)->store().remove(StreamSeq(seq), false);
  }
  return add_consumers(**made, *saved);
}

Result<Stream*> StreamRestorer::make_stream() {
  if (legacy_ && compressed_.waiting_bytes() == 0) return make_legacy_stream();
  if (!into_ || !archive_.ended() || compressed_.waiting_bytes() > 0)
    return fail_api(Errc::kCorrupt, 10062, "unexpected EOF");
  std::vector<PortableConsumer> saved;
  for (const std::string& json : saved_consumers_) {
    auto consumer = parse_portable_consumer(json);
    if (!consumer) return std::unexpected(consumer.error());
    saved.push_back(*std::move(consumer));
  }
  auto made = into_->finish(last_, last_time_);
  if (!made) return made;
  return add_consumers(**made, saved);
}

Result<Stream*> StreamRestorer::add_consumers(Stream& stream, const std::vector<PortableConsumer>& saved) {
  for (const PortableConsumer& consumer : saved) {
    if (auto restored = consumers_.restore(stream, consumer); !restored) {
      Error why = restored.error();
      (void)streams_.remove(config_.name);
      return std::unexpected(std::move(why));
    }
  }
  return &stream;
}

void StreamRestorer::conclude(const std::string& reply, const Result<Stream*>& result) {
  if (std::exchange(over_, true)) return;
  silence_->stop();
  std::string body = words_(result, figures_);
  if (!reply.empty()) {
    auto answer = [bus = &bus_, to = reply, text = std::move(body)] {
      bus->publish({.subject = to, .reply = "", .headers = "", .payload = text});
    };
    if (result)
      (*result)->when_durable(std::move(answer));
    else
      answer();
  }
  if (!result) into_.reset();
  tell_over_();
}

}  // namespace sluice
