// What the process around the server answers for it on $SYS.REQ: pages of the monitor, figures of the
// process, a reload. This room does not know the monitor.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace sluice {

struct HostFigures {
  std::string process = {};    ///< `"mem":…,"cores":…,"cpu":…`
  std::string jetstream = {};  ///< `"jetstream":{…}`, or "" without JetStream
};

class SystemHost {
 public:
  virtual ~SystemHost() = default;
  /// @param page     "VARZ", "CONNZ", …
  /// @param options  the request's JSON; "" = none
  /// @param account  only what is of this account; "" = all
  /// @return the page's JSON. kCorrupt: the options can't be read; any other error is the page's own.
  virtual Result<std::string> page(std::string_view page, std::string_view options,
                                   std::string_view account) = 0;
  virtual HostFigures figures() = 0;
  /// As SIGHUP does.
  virtual void reload() = 0;
};

}  // namespace sluice
