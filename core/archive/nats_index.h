// index.db of a nats-server 2.15 store directory, whole: what of the blocks' messages is gone. Pure.
// Source: the observed files of nats-server 2.15 (tests/fixtures/archive/store).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "archive/highway_hash.h"
#include "archive/nats_block.h"
#include "base/error.h"
#include "base/seq_set.h"

namespace sluice {

struct NatsIndexedBlock {
  uint64_t number = 0;     ///< of its file
  uint64_t first_seq = 0;  ///< what lies below is gone
};

struct NatsIndex {
  NatsStreamIndex head;
  std::vector<NatsIndexedBlock> blocks;
  SeqSet deleted;             ///< between the first and the last
  std::string last_checksum;  ///< the 8 bytes at the end of the newest block when this was written
};

/// @param key  SHA-256 of the stream's name.
/// @return kCorrupt, also when its checksum does not fit; kUnsupported for the layout of another release.
Result<NatsIndex> read_nats_index(std::string_view file, const HighwayHash::Key& key);

}  // namespace sluice
