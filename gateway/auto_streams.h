// The streams that a Choria broker makes by itself, made here on request and then left to their operator.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "client/stream_client.h"
#include "config/config.h"
#include "io/env.h"

namespace sluice {

enum class AutoStreamState : uint8_t { kWaiting, kMade, kThere, kUpdated, kDiffers, kRefused };
constexpr std::string_view to_string(AutoStreamState state) {
  switch (state) {
    case AutoStreamState::kWaiting:
      return "waiting";
    case AutoStreamState::kMade:
      return "made";
    case AutoStreamState::kThere:
      return "there";
    case AutoStreamState::kUpdated:
      return "updated";
    case AutoStreamState::kDiffers:
      return "differs";
    case AutoStreamState::kRefused:
      return "refused";
  }
  return "";
}

struct AutoStreamView {
  std::string stream;
  AutoStreamState state = AutoStreamState::kWaiting;
  std::string detail;  ///< the difference, or the error
};

/// STREAM.CREATE's body for each stream that is on, in a fixed order.
std::vector<std::pair<std::string, std::string>> encode_auto_streams(const AutoStreamsSettings& settings,
                                                                     int default_replicas);

/// Loop thread only.
///
/// Happy path, one stream after the other: it is missing → made. It is there as wanted → nothing. It is
/// as this daemon made it, and the configuration now says otherwise → updated. Somebody else made or
/// edited it → left alone, the difference is logged and shown.
///
/// Failures: a JetStream that does not answer is asked again, with back-off, for ever; a refusal is shown.
class AutoStreams {
 public:
  /// `client` outlives it.
  AutoStreams(Env& env, StreamClient& client, const AutoStreamsSettings& settings, int default_replicas);
  void start() { next(); }
  const std::vector<AutoStreamView>& streams() const { return views_; }

 private:
  void next();
  void on_info(Result<std::string> info);
  void write(const char* verb, AutoStreamState then);
  void done(AutoStreamState state, std::string detail);
  void again(const Error& why);

  Env& env_;
  StreamClient& client_;
  std::vector<std::string> wanted_;  ///< configurations, beside views_
  std::vector<AutoStreamView> views_;
  size_t at_ = 0;
  int failures_ = 0;
  std::unique_ptr<Timer> retry_timer_;
  Ticket call_;
};

}  // namespace sluice
