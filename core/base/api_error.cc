#include "base/api_error.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/check.h"

namespace sluice {
namespace {

struct Row {
  uint16_t err_code;
  uint16_t http_code;
  std::string_view description;
};

constexpr Row kRows[] = {
#define X(err_code, http_code, description) {err_code, http_code, description},
#include "base/api_errors.def"
#undef X
};

static_assert(std::is_sorted(std::begin(kRows), std::end(kRows),
                             [](const Row& a, const Row& b) { return a.err_code < b.err_code; }));

}  // namespace

ApiErrorText api_error_text(uint16_t err_code, const std::string& detail) {
  const Row* row = std::lower_bound(std::begin(kRows), std::end(kRows), err_code,
                                    [](const Row& r, uint16_t code) { return r.err_code < code; });
  SLUICE_CHECK(row != std::end(kRows) && row->err_code == err_code);
  std::string text(row->description);
  std::string_view rest = detail;
  for (size_t open = text.find('{'); open != std::string::npos; open = text.find('{', open)) {
    const size_t close = text.find('}', open);
    const bool last = text.find('{', close) == std::string::npos;
    const std::string_view part = last ? rest : rest.substr(0, rest.find('\n'));
    text.replace(open, close - open + 1, part);
    open += part.size();
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
  }
  return {row->http_code, std::move(text)};
}

}  // namespace sluice
