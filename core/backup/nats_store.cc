#include "backup/nats_store.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <simdjson.h>

#include "archive/nats_block.h"
#include "backup/nats_consumer.h"
#include "base/limits.h"
#include "base/parse_number.h"
#include "crypto/digest.h"

namespace sluice {
namespace {

constexpr uint64_t kMaxMeta_bytes = 4 * kMiB;
constexpr uint64_t kMaxIndex_bytes = kGiB;
constexpr uint64_t kMaxBlock_bytes = 64 * kMiB;
constexpr uint64_t kMaxConsumer_bytes = 256 * kMiB;
constexpr size_t kMaxDamages_told = 1000;
constexpr size_t kSum_bytes = 8;

constexpr const char* kEncrypted =
    "it is encrypted, and its key is the server's: take a backup of it from the running server (nats stream backup) and restore that";

/// The members of `meta.inf` that are the stream's configuration; one server keeps one copy.
Result<std::string> config_json(std::string_view meta, std::vector<std::string>& notes) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  simdjson::dom::object members;
  if (parser.parse(meta.data(), meta.size()).get(root) != simdjson::SUCCESS || root.get_object().get(members) != simdjson::SUCCESS)
    return fail(Errc::kCorrupt, "meta.inf is not JSON");
  std::string out;
  for (const auto& member : members) {
    if (member.key == "Created") continue;
    std::string value = simdjson::minify(member.value);
    if (member.key == "num_replicas" && value != "1" && value != "0") {
      notes.push_back(fmt::format("{} replicas were configured, here it has one", value));
      value = "1";
    }
    out += fmt::format("{}\"{}\":{}", out.empty() ? "" : ",", member.key, value);
  }
  return "{" + out + "}";
}

Result<StreamConfig> read_stream_config(std::string_view meta, std::vector<std::string>& notes) {
  const auto json = config_json(meta, notes);
  if (!json) return std::unexpected(json.error());
  const auto request = parse_stream_request(*json);
  auto config = request ? check_stream_config(*request, {}) : Result<StreamConfig>(std::unexpected(request.error()));
  if (!config)
    return fail(Errc::kUnsupported, fmt::format("its configuration can't be had here: {} ({})", config.error().detail, config.error().api_code));
  return config;
}

}  // namespace

Result<std::vector<NatsStreamFolder>> find_nats_streams(Disk& disk, const std::string& dir) {
  const std::string root = disk.exists(dir + "/jetstream") ? dir + "/jetstream" : dir;
  std::vector<NatsStreamFolder> out;
  const auto accounts = disk.list(root);
  if (!accounts) return fail(Errc::kNotFound, fmt::format("{} can't be read: {}", root, accounts.error().detail));
  bool account_seen = false;
  for (const std::string& account : *accounts) {
    const std::string streams_dir = fmt::format("{}/{}/streams", root, account);
    const auto streams = disk.exists(streams_dir) ? disk.list(streams_dir) : fail(Errc::kNotFound, "");
    account_seen = account_seen || streams.has_value();
    if (!streams) continue;
    for (const std::string& stream : *streams) {
      const std::string path = streams_dir + "/" + stream;
      if (disk.exists(path + "/meta.inf")) out.push_back({.account = account, .stream = stream, .path = path});
    }
  }
  if (!account_seen) return fail(Errc::kNotFound, fmt::format("{}: no nats-server's store (it has <account>/streams/<stream> in the folder jetstream)", dir));
  return out;
}

Result<std::unique_ptr<NatsStreamFiles>> NatsStreamFiles::open(Disk& disk, const NatsStreamFolder& folder) {
  std::unique_ptr<NatsStreamFiles> out(new NatsStreamFiles(disk, folder));
  if (auto read = out->read_config(); !read) return std::unexpected(read.error());
  if (auto found = out->find_blocks(); !found) return std::unexpected(found.error());
  out->read_index();
  if (auto read = out->read_consumers(); !read) return std::unexpected(read.error());
  return out;
}

Result<std::string> NatsStreamFiles::read_file(const std::string& name, uint64_t most_bytes) const {
  auto file = disk_.open(folder_.path + "/" + name, OpenMode::kRead);
  if (!file) return std::unexpected(file.error());
  const auto size = (*file)->size();
  if (!size) return std::unexpected(size.error());
  if (*size > most_bytes) return fail(Errc::kCorrupt, fmt::format("it is larger than {} MiB", most_bytes / kMiB));
  std::string out(static_cast<size_t>(*size), '\0');
  const auto got = (*file)->read_at(0, std::as_writable_bytes(std::span(out)));
  if (!got) return std::unexpected(got.error());
  out.resize(*got);
  return out;
}

