#include <algorithm>
#include <array>

#include "config/nats_stanzas.h"

namespace sluice {
namespace {

constexpr std::array kRefused =
    std::to_array<std::string_view>({"tls", "ocsp", "ocsp_cache", "allow_non_tls"});

}  // namespace

bool read_tls_stanza(NatsReader& reader, std::string_view key, const ConfEntry& entry,
                     NatsSettings& /*settings*/) {
  if (std::ranges::find(kRefused, key) == kRefused.end()) return false;
  reader.refuse_or_unknown(entry, kRefused);
  return true;
}

}  // namespace sluice
