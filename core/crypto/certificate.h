// Whether a certificate is by a certificate authority, and whose it is.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time_format.h"

namespace sluice {

class CertificateAuthority {
 public:
  /// `pem`: one or more certificates that are trusted. @return kInvalidArgument when there is none.
  static Result<CertificateAuthority> make(std::string_view pem);
  CertificateAuthority(CertificateAuthority&&) noexcept;
  CertificateAuthority& operator=(CertificateAuthority&&) noexcept;
  ~CertificateAuthority();

  /// The names a certificate (PEM, the first one in the text; 64 KiB at most) is made out to: its common name, then its DNS names.
  /// @return kInvalidArgument: no certificate; kDenied: not by this authority, or not valid at `now`.
  Result<std::vector<std::string>> names_of(std::string_view certificate_pem, WallNanos now) const;

 private:
  struct Store;
  explicit CertificateAuthority(std::unique_ptr<Store> store);
  std::unique_ptr<Store> store_;
};

}  // namespace sluice
