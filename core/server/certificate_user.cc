#include "server/certificate_user.h"

#include <algorithm>
#include <array>

#include "crypto/distinguished_name.h"

namespace sluice {

std::optional<size_t> find_certificate_user(const TlsPeer* peer,
                                            std::span<const std::string_view> users) {
  if (peer == nullptr || !peer->certificate) return std::nullopt;
  for (const auto* names : std::array{&peer->emails, &peer->dns_names, &peer->uris}) {
    for (const std::string& name : *names) {
      const auto found = std::ranges::find(users, std::string_view(name));
      if (found != users.end()) return static_cast<size_t>(found - users.begin());
    }
  }
  for (size_t i = 0; i < users.size(); ++i) {
    if (same_distinguished_name(peer->subject, users[i])) return i;
  }
  return std::nullopt;
}

}  // namespace sluice
