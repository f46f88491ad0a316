// The daemon's part of $SYS.REQ: the monitor's pages in the shape that requests over NATS get them.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "monitor/pages.h"
#include "server/system_host.h"

namespace sluice {

/// Loop thread only. The pages outlive it.
class SystemAnswers final : public SystemHost {
 public:
  SystemAnswers(MonitorPages& pages, std::function<void()> reload)
      : pages_(pages), reload_(std::move(reload)) {}

  Result<std::string> page(std::string_view page, std::string_view options,
                           std::string_view account) override;
  HostFigures figures() override;
  void reload() override { reload_(); }

 private:
  MonitorPages& pages_;
  std::function<void()> reload_;
};

}  // namespace sluice
