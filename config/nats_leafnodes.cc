#include <algorithm>
#include <array>

#include "config/nats_stanzas.h"

namespace sluice {
namespace {

constexpr std::array kRefused = std::to_array<std::string_view>({"leaf", "leafnodes"});

}  // namespace

bool read_leafnodes_stanza(NatsReader& reader, std::string_view key, const ConfEntry& entry,
                           NatsSettings& /*settings*/) {
  if (std::ranges::find(kRefused, key) == kRefused.end()) return false;
  reader.refuse_or_unknown(entry, kRefused);
  return true;
}

}  // namespace sluice
