// Any bytes as a backup, a block of S2, a file of a nats-server store: reading stays inside, memory stays bounded, and
// what was compressed comes back.
#include <cstdint>
#include <string>
#include <string_view>

#include "archive/nats_block.h"
#include "archive/nats_index.h"
#include "archive/s2.h"
#include "archive/s2_stream.h"
#include "archive/stream_archive.h"
#include "archive/tar_reader.h"
#include "base/check.h"

namespace {

using namespace sluice;

void read_backup(std::string_view bytes) {
  S2StreamReader compressed;
  ArchiveReader archive;
  std::string raw;
  compressed.feed(bytes);
  for (auto more = compressed.next(raw); more && *more; more = compressed.next(raw)) {
    SLUICE_CHECK(raw.size() <= kMaxS2Block_bytes);
    archive.feed(raw);
    for (auto entry = archive.next(); entry && *entry; entry = archive.next()) {
    }
  }
}

void read_raw(std::string_view bytes) {
  ArchiveReader archive;
  archive.feed(bytes);
  for (auto entry = archive.next(); entry && *entry; entry = archive.next()) {
  }
  TarReader tar;
  tar.feed(bytes);
  for (auto file = tar.next(); file && *file; file = tar.next()) {
  }
  NatsBlockReader block(bytes, {});
  for (auto record = block.next(); record && *record; record = block.next()) {
  }
  (void)read_nats_consumer_state(bytes);
  (void)read_nats_stream_index(bytes);
  (void)unpack_nats_block(std::string(bytes));
  // Behind a checksum that fits, or nothing would be read.
  std::string index(bytes);
  uint64_t sum = highway_hash({}, bytes);
  for (int i = 0; i < 8; ++i, sum >>= 8) index.push_back(static_cast<char>(sum & 0xff));
  (void)read_nats_index(index, {});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  read_backup(bytes);
  read_raw(bytes);
  (void)s2_decode_block(bytes);
  if (size <= 65536) {
    std::string block;
    s2_encode_block(bytes, block);
    const auto back = s2_decode_block(block);
    SLUICE_CHECK(back && *back == bytes);
  }
  return 0;
}
