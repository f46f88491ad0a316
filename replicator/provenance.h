// Where a copied message came from: the header that every copy carries.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/time_format.h"

namespace sluice {

/// `Choria-SR-Source: <source stream> <source sequence> <replicator> <worker> <source time, ms>`: the
/// form of Choria's Stream Replicator, so that its consumers and tools read our copies too.
struct Provenance {
  std::string stream;
  StreamSeq seq;
  std::string replicator;
  std::string worker;
  int64_t time_ms = 0;
};

inline constexpr std::string_view kProvenanceHeader = "Choria-SR-Source";

std::string format_provenance(const Provenance& provenance);
/// The newest mark of this worker in a header block: copies of copies carry one mark a hop.
/// nullopt when there is none of this source stream and worker.
std::optional<Provenance> find_provenance(std::string_view headers, std::string_view stream,
                                          std::string_view worker);

/// The header block of a copy: the source's fields byte for byte, but for `Nats-Expected-*` (they spoke
/// of the source's sequences), then the mark, then the fence `Nats-Expected-Last-Sequence`, by which
/// the target takes each message once and in order.
std::string copy_headers(std::string_view source_headers, const Provenance& mark,
                         StreamSeq expected_target_last);

}  // namespace sluice