void NatsStreamFiles::damaged(const std::string& file, std::string_view what) {
  ++survey_.damages;
  if (survey_.damage.size() < kMaxDamages_told) survey_.damage.push_back(fmt::format("{}: {}", file, what));
}

/// `name` is what its checksum depends on besides the bytes.
void NatsStreamFiles::check_sum(const std::string& folder, std::string_view meta, std::string_view name) {
  const auto sum = read_file(folder + "meta.sum", kMaxMeta_bytes);
  if (!sum || *sum != nats_checksum_hex(sha256(name), meta)) damaged(folder + "meta.inf", "it does not match meta.sum");
}

Status NatsStreamFiles::read_config() {
  if (disk_.exists(folder_.path + "/meta.key")) return fail(Errc::kUnsupported, kEncrypted);
  const auto meta = read_file("meta.inf", kMaxMeta_bytes);
  if (!meta) return fail(meta.error().code, "meta.inf: " + meta.error().detail);
  auto config = read_stream_config(*meta, survey_.notes);
  if (!config) return std::unexpected(config.error());
  config_ = *std::move(config);
  if (config_.name != folder_.stream) return fail(Errc::kCorrupt, fmt::format("meta.inf is of the stream '{}'", config_.name));
  check_sum("", *meta, config_.name);
  return {};
}

Status NatsStreamFiles::find_blocks() {
  const auto names = disk_.list(folder_.path + "/msgs");
  if (!names) return {};  // never written
  for (const std::string_view name : *names) {
    if (name.ends_with(".key")) return fail(Errc::kUnsupported, kEncrypted);
    if (!name.ends_with(".blk")) continue;
    const auto number = parse_decimal<uint64_t>(name.substr(0, name.size() - 4));
    if (!number) continue;
    auto file = disk_.open(fmt::format("{}/msgs/{}", folder_.path, name), OpenMode::kRead);
    if (!file) return std::unexpected(file.error());
    const auto size = (*file)->size();
    if (!size) return std::unexpected(size.error());
    blocks_.push_back({.number = *number, .bytes = *size});
  }
  std::ranges::sort(blocks_, {}, &Block::number);
  return {};
}

/// Removals only grow: an old index tells nothing wrong, only not all.
void NatsStreamFiles::read_index() {
  const auto file = read_file("msgs/index.db", kMaxIndex_bytes);
  if (!file) return;  // its server was killed before it wrote the first
  auto index = read_nats_index(*file, sha256(config_.name));
  if (!index) {
    survey_.notes.push_back(fmt::format("msgs/index.db is not used ({}): removals by limits show only in it, and the limits are applied anew",
                                        index.error().detail));
    return;
  }
  index_ = *std::move(index);
  removed_ = index_.deleted;
  note_last(index_.head.last_seq, index_.head.last_time);
  for (const NatsIndexedBlock& indexed : index_.blocks) {
    const auto block = std::ranges::find(blocks_, indexed.number, &Block::number);
    if (block != blocks_.end()) block->first_seq = indexed.first_seq;
  }
}

Status NatsStreamFiles::read_consumers() {
  const auto names = disk_.list(folder_.path + "/obs");
  if (!names) return {};
  size_t ephemeral = 0;
  for (const std::string& name : *names) {
    const size_t before = consumers_.size();
    if (auto read = read_consumer(name); !read) return read;
    if (consumers_.size() > before && consumers_.back().config.durable_name.empty()) {
      consumers_.pop_back();
      ++ephemeral;
    }
  }
  if (ephemeral > 0) survey_.notes.push_back(fmt::format("{} consumers without a durable name are left out: their clients are gone", ephemeral));
  return {};
}

