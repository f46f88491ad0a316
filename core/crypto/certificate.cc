#include "crypto/certificate.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <utility>

#include "base/check.h"
#include "crypto/openssl_pointers.h"

namespace sluice {
namespace {

using StorePtr = OpensslPtr<X509_STORE, X509_STORE_free>;
using ContextPtr = OpensslPtr<X509_STORE_CTX, X509_STORE_CTX_free>;
using NamesPtr = OpensslPtr<GENERAL_NAMES, GENERAL_NAMES_free>;

constexpr size_t kMaxAuthority_bytes = 4 * 1024 * 1024;

BioPtr read_from(std::string_view text) {
  BioPtr bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  SLUICE_CHECK(bio);
  return bio;
}

std::string text_of(const ASN1_STRING* from) {
  unsigned char* utf8 = nullptr;
  const int size = from == nullptr ? -1 : ASN1_STRING_to_UTF8(&utf8, from);
  if (size < 0) return {};
  std::string out(reinterpret_cast<const char*>(utf8), static_cast<size_t>(size));
  OPENSSL_free(utf8);
  return out;
}

}  // namespace

struct CertificateAuthority::Store {
  StorePtr trusted{X509_STORE_new()};
};

CertificateAuthority::CertificateAuthority(std::unique_ptr<Store> store) : store_(std::move(store)) {}
CertificateAuthority::CertificateAuthority(CertificateAuthority&&) noexcept = default;
CertificateAuthority& CertificateAuthority::operator=(CertificateAuthority&&) noexcept = default;
CertificateAuthority::~CertificateAuthority() = default;

Result<CertificateAuthority> CertificateAuthority::make(std::string_view pem) {
  if (pem.size() > kMaxAuthority_bytes) return fail(Errc::kInvalidArgument, "too large for certificates");
  auto store = std::make_unique<Store>();
  SLUICE_CHECK(store->trusted);
  const BioPtr bio = read_from(pem);
  size_t count = 0;
  while (const CertPtr certificate{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)}) {
    if (X509_STORE_add_cert(store->trusted.get(), certificate.get()) == 1) ++count;
  }
  ERR_clear_error();  // the end of the text is one
  if (count == 0) return fail(Errc::kInvalidArgument, "holds no certificate");
  return CertificateAuthority(std::move(store));
}

Result<std::vector<std::string>> CertificateAuthority::names_of(std::string_view certificate_pem, WallNanos now) const {
  if (certificate_pem.size() > kMaxCertificate_bytes) return fail(Errc::kInvalidArgument, "certificate too large");
  const BioPtr bio = read_from(certificate_pem);
  const CertPtr certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (!certificate) {
    ERR_clear_error();
    return fail(Errc::kInvalidArgument, "not a certificate");
  }
  const ContextPtr context(X509_STORE_CTX_new());
  SLUICE_CHECK(context && X509_STORE_CTX_init(context.get(), store_->trusted.get(), certificate.get(), nullptr) == 1);
  X509_STORE_CTX_set_time(context.get(), 0, now / 1'000'000'000);
  if (X509_verify_cert(context.get()) != 1) {
    ERR_clear_error();
    return fail(Errc::kDenied, std::string("the certificate is not trusted: ") + X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get())));
  }
  std::vector<std::string> names;
  const X509_NAME* subject = X509_get_subject_name(certificate.get());
  if (const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1); at >= 0)
    names.push_back(text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))));
  const NamesPtr others(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate.get(), NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; others && i < sk_GENERAL_NAME_num(others.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(others.get(), i);
    if (name->type == GEN_DNS) names.push_back(text_of(name->d.dNSName));
  }
  return names;
}

}  // namespace sluice
