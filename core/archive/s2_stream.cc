#include "archive/s2_stream.h"

#include <fmt/format.h>

#include "archive/byte_reader.h"
#include "archive/crc32c.h"
#include "archive/s2.h"

namespace sluice {
namespace {

constexpr uint8_t kCompressed = 0x00;
constexpr uint8_t kUncompressed = 0x01;
constexpr uint8_t kFirstSkippable = 0x80;
constexpr uint8_t kIdentifier = 0xff;
constexpr std::string_view kS2Name = "S2sTwO";
constexpr std::string_view kSnappyName = "sNaPpY";
constexpr size_t kChecksum = 4;
constexpr size_t kWritten_bytes = 65536;

std::unexpected<Error> corrupt(std::string what) { return fail(Errc::kCorrupt, std::move(what)); }

void append_le(std::string& out, uint64_t value, size_t width) {
  for (size_t i = 0; i < width; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

void append_chunk(std::string& out, uint8_t type, std::string_view raw, std::string_view body) {
  out.push_back(static_cast<char>(type));
  append_le(out, body.size() + kChecksum, 3);
  append_le(out, masked_crc32c(raw), kChecksum);
  out += body;
}

}  // namespace

void S2StreamReader::feed(std::string_view bytes) {
  waiting_.erase(0, at_);
  at_ = 0;
  waiting_ += bytes;
}

Result<bool> S2StreamReader::next(std::string& out) {
  out.clear();
  ByteReader in(std::string_view(waiting_).substr(at_));
  const auto type = in.byte();
  if (type && *type != kIdentifier && !identified_) return corrupt("s2: corrupt input");  // whatever length it claims
  const auto length = type ? in.le(3) : std::nullopt;
  const auto body = length ? in.take(static_cast<size_t>(*length)) : std::nullopt;
  if (!body) return false;
  if (auto read = chunk(*type, *body, out); !read) return std::unexpected(read.error());
  at_ = waiting_.size() - in.left();
  return true;
}

Status S2StreamReader::chunk(uint8_t type, std::string_view body, std::string& out) {
  if (type == kIdentifier) {
    if (body != kS2Name && body != kSnappyName) return corrupt("s2: corrupt input");
    identified_ = true;
    return {};
  }
  if (!identified_) return corrupt("s2: corrupt input");
  if (type == kCompressed || type == kUncompressed) return data(body, type == kCompressed, out);
  if (type >= kFirstSkippable) return {};  // an index, padding, what later versions add
  return corrupt(fmt::format("chunk of the unknown kind {}", type));
}

Status S2StreamReader::data(std::string_view body, bool compressed, std::string& out) {
  ByteReader in(body);
  const auto checksum = in.le(kChecksum);
  if (!checksum) return corrupt("chunk without a checksum");
  if (compressed) {
    auto block = s2_decode_block(in.rest());
    if (!block) return std::unexpected(block.error());
    out = *std::move(block);
  } else {
    if (in.left() > kMaxS2Block_bytes) return corrupt("chunk larger than allowed");
    out = in.rest();
  }
  if (masked_crc32c(out) != *checksum) return corrupt("chunk does not match its checksum");
  return {};
}

void S2StreamWriter::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t taken = std::min(kWritten_bytes - gathered_.size(), bytes.size());
    gathered_ += bytes.substr(0, taken);
    bytes.remove_prefix(taken);
    if (gathered_.size() == kWritten_bytes) flush();
  }
}

void S2StreamWriter::flush() {
  if (!std::exchange(identified_, true)) {
    ready_.push_back(static_cast<char>(kIdentifier));
    const std::string_view name = framing_ == Framing::kS2 ? kS2Name : kSnappyName;
    append_le(ready_, name.size(), 3);
    ready_ += name;
  }
  if (gathered_.empty()) return;
  std::string block;
  s2_encode_block(gathered_, block);
  if (block.size() < gathered_.size())
    append_chunk(ready_, kCompressed, gathered_, block);
  else
    append_chunk(ready_, kUncompressed, gathered_, gathered_);
  gathered_.clear();
}

}  // namespace sluice
