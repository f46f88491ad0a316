// The `tls` section of a listener.
#include <fmt/format.h>

#include <algorithm>

#include "config/config.h"
#include "config/sections.h"
#include "config/units.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
constexpr milliseconds kAutoFallback{50};

TlsKeyPair& only_pair(TlsListenerOptions& tls) {
  if (tls.certificates.empty()) tls.certificates.emplace_back();
  return tls.certificates.front();
}

/// `false`, `true`, `auto`, or how long to wait for a hello before greeting in clear.
void read_handshake_first(ReadContext& context, const YamlNode& node, const FieldRow&,
                          TlsListenerOptions& tls) {
  const auto text = read_text(context, node);
  if (!text) return;
  tls.handshake_first = *text != "false";
  tls.first_fallback = {};
  if (*text == "false" || *text == "true") return;
  const auto time = parse_time(*text);
  if (*text == "auto") {
    tls.first_fallback = kAutoFallback;
  } else if (time && time->count() > 0) {
    tls.first_fallback = *time;
  } else {
    context.problems.add(
        node.place,
        fmt::format("'handshake_first' must be true, false, auto or a duration, found '{}'",
                    *text));
  }
}

void read_pins(ReadContext& context, const YamlNode& node, const FieldRow&,
               TlsListenerOptions& tls) {
  auto pins = read_text_list(context, node);
  if (!pins) return;
  for (std::string& pin : *pins) {
    for (char& c : pin) c = c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c;
    if (pin.size() != 64 || pin.find_first_not_of("0123456789abcdef") != std::string::npos) {
      context.problems.add(node.place,
                           "'pinned_certs' holds a text that is no SHA-256 in hexadecimal digits");
      return;
    }
  }
  tls.pinned_certs = std::move(*pins);
}

}  // namespace

const FieldRows& tls_listener_fields() {
  static const FieldRows rows = [] {
    using O = TlsListenerOptions;
    FieldTable<O> t("TLS of a listener, 1.2 and newer.");
    t.own("cert", FieldKind::kText, "",
          [](ReadContext& c, const YamlNode& n, const FieldRow&, O& o) {
            if (auto text = read_text(c, n)) only_pair(o).cert_file = std::move(*text);
          })
        .doc("PEM file of the certificate and its chain.");
    t.own("key", FieldKind::kText, "",
          [](ReadContext& c, const YamlNode& n, const FieldRow&, O& o) {
            if (auto text = read_text(c, n)) only_pair(o).key_file = std::move(*text);
          })
        .doc("PEM file of its private key; must not be world-readable.");
    t.text("ca", &O::ca_file)
        .doc("PEM file of the authorities whose client certificates are believed; the system's "
             "when empty.");
    t.flag("verify", &O::verify).doc("Clients must show a certificate.");
    t.flag("verify_and_map", &O::verify_and_map)
        .doc("And are the user whom it names: by e-mail, DNS name, URI or subject.");
    t.own("pinned_certs", FieldKind::kTextList, "", &read_pins)
        .doc("SHA-256 of the public keys (SPKI) of the clients let in. Empty: any.");
    t.word("min_version", &O::min_version, {{"1.2", TlsVersion::k12}, {"1.3", TlsVersion::k13}})
        .doc("Oldest version spoken.");
    t.text_list("cipher_suites", &O::cipher_suites).doc("IANA names. Empty: a safe choice.");
    t.flag("allow_insecure_cipher_suites", &O::allow_insecure_cipher_suites)
        .doc("Let `cipher_suites` name suites without forward secrecy or with old ciphers.");
    t.text_list("curve_preferences", &O::curve_preferences)
        .doc("CurveP256, CurveP384, CurveP521, X25519. Empty: OpenSSL's choice.");
    t.time("timeout", &O::timeout)
        .between(milliseconds(10), minutes(10))
        .doc("Time a client has for the handshake.");
    t.own("handshake_first", FieldKind::kText, "false", &read_handshake_first)
        .doc("Expect TLS before INFO. `auto` (50 ms) or a duration: who says nothing for so long "
             "is greeted in clear.");
    t.count("connection_rate_limit", &O::connection_rate_limit)
        .doc("Handshakes begun in one second. 0: without limit.");
    return t.take();
  }();
  return rows;
}

}  // namespace sluice
