// Where a copier stands: one record, kept in the headers of what it copies and in one small file.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/ids.h"
#include "base/time_format.h"
#include "io/disk.h"
#include "replicator/ledger.h"

namespace sluice {

/// Every source message up to `source_seq` is accounted for in `ledger`, and the target held nothing of
/// this copy beyond `target_seq` when that became true. `origin_created` names the life of the source
/// stream (0 = not known).
struct CopyPosition {
  WallNanos origin_created = 0;
  StreamSeq source_seq{};
  StreamSeq target_seq{};
  StreamSeq source_end{}; ///< the source's last sequence as last seen, to tell what a lost stream held
  bool shared = false;    ///< others were seen to write to the target
  Ledger ledger{};
  bool operator==(const CopyPosition&) const = default;
};

std::string encode_position(const CopyPosition& position);
/// nullopt when it is not one, whole and of this format.
std::optional<CopyPosition> decode_position(std::string_view text);

/// The record as a copied message carries it; target_seq, source_end and shared are not in it.
std::string format_position_header(const CopyPosition& position);
std::optional<CopyPosition> parse_position_header(std::string_view value);

/// Blocking. kNotFound when there is none; kCorrupt when it can't be read as one.
Result<CopyPosition> read_position(Disk& disk, const std::string& path);
/// Blocking: writes beside it, syncs, renames, syncs the folder.
Status write_state_file(Disk& disk, const std::string& dir, const std::string& name, std::string_view text);

}  // namespace sluice
