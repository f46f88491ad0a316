#include "backup/legacy_backup.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "archive/nats_block.h"
#include "backup/nats_consumer.h"
#include "base/limits.h"
#include "base/parse_number.h"
#include "crypto/digest.h"

namespace sluice {
namespace {

constexpr size_t kMaxConsumers_bytes = 256 * kMiB;
constexpr size_t kMaxRemoved_count = 10'000'000;

std::unexpected<Error> corrupt(std::string what) { return fail(Errc::kCorrupt, std::move(what)); }

}  // namespace

Status LegacyBackup::take(std::string_view raw, StreamRestore& into) {
  tar_.feed(raw);
  while (true) {
    const auto file = tar_.next();
    if (!file) return std::unexpected(file.error());
    if (!*file) return {};
    if (auto taken = take_file(**file, into); !taken) return taken;
  }
}

Status LegacyBackup::take_file(const TarFile& file, StreamRestore& into) {
  std::string_view name = file.name;
  if (name.starts_with("./")) name.remove_prefix(2);
  if (name == "errors") return corrupt("the backup says that it failed when it was made");
  if (name == "meta.inf") {
    meta_seen_ = true;
    return {};
  }
  if (name == "meta.key") return fail(Errc::kUnsupported, "the backup is encrypted");
  if (name == "msgs/index.db") return take_index(file.bytes);
  if (name.starts_with("msgs/") && name.ends_with(".blk"))
    return take_block(name.substr(5, name.size() - 9), file.bytes, into);
  if (name.starts_with("obs/")) return take_consumer(name.substr(4), file.bytes);
  return {};  // figures that are found again without them
}

Status LegacyBackup::take_block(std::string_view number, std::string_view bytes, StreamRestore& into) {
  const auto parsed = parse_decimal<uint64_t>(number);
  if (!parsed || *parsed <= last_block_) return corrupt("blocks of messages are not in order");
  last_block_ = *parsed;
  const auto block = unpack_nats_block(std::string(bytes));
  if (!block) return std::unexpected(block.error());
  const HighwayHash::Key key = sha256(fmt::format("{}-{}", stream_, *parsed));
  NatsBlockReader reader(*block, key);
  while (true) {
    const auto record = reader.next();
    if (!record) return std::unexpected(record.error());
    if (!*record) return {};
    const NatsRecord& r = **record;
    last_ = std::max(last_, r.seq.value());
    switch (r.kind) {
      case NatsRecordKind::kErased: break;
      case NatsRecordKind::kDamaged:
        return corrupt(fmt::format("message {} does not match its checksum", r.seq.value()));
      case NatsRecordKind::kTombstone:
        if (removed_.size() >= kMaxRemoved_count) return fail(Errc::kFull, "too many removals");
        removed_.insert(r.seq.value());
        break;
      case NatsRecordKind::kMessage: {
        auto stored = into.append(
            {.seq = r.seq, .time = r.time, .subject = r.subject, .headers = r.headers, .payload = r.payload});
        if (!stored) return stored;
        break;
      }
    }
  }
}

Status LegacyBackup::take_index(std::string_view bytes) {
  const auto index = read_nats_stream_index(bytes);
  if (!index) return {};  // encrypted or older: the blocks say enough
  last_ = std::max(last_, index->last_seq);
  last_time_ = std::max(last_time_, index->last_time);
  return {};
}

Status LegacyBackup::take_consumer(std::string_view path, std::string_view bytes) {
  const size_t slash = path.find('/');
  if (slash == std::string_view::npos) return {};
  consumers_bytes_ += bytes.size();
  if (consumers_bytes_ > kMaxConsumers_bytes) return fail(Errc::kFull, "more than 256 MiB of consumers");
  SavedConsumer& saved = consumers_[std::string(path.substr(0, slash))];
  if (path.substr(slash) == "/meta.inf") saved.meta = bytes;
  if (path.substr(slash) == "/o.dat") saved.state = bytes;
  return {};
}

Result<StreamSeq> LegacyBackup::last_seq() const {
  if (!tar_.ended() || !meta_seen_) return corrupt("unexpected EOF");
  return StreamSeq(last_);
}

Result<std::vector<PortableConsumer>> LegacyBackup::consumers() const {
  std::vector<PortableConsumer> out;
  for (const auto& [name, saved] : consumers_) {
    auto config = read_nats_consumer_config(saved.meta);
    if (!config) return std::unexpected(config.error());
    PortableConsumer& consumer = out.emplace_back();
    consumer.config = *std::move(config);
    if (saved.state.empty()) continue;
    auto image = read_nats_consumer_image(saved.state);
    if (!image) return std::unexpected(image.error());
    consumer.image = *std::move(image);
  }
  return out;
}

}  // namespace sluice
