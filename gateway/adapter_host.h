// The adapters that the configuration names: started, stopped, exchanged by a reload, shown.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "config/config.h"
#include "gateway/hosted_adapter.h"
#include "io/env.h"

namespace sluice {

/// What a reload does to adapters; names in the configuration's order.
struct AdapterChanges {
  std::vector<std::string> added;
  std::vector<std::string> changed;
  std::vector<std::string> removed;
  bool empty() const { return added.empty() && changed.empty() && removed.empty(); }
};

/// Loop thread only.
class AdapterHost {
 public:
  AdapterHost(Env& env, CoreAccess core);
  ~AdapterHost();
  AdapterHost(const AdapterHost&) = delete;
  AdapterHost& operator=(const AdapterHost&) = delete;

  /// kInvalidArgument when one can't be built (a file that can't be read). A far network that does
  /// not answer is no error: it shows in trouble().
  Status start(const Config& config);
  /// `done` runs once, when every adapter has settled what was in flight.
  void stop(std::move_only_function<void()> done);

  /// Builds what is new or differs, and starts nothing yet. An error names the adapter; then nothing is
  /// kept and all goes on as it was.
  Status prepare(const Config& fresh);
  /// Puts what prepare() built in place. An adapter that is changed settles before its successor takes
  /// messages, or, when its source would lose them, right after it does.
  AdapterChanges commit();
  /// Forgets what prepare() built.
  void drop_prepared() { prepared_.reset(); }

  void collect(MetricSink& sink) const;
  /// Calls `visit` for every adapter, in the configuration's order.
  void each(const std::function<void(const HostedAdapter&)>& visit) const;
  /// Names of those that do not run.
  std::vector<std::string> down() const;
  /// The first adapter that could not start, in words; empty = all well.
  std::string trouble() const;

 private:
  using Hosted = std::unique_ptr<HostedAdapter>;
  struct Prepared {
    AdapterChanges changes;
    std::vector<std::string> order;  ///< names
    std::vector<Hosted> fresh;       ///< those added or changed
  };
  struct Leaver {
    Hosted hosted;
    std::move_only_function<void()> gone;
    bool told = false;  ///< to stop
  };
  using Place = std::list<Leaver>::iterator;
  HostedAdapter* find(std::string_view name) const;
  Hosted take(std::string_view name);
  Place leave(Hosted old, std::move_only_function<void()> gone);
  void tell(Place place);
  void exchange(HostedAdapter* fresh, Hosted old);
  void one_stopped();

  Env& env_;
  const CoreAccess core_;
  std::vector<Hosted> hosted_;
  std::list<Leaver> leaving_;  ///< settle what they took, or wait for their successor
  std::unique_ptr<Prepared> prepared_;
  size_t stopping_ = 0;
  std::move_only_function<void()> stopped_;
};

}  // namespace sluice