Status NatsStreamFiles::read_consumer(const std::string& name) {
  const std::string folder = fmt::format("obs/{}/", name);
  if (disk_.exists(fmt::format("{}/{}meta.key", folder_.path, folder))) return fail(Errc::kUnsupported, kEncrypted);
  const auto meta = read_file(folder + "meta.inf", kMaxMeta_bytes);
  if (!meta) {
    damaged(folder + "meta.inf", meta.error().detail);
    return {};
  }
  auto config = read_nats_consumer_config(*meta);
  if (!config) {
    damaged(folder + "meta.inf", fmt::format("the consumer is left out: {}", config.error().detail));
    return {};
  }
  check_sum(folder, *meta, config_.name + "/" + name);
  PortableConsumer& consumer = consumers_.emplace_back();
  consumer.config = *std::move(config);
  if (consumer.config.num_replicas > 1) consumer.config.num_replicas = 0;
  const auto state = read_file(folder + "o.dat", kMaxConsumer_bytes);
  if (!state) return {};  // it never delivered anything
  auto image = read_nats_consumer_image(*state);
  if (image)
    consumer.image = *std::move(image);
  else
    damaged(folder + "o.dat", fmt::format("the consumer begins anew: {}", image.error().detail));
  return {};
}

void NatsStreamFiles::note_last(uint64_t seq, WallNanos time) {
  if (seq < last_) return;
  last_ = seq;
  last_time_ = time;
}

void NatsStreamFiles::take_record(const Block& block, const NatsRecord& record) {
  const uint64_t seq = record.seq.value();
  switch (record.kind) {
    case NatsRecordKind::kMessage:
      note_last(seq, record.time);
      if (seq >= block.first_seq && seq >= index_.head.first_seq && !removed_.contains(seq)) present_.insert(seq);
      return;
    case NatsRecordKind::kErased: return;
    case NatsRecordKind::kTombstone:
      note_last(seq, record.time);
      removed_.insert(seq);
      present_.erase(seq);
      return;
    case NatsRecordKind::kDamaged:
      damaged(fmt::format("msgs/{}.blk", block.number), fmt::format("message {} does not match its checksum", seq));
  }
}

Status NatsStreamFiles::survey_block(size_t at) {
  const Block& block = blocks_[at];
  const std::string name = fmt::format("msgs/{}.blk", block.number);
  auto file = read_file(name, kMaxBlock_bytes);
  if (!file && file.error().code == Errc::kIo) return fail(Errc::kIo, fmt::format("{}: {}", name, file.error().detail));
  if (file) newest_checksum_ = file->size() < kSum_bytes ? std::string() : file->substr(file->size() - kSum_bytes);
  const auto bytes = file ? unpack_nats_block(*std::move(file)) : std::move(file);
  if (!bytes) {
    damaged(name, fmt::format("none of its {} bytes can be read: {}", block.bytes, bytes.error().detail));
    return {};
  }
  NatsBlockReader reader(*bytes, sha256(fmt::format("{}-{}", config_.name, block.number)));
  while (true) {
    const size_t left = reader.left_bytes();
    const auto record = reader.next();
    if (!record) {
      damaged(name, fmt::format("its last {} bytes can't be read: {}", left, record.error().detail));
      return {};
    }
    if (!*record) return {};
    take_record(block, **record);
  }
}

const NatsSurvey& NatsStreamFiles::end_survey() {
  survey_.messages = present_.size();
  survey_.last = StreamSeq(last_);
  survey_.last_time = last_time_;
  if (!present_.empty()) survey_.first = StreamSeq(present_.ranges().begin()->first);
  const bool current = !index_.last_checksum.empty() && index_.last_checksum == newest_checksum_;
  if (current && survey_.damages == 0 && index_.head.messages != survey_.messages)
    damaged("msgs", fmt::format("{} messages were found, its server had {}", survey_.messages, index_.head.messages));
  return survey_;
}

Status NatsStreamFiles::read_block(size_t at, const std::function<Status(const StoredMessage&)>& take) {
  const Block& block = blocks_[at];
  const std::string name = fmt::format("msgs/{}.blk", block.number);
  auto file = read_file(name, kMaxBlock_bytes);
  if (file && file->size() != block.bytes)
    return fail(Errc::kInvalidArgument, fmt::format("{} changed while it was read: stop its nats-server first", name));
  const auto bytes = file ? unpack_nats_block(*std::move(file)) : std::move(file);
  if (!bytes) return {};  // said by the survey
  NatsBlockReader reader(*bytes, sha256(fmt::format("{}-{}", config_.name, block.number)));
  while (true) {
    const auto record = reader.next();
    if (!record || !*record) return {};
    const NatsRecord& r = **record;
    if (r.kind != NatsRecordKind::kMessage || !present_.contains(r.seq.value())) continue;
    if (auto taken = take({.seq = r.seq, .time = r.time, .subject = r.subject, .headers = r.headers, .payload = r.payload}); !taken)
      return taken;
  }
}

}  // namespace sluice
