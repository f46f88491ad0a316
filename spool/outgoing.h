// What goes over the wire for one submission: Choria's headers, byte for byte as its nodes send them.
#pragma once

#include <string>

#include "base/error.h"
#include "crypto/signature.h"
#include "spool/submission.h"

namespace sluice {

/// What a node signs with.
struct SpoolSigner {
  Ed25519Key seed{};
  std::string token;  ///< the JWT that vouches for the key; empty = none is sent
};

/// The header block, sorted by name. `tries`: Choria-Tries, absent at 0. `signer` null: not signed.
std::string outgoing_headers(const Submission& submission, uint32_t tries, const SpoolSigner* signer);

}  // namespace sluice
