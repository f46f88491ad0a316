#include "api/api_request.h"

#include <fmt/format.h>

namespace sluice {

std::string page_members(const Page& page) {
  return fmt::format(R"("total":{},"offset":{},"limit":{})", page.total, page.first, page.limit);
}

}  // namespace sluice
