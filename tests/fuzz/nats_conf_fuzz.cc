// Any bytes as a nats-server configuration file, its includes and its environment: reading stays
// inside its bounds, and what was read can be printed and mapped.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "config/nats_conf.h"
#include "config/nats_settings.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  // A line of "---" begins the text of every included file and of every variable.
  const size_t cut = all.find("\n---\n");
  const std::string_view text = all.substr(0, cut);
  const std::string other(cut == std::string_view::npos ? std::string_view() : all.substr(cut + 5));
  const auto reader = [&](const std::string& path) -> sluice::Result<std::string> {
    if (path.size() % 4 == 3) return sluice::fail(sluice::Errc::kNotFound, "open " + path);
    return other;
  };
  const auto environment = [&](const std::string& name) -> std::optional<std::string> {
    if (name.size() % 4 == 3) return std::nullopt;
    return other;
  };
  auto conf = sluice::parse_nats_conf("f.conf", text, reader, environment);
  if (!conf) {
    SLUICE_CHECK(!conf.error().detail.empty());
    return 0;
  }
  SLUICE_CHECK(!sluice::canonical_json(*conf).empty());
  auto settings = sluice::read_nats_settings(*conf);
  SLUICE_CHECK(settings || !settings.error().detail.empty());
  return 0;
}
