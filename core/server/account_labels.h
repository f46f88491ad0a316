// Accounts as label values of metrics: there may be many, a scrape bears a bounded number.
#pragma once

#include <cstddef>
#include <string_view>

namespace sluice {

/// The first so many by name have figures of their own…
inline constexpr size_t kMaxAccountLabels = 256;
/// …and all others together these. No account can be called so: names hold no blank.
inline constexpr std::string_view kOtherAccounts = "all others";

}  // namespace sluice
