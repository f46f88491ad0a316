// Records of one stream compressed together, as one record of a segment. The codec is Zstandard.
//
// Pure. A packed record keeps the identity of its first message; its payload is the compressed run of whole records, its
// `time` their length, its headers some zeros, which give an erased run the room to be as long as it was.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "store/record_format.h"

namespace sluice::format {

/// A run is packed when it reaches this length; its record then lies within 16 neighbouring pages.
inline constexpr size_t kPackedRun = 32 * 1024;

/// The record, encoded; empty when packing saves less than an eighth. `run`: whole records, the first of them `first`, none of
/// them sealed: with a `sealer` the packed record is.
std::vector<std::byte> pack(std::span<const std::byte> run, const Record& first, uint64_t seed, Sealer* sealer);
/// The run again, of a record that is opened: a packed one or a plain run (message_run.h). nullopt when it can't be unpacked.
std::optional<std::vector<std::byte>> unpack(const Record& packed);
/// Visits the records of a run.
void each_in_run(std::span<const std::byte> run, const std::function<void(const Record&, std::span<const std::byte>)>& visit);
/// Message `seq` of a run. `hint`: where it may stand; then where the next one does.
std::optional<Record> find_in_run(std::span<const std::byte> run, uint64_t seq, size_t& hint);
/// The same packed record, as long as before, with message `seq` made unreadable; nullopt when it does not fit any more.
std::optional<std::vector<std::byte>> pack_without(const Record& packed, uint64_t seq, uint64_t seed, Sealer* sealer);

}  // namespace sluice::format
