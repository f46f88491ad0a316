// What a copier remembers beside what its target tells: one small file, replaced whole.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/ids.h"
#include "base/time_format.h"
#include "io/disk.h"

namespace sluice {

/// A pair of places known to belong together: source message `source_seq` is target message
/// `target_seq`. `origin_created` names the life of the source stream.
struct CopyPosition {
  WallNanos origin_created = 0;
  StreamSeq source_seq;
  StreamSeq target_seq;
  bool operator==(const CopyPosition&) const = default;
};

std::string encode_position(const CopyPosition& position);
/// nullopt when it is not one, whole and of this format.
std::optional<CopyPosition> decode_position(std::string_view text);

/// Blocking. kNotFound when there is none; kCorrupt when it can't be read as one.
Result<CopyPosition> read_position(Disk& disk, const std::string& path);
/// Blocking: writes beside it, syncs, renames, syncs the folder.
Status write_position(Disk& disk, const std::string& dir, const std::string& name,
                      const CopyPosition& position);

}  // namespace sluice
