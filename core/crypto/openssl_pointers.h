// Owners of OpenSSL's objects. Included by .cc files of this room only.
#pragma once

#include <openssl/bio.h>
#include <openssl/x509.h>

#include <cstddef>
#include <memory>

namespace sluice {

template <auto Free>
struct OpensslFree {
  template <class T>
  void operator()(T* p) const {
    Free(p);
  }
};
template <class T, auto Free>
using OpensslPtr = std::unique_ptr<T, OpensslFree<Free>>;

using CertPtr = OpensslPtr<X509, X509_free>;
using BioPtr = OpensslPtr<BIO, BIO_free>;

inline constexpr size_t kMaxCertificate_bytes = 64 * 1024;

}  // namespace sluice
