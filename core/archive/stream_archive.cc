#include "archive/stream_archive.h"

#include "archive/byte_reader.h"

namespace sluice {
namespace {

/// Five numbers of ten bytes at most.
constexpr size_t kMaxEntryHead_bytes = 50;
constexpr size_t kMaxName_bytes = 65536;

void append_uvarint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

void append_varint(std::string& out, int64_t value) {
  append_uvarint(out, static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63));
}

struct Head {
  uint64_t name = 0;
  int64_t time = 0;
  uint64_t seq = 0;
  uint64_t headers = 0;
  uint64_t body = 0;
  bool is_end() const { return name == 0 && time == 0 && seq == 0 && headers == 0 && body == 0; }
  bool is_sane() const {
    return name > 0 && name <= kMaxName_bytes && headers <= ArchiveReader::kMaxEntry_bytes &&
           body <= ArchiveReader::kMaxEntry_bytes && headers + body <= ArchiveReader::kMaxEntry_bytes;
  }
};

std::optional<Head> read_head(ByteReader& in) {
  const auto name = in.uvarint();
  const auto time = name ? in.varint() : std::nullopt;
  const auto seq = time ? in.uvarint() : std::nullopt;
  const auto headers = seq ? in.uvarint() : std::nullopt;
  const auto body = headers ? in.uvarint() : std::nullopt;
  if (!body) return std::nullopt;
  return Head{*name, *time, *seq, *headers, *body};
}

}  // namespace

void ArchiveWriter::entry(const ArchiveEntry& e, std::string& out) const {
  append_uvarint(out, e.name.size());
  append_varint(out, e.time);
  append_uvarint(out, e.seq.value());
  append_uvarint(out, e.headers.size());
  append_uvarint(out, e.body.size());
  out += e.name;
  out += e.headers;
  out += e.body;
}

Result<std::optional<ArchiveEntry>> ArchiveReader::next() {
  const auto corrupt = [](const char* what) { return fail(Errc::kCorrupt, what); };
  if (at_ > 0) {
    waiting_.erase(0, at_);
    at_ = 0;
  }
  if (ended_) {
    if (!waiting_.empty()) return corrupt("bytes behind the end of the archive");
    return std::nullopt;
  }
  ByteReader in(waiting_);
  if (!begun_) {
    const auto magic = in.take(kArchiveMagic.size());
    if (!magic) return std::nullopt;
    if (*magic != kArchiveMagic) return corrupt("not an archive of a stream");
  }
  const size_t before = in.left();
  const auto head = read_head(in);
  if (!head) {
    if (before >= kMaxEntryHead_bytes) return corrupt("an entry's numbers are malformed");
    return std::nullopt;
  }
  if (head->is_end()) {
    begun_ = ended_ = true;
    at_ = waiting_.size() - in.left();
    return in.left() == 0 ? Result<std::optional<ArchiveEntry>>(std::nullopt)
                          : corrupt("bytes behind the end of the archive");
  }
  if (!head->is_sane()) return corrupt("an entry larger than allowed, or without a name");
  const auto name = in.take(static_cast<size_t>(head->name));
  const auto headers = name ? in.take(static_cast<size_t>(head->headers)) : std::nullopt;
  const auto body = headers ? in.take(static_cast<size_t>(head->body)) : std::nullopt;
  if (!body) return std::nullopt;
  begun_ = true;
  at_ = waiting_.size() - in.left();
  return ArchiveEntry{.name = *name, .time = head->time, .seq = StreamSeq(head->seq), .headers = *headers,
                      .body = *body};
}

}  // namespace sluice
