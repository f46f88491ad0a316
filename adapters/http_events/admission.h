// Who may send, and how much: what is settled before an event is looked at.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "adapters/http_events/options.h"
#include "http/message.h"
#include "io/clock.h"

namespace sluice {

/// Secrets are compared in constant time. Pure.
class RequestAuthentication {
 public:
  explicit RequestAuthentication(HttpEventsAuthentication options);
  /// Token, or user and password.
  bool admits_head(const HttpRequest& request) const;
  /// The signature of the body, where one is asked for.
  bool admits_body(const HttpRequest& request) const;
  /// What WWW-Authenticate says.
  std::string challenge() const;

 private:
  bool signed_by(std::string_view secret, std::string_view body, std::string_view given) const;

  const HttpEventsAuthentication options_;
  const std::string signature_header_;  ///< in lower case
};

/// Events per second by a bucket of tokens. A batch may run it into debt, which is paid before more is let in.
class RateLimit {
 public:
  RateLimit(Clock& clock, uint64_t rate, uint64_t burst);
  /// 0 = let in, else the seconds after which to come again.
  uint64_t wait_seconds();
  void count(uint64_t events);
  uint64_t rate() const { return rate_; }

 private:
  void fill();

  Clock& clock_;
  const uint64_t rate_;
  const double burst_;
  double tokens_;
  MonoTime filled_;
};

/// The handshake of CloudEvents' HTTP webhook specification 1.0.2, 4: an OPTIONS request asks whether
/// a sender may come, and how often.
HttpResponse webhook_handshake(const HttpRequest& request, const std::vector<std::string>& allowed_origins,
                               uint64_t events_per_second);
/// Whether a request's origin, if it names one, is among those.
bool is_allowed_origin(const HttpRequest& request, const std::vector<std::string>& allowed_origins);

}  // namespace sluice
