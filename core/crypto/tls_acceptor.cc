#include "crypto/tls_acceptor.h"

#include <utility>

namespace sluice {

Status TlsAcceptor::load(const TlsListenerOptions& options, bool optional) {
  auto context = make_tls_server_context(options);
  if (!context) return std::unexpected(std::move(context.error()));
  context_ = std::move(*context);
  policy_ = {.handshake_first = options.handshake_first,
             .first_fallback = options.first_fallback,
             .optional = optional,
             .timeout = options.timeout};
  verifies_ = options.verify || options.verify_and_map;
  rate_limit_ = options.connection_rate_limit;
  return {};
}

bool TlsAcceptor::admit() {
  if (rate_limit_ == 0) return true;
  const MonoTime now = clock_.now();
  if (now - second_begin_ >= std::chrono::seconds(1)) {
    second_begin_ = now;
    in_second_ = 0;
  }
  return ++in_second_ <= rate_limit_;
}

}  // namespace sluice
