// One adapter with all it stands on: made from its options, started, made again when it failed, stopped.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "adapters/adapter.h"
#include "client/stream_client.h"
#include "config/config.h"
#include "io/env.h"
#include "replicator/replicator.h"

namespace sluice {

/// Like LinkFactory; the embedded core as this account of it (empty = the global one).
using AccountLinkFactory = std::function<Result<std::unique_ptr<NatsLink>>(const LinkOptions&, const std::string& account)>;

/// How adapters reach the JetStream they write to. `make_link` gives the core for embedded options.
struct CoreAccess {
  AccountLinkFactory make_link;
  std::string api_prefix = "$JS.API";
  int replicas = 1;
};

/// Loop thread only.
///
/// Happy path: make → start → (running) → stop. An adapter that could not start is stopped and made
/// again from its options after 1 s, then 2, 4 … up to 5 min, until it starts or is stopped; nothing else
/// is held up by it.
class HostedAdapter {
 public:
  /// @return the adapter's own error: kInvalidArgument for options that can never work.
  static Result<std::unique_ptr<HostedAdapter>> make(Env& env, const CoreAccess& core,
                                                     AdapterOptions options, std::string text);
  ~HostedAdapter();
  HostedAdapter(const HostedAdapter&) = delete;
  HostedAdapter& operator=(const HostedAdapter&) = delete;

  /// `tried` runs once: when the first attempt's outcome is known, or in stop().
  void start(std::move_only_function<void()> tried);
  /// `done` runs once, later; then this may go.
  void stop(std::move_only_function<void()> done);

  bool started() const { return started_; }
  const Adapter& adapter() const;
  std::string_view name() const { return adapter().name(); }
  /// The lines of the configuration it was made from.
  const std::string& text() const { return text_; }
  /// Why it is not running; empty = it is, or nobody knows yet.
  const std::string& failed() const { return failed_; }
  bool may_overlap() const { return adapter().may_overlap(); }
  uint64_t restarts() const { return restarts_; }
  WallNanos started_at() const { return started_at_; }

 private:
  struct Parts;
  HostedAdapter(Env& env, const CoreAccess& core, AdapterOptions options, std::string text);
  Result<std::unique_ptr<Parts>> build() const;
  void launch();
  void on_started(Status outcome);
  void begin_again();
  void adapter_stopped();

  Env& env_;
  const CoreAccess& core_;
  const AdapterOptions options_;
  const std::string text_;
  std::unique_ptr<Parts> parts_;
  std::string failed_;
  int failures_ = 0;
  uint64_t restarts_ = 0;
  WallNanos started_at_ = 0;
  bool started_ = false;
  bool being_stopped_ = false;  ///< the adapter was told to stop and has not said that it has
  bool settled_ = false;        ///< the adapter has stopped, and the next could not be built
  std::move_only_function<void()> tried_;
  std::move_only_function<void()> stopped_;
  std::unique_ptr<Timer> retry_timer_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace sluice
