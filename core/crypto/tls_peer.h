// Reads what a finished session knows of its peer; for tls_transport.cc only.
#pragma once

#include <openssl/ssl.h>

#include "io/transport.h"

namespace sluice {

TlsPeer read_tls_peer(const SSL* ssl);

}  // namespace sluice
