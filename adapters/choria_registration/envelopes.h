// Choria's envelopes, protocol versions 1 and 2 in any mix, and the record that its adapters store.
//
// Sources: Choria's published protocol schemas; encodings held against recordings of go-choria
// 0.29.4 (tests/fixtures/choria). Pure functions: no clock, no I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace sluice {

struct UnwrapRules {
  /// true: secure requests (registration); false: secure replies.
  bool requests = true;
  /// Registration data that came gzip'd is stored unpacked when that fits into `unpack_bytes`: `zcontent` becomes `content`. 0: it stays.
  size_t unpack_bytes = 0;
  /// Refuse what carries a signature or hash that does not match. Messages marked as unsigned (the
  /// words "insecure" and "insecure registration") pass all the same, as Choria's nodes without
  /// certificate send them. A certificate's issuer is not checked.
  bool verify_signatures = true;
  /// Give out what the signature was checked with, for who asks whose it is.
  bool keep_credential = false;
};

/// What a message's signature, which matched, was made with.
struct SignedBy {
  std::string certificate;  ///< PEM, of version 1
  std::string token;        ///< JWT, of version 2
  std::string caller_token;  ///< JWT of the one in whose name `token`'s holder signed; empty: they signed for themselves
  std::string caller;        ///< whom a delegated request says it is from
  bool delegated() const { return !caller_token.empty(); }
  bool nobody() const { return certificate.empty() && token.empty(); }
};

struct UnwrappedMessage {
  std::string sender;  ///< safe as one or more subject tokens
  std::string request_id;
  std::string record;  ///< JSON of protocol choria:adapters:choria_streams:output:1
  SignedBy signed_by;  ///< nobody() for unsigned messages, and unless it was asked for
};

/// `reason` is one of bad_json, bad_base64, bad_transport, unknown_protocol, bad_envelope,
/// bad_signature, bad_sender, bad_time.
struct Rejection {
  std::string_view reason;
  std::string detail;
};

std::expected<UnwrappedMessage, Rejection> unwrap_envelope(std::string_view payload,
                                                           const UnwrapRules& rules);

/// Whether the sender can stand in a subject: tokens without blanks, wildcards or control
/// characters, none of them empty.
bool is_safe_sender(std::string_view sender);

}  // namespace sluice
