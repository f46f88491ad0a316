// Whether a signature that matched is the sender's own, by the word of somebody trusted.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "adapters/choria_registration/envelopes.h"
#include "base/error.h"
#include "crypto/certificate.h"
#include "io/clock.h"
#include "io/disk.h"

namespace sluice {

/// Version 1: the certificate is by the authority and made out to the sender. Version 2: the token is by a trusted organisation,
/// or by a chain issuer it empowered, and names the sender; a client's must let it manage the fleet without another's signature.
/// Delegated: a client that may sign for others did, and the request's caller has a token by the same organisation, with fleet
/// management. As in Choria's own security provider, the sender is then what the delegator signed.
/// What a credential was found to be is remembered for a minute, as a node sends the same one each time; 16,384 of them at most.
/// One thread at a time.
class Voucher {
 public:
  struct Now {
    MonoTime mono{};
    WallNanos wall = 0;
  };
  /// @param trusted_issuers  64 hexadecimal digits each.
  /// @param ca_file  PEM; empty: no certificate is trusted.
  /// @return kInvalidArgument, or why the file can't be read.
  static Result<std::unique_ptr<Voucher>> make(Disk& disk, const std::vector<std::string>& trusted_issuers, const std::string& ca_file);

  /// @return whose word it is: empty = the sender's own, else the delegator's caller id. kDenied with the reason.
  Result<std::string> check(const SignedBy& signed_by, const std::string& sender, const Now& at);

 private:
  /// Whom a credential is for, or why it counts for nobody.
  struct Holder {
    std::vector<std::string> names;
    std::string delegator;  ///< who signed for them
  };
  using Names = Result<Holder>;
  struct Known {
    Names names;
    MonoTime until{};
  };
  Voucher() = default;
  Names names_of(const SignedBy& signed_by, WallNanos now) const;
  Names own_name(const std::string& jwt, WallNanos now) const;
  Names delegated_name(const SignedBy& signed_by, WallNanos now) const;

  std::vector<std::string> trusted_;
  std::optional<CertificateAuthority> authority_;
  std::unordered_map<std::string, Known> known_;  ///< by the credential itself, a delegated one with its caller's
};

}  // namespace sluice
