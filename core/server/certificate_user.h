// Which user a client's certificate names (`tls.verify_and_map`).
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

#include "io/transport.h"

namespace sluice {

/// The place in `users` of the first that the certificate names: by its e-mail addresses, its host
/// names, its URIs, then its subject in whatever order of components. nullopt: by none, or no
/// certificate was shown. The order is nats-server's.
std::optional<size_t> find_certificate_user(const TlsPeer* peer,
                                            std::span<const std::string_view> users);

}  // namespace sluice
