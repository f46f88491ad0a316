#include "crypto/tls_peer.h"

#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "crypto/digest.h"

namespace sluice {
namespace {

std::string name_text(const X509_NAME* name) {
  const std::unique_ptr<BIO, int (*)(BIO*)> out(BIO_new(BIO_s_mem()), &BIO_free);
  // UTF-8 as it is: escaping is for the separators alone.
  X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return size > 0 ? std::string(text, static_cast<size_t>(size)) : std::string();
}

/// DER of a certificate or of a key, digested.
template <class T>
std::string der_digest(T* object, int (*encode)(T*, unsigned char**)) {
  unsigned char* der = nullptr;
  const int size = encode(object, &der);
  if (size <= 0) return {};
  const std::string text = to_hex(sha256({reinterpret_cast<char*>(der), static_cast<size_t>(size)}));
  OPENSSL_free(der);
  return text;
}

void read_alternative_names(const X509* certificate, TlsPeer& peer) {
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  if (names == nullptr) return;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    std::vector<std::string>* list = name->type == GEN_EMAIL ? &peer.emails
                                     : name->type == GEN_DNS ? &peer.dns_names
                                     : name->type == GEN_URI ? &peer.uris
                                                             : nullptr;
    if (list == nullptr) continue;
    const ASN1_IA5STRING* text = name->d.ia5;
    list->emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                       static_cast<size_t>(ASN1_STRING_length(text)));
  }
  GENERAL_NAMES_free(names);
}

}  // namespace

TlsPeer read_tls_peer(const SSL* ssl) {
  TlsPeer peer;
  peer.version = SSL_version(ssl) == TLS1_3_VERSION ? "1.3" : "1.2";
  const char* cipher = SSL_CIPHER_standard_name(SSL_get_current_cipher(ssl));
  peer.cipher = cipher != nullptr ? cipher : "";
  X509* certificate = SSL_get0_peer_certificate(ssl);
  if (certificate == nullptr) return peer;
  peer.certificate = true;
  peer.subject = name_text(X509_get_subject_name(certificate));
  read_alternative_names(certificate, peer);
  peer.public_key_sha256 = der_digest<X509_PUBKEY>(
      X509_get_X509_PUBKEY(certificate),
      [](X509_PUBKEY* key, unsigned char** out) { return i2d_X509_PUBKEY(key, out); });
  peer.certificate_sha256 = der_digest<X509>(
      certificate, [](X509* whole, unsigned char** out) { return i2d_X509(whole, out); });
  return peer;
}

}  // namespace sluice
