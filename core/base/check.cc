#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace sluice {

void check_failed(const char* condition, std::source_location where) {
  std::fprintf(stderr, "SLUICE_CHECK failed: %s at %s:%u (%s)\n", condition, where.file_name(),
               where.line(), where.function_name());
  std::abort();
}

}  // namespace sluice
