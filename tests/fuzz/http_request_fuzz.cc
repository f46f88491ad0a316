// Bytes of an HTTP client: the requests that come out must not depend on where the bytes are cut, and stay
// within their bounds.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "cuts.h"
#include "http/request_parser.h"

namespace {

using Outcome = sluice::HttpRequestParser::Outcome;

constexpr sluice::HttpLimits kLimits{.max_header_bytes = 1024, .max_body_bytes = 512, .keep_body = true};

std::string told(std::string_view bytes, size_t step) {
  sluice::HttpRequestParser parser(kLimits);
  std::string out;
  while (!bytes.empty()) {
    std::string_view part = bytes.substr(0, step);
    bytes.remove_prefix(part.size());
    while (!part.empty()) {
      const Outcome outcome = parser.parse(part);
      // Of two reasons to refuse it, too long a head and a bad byte behind, the one that is seen first counts.
      if (outcome == Outcome::kBad) return parser.error_status() >= 400 ? out + "!" : out;
      if (outcome == Outcome::kMore) break;
      const sluice::HttpRequest& r = parser.request();
      if (r.body.size() > kLimits.max_body_bytes) std::abort();
      out += std::to_string(static_cast<int>(r.method)) + " " + r.path;
      for (const auto& [name, value] : r.query) out += "?" + name + "=" + value;
      for (const auto& [name, value] : r.headers) out += "\n" + name + ": " + value;
      out += (r.keep_alive ? "\n+" : "\n-") + r.body + "\n";
    }
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { return same_however_cut(data, size, 32, told); }
