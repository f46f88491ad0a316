// The `tls` block of a listener, wherever it stands in a .conf.
#pragma once

#include "config/nats_reader.h"
#include "crypto/tls_acceptor.h"

namespace sluice {

void read_tls_block(NatsReader& reader, const ConfValue& value, TlsListenerOptions& tls);

}  // namespace sluice
