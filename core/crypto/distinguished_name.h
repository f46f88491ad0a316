// The text form of a certificate's subject, as users' names hold it.
#pragma once

#include <string_view>

namespace sluice {

/// Whether both texts (RFC 2253: "CN=a,OU=b") hold the same components, in whatever order, blanks
/// around them and case of the attribute names aside. Texts that are no such names are never equal.
bool same_distinguished_name(std::string_view a, std::string_view b);

}  // namespace sluice
