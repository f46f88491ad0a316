// Under which conditions a user's JWT counts: from which addresses, at which times of the day.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time_format.h"
#include "server/jwt.h"

namespace sluice {

/// Whether `address` lies in one of the networks ("192.0.2.0/24", "2001:db8::/32"); false for what is
/// no address. A network that is none holds nobody.
bool address_in(std::string_view address, const std::vector<std::string>& networks);

/// Until when the spans of the day allow it; kDenied when they do not now, or when there is no time
/// zone of that name ("" = UTC).
Result<WallNanos> allowed_until(const std::vector<DaySpan>& spans, const std::string& zone,
                                WallNanos now);

/// `{{name()}}`, `{{subject()}}`, `{{account-name()}}`, `{{account-subject()}}`, `{{tag(x)}}` and
/// `{{account-tag(x)}}` of a scoped key's template, filled in. A tag with several values gives
/// several subjects, one without gives none in an allow list and is an error in a deny list.
/// kDenied when it can't be filled, or nothing is left of a list that had something.
Result<PermissionOptions> fill_template(const PermissionOptions& permissions, const UserJwt& user,
                                        const AccountJwt& account);

}  // namespace sluice
