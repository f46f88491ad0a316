// Where a copied message came from: the headers that every copy carries.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/time_format.h"
#include "proof/copy_marks.h"
#include "replicator/position.h"

namespace sluice {

/// `Choria-SR-Source: <source stream> <source sequence> <replicator> <worker> <source time, ms>`: the
/// form of Choria's Stream Replicator, so that its consumers and tools read our copies too.
struct Provenance {
  std::string stream;
  StreamSeq seq;
  std::string replicator;
  std::string worker;
  int64_t time_ms = 0;
  bool same_copy(const Provenance& other) const {
    return stream == other.stream && replicator == other.replicator && worker == other.worker;
  }
};

std::string format_provenance(const Provenance& provenance);
/// The newest mark of this copy in a header block (copies of copies carry one mark a hop); `copy`
/// names stream, replicator and worker. nullopt when there is none.
std::optional<Provenance> find_provenance(std::string_view headers, const Provenance& copy);

/// How often a message was copied before it came here: marks of any replicator.
uint32_t count_hops(std::string_view headers);

/// Headers of a copy, but for the fence: the source's fields byte for byte, without `Nats-Expected-*` (they
/// spoke of the source's sequences), `Nats-Batch-*` (they would begin a batch) and the previous hop's position; then mark and position.
std::string copy_headers(std::string_view source_headers, const Provenance& mark, const CopyPosition& position);
/// "<stream>:<sequence>:<replicator>:<worker>:<life>": the same for each attempt to copy one message, and neither that of
/// another site's stream of the same name nor that of a stream made anew.
std::string copy_message_id(const Provenance& mark, WallNanos origin_created);

}  // namespace sluice
