// What copiers write into the headers of the messages they copy, and what of a message a copy keeps.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/ids.h"

namespace sluice {

/// `<source stream> <source sequence> <replicator> <worker> <source time, ms>`, one a hop.
inline constexpr std::string_view kProvenanceHeader = "Choria-SR-Source";
/// The position record as of this message: what was settled when it was written.
inline constexpr std::string_view kPositionHeader = "Sluice-Copy-Position";
inline constexpr std::string_view kOriginalIdHeader = "Sluice-Original-Msg-Id";
/// Of sourced streams (ADR-36 and later): `<stream>[:<hash>] <sequence> …`.
inline constexpr std::string_view kSourcedHeader = "Nats-Stream-Source";

/// Headers that copiers write, take off or replace: no part of what a copy keeps.
bool is_copiers_own(std::string_view header_name);

struct CopyMark {
  std::optional<StreamSeq> origin;  ///< its sequence in the stream of that name; nullopt: it is no copy of it
  uint32_t hops = 0;                ///< how many replicators it went through
};

/// Which mark of a message says what it is a copy of. Views are the caller's.
struct MarkRule {
  std::string_view stream;
  std::string_view replicator{};  ///< who made the mark; empty = anybody
  std::string_view worker{};      ///< the same; its healed messages (`<worker>.heal`) are its own
  uint32_t hop = 0;               ///< of all replicators' marks only this one, 1 = the newest; 0 = the newest that fits
  bool only_replicators() const { return hop != 0 || !replicator.empty() || !worker.empty(); }
};
inline constexpr std::string_view kHealedWorkerSuffix = ".heal";

/// A replicator's mark counts before that of a sourced stream, which has neither replicator nor hops.
CopyMark find_copy_mark(std::string_view headers, const MarkRule& rule);

}  // namespace sluice
