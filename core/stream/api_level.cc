#include "stream/api_level.h"

#include <charconv>

#include "base/headers.h"

namespace sluice {

bool api_level_suffices(std::string_view headers, int level) {
  if (headers.empty()) return true;
  const auto wanted = find_header(headers, "Nats-Required-Api-Level");
  if (!wanted || wanted->empty()) return true;
  int value = 0;
  const char* end_of_value = wanted->data() + wanted->size();
  const auto [end, error] = std::from_chars(wanted->data(), end_of_value, value);
  return error == std::errc() && end == end_of_value && value <= level;
}

}  // namespace sluice
