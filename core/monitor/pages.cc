#include "monitor/pages.h"

#include <algorithm>

namespace sluice {

MonitorPages::MonitorPages(Env& env, MonitorSubject subject,
                           std::function<ProcessFigures()> process)
    : env_(env),
      subject_(std::move(subject)),
      process_(std::move(process)),
      config_load_time_(env.clock.wall()),
      last_cpu_at_(env.clock.now()) {}

void MonitorPages::set_config_digest(std::string digest) {
  subject_.config_digest = std::move(digest);
  config_load_time_ = env_.clock.wall();
}

namespace {

constexpr std::string_view kNames[] = {"varz",     "jsz",       "connz",  "accountz",
                                       "accstatz", "subsz",     "routez", "leafz",
                                       "gatewayz", "ipqueuesz", "raftz",  "healthz"};

}  // namespace

std::vector<std::string_view> MonitorPages::names() {
  return {std::begin(kNames), std::end(kNames)};
}

PageAnswer MonitorPages::answer(std::string_view name, const PageQuery& query) {
  using Page = PageAnswer (MonitorPages::*)(const PageQuery&);
  static constexpr Page kPages[] = {
      &MonitorPages::varz,      &MonitorPages::jsz,      &MonitorPages::connz,
      &MonitorPages::accountz,  &MonitorPages::accstatz, &MonitorPages::subsz,
      &MonitorPages::routez,    &MonitorPages::leafz,    &MonitorPages::gatewayz,
      &MonitorPages::ipqueuesz, &MonitorPages::raftz,    &MonitorPages::healthz};
  static_assert(std::size(kPages) == std::size(kNames));
  const auto* const found = std::ranges::find(kNames, name);
  if (found == std::end(kNames))
    return {.status = 404, .body = "404 page not found\n", .json = false};
  return (this->*kPages[found - std::begin(kNames)])(query);
}

}  // namespace sluice
