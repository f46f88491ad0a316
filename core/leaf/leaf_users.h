// The users of the leaf nodes' own authorization block: spokes log in as these, not as clients do.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "leaf/leaf_options.h"
#include "server/authenticator.h"

namespace sluice {

/// Fixed at start.
class LeafUsers {
 public:
  /// @return kInvalidArgument in the reference's words: an account that is not there, a name twice.
  static Result<LeafUsers> make(const LeafOptions& options, Accounts& accounts);

  /// Without any, spokes log in as clients do.
  bool empty() const { return users_.empty(); }
  /// As Authenticator::check: an unknown name costs what a wrong password does.
  AuthAnswer check(std::string_view user, std::string_view password) const;

 private:
  struct Known {
    std::string password;
    IdentityPtr identity;
  };
  std::map<std::string, Known, std::less<>> users_;
  std::string decoy_;  ///< what an unknown user's password is compared with
};

}  // namespace sluice
