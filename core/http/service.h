// Who answers the requests of a server. Answers may come later, and out of order.
#pragma once

#include <functional>
#include <optional>

#include "http/message.h"

namespace sluice {

/// The one answer to one request. May be called from anywhere on the loop, also when the peer has
/// gone; the connection may end in it, so whoever calls touches nothing of the server's after.
using HttpAnswer = std::move_only_function<void(HttpResponse)>;

/// Loop thread only; outlives its server.
class HttpService {
 public:
  virtual ~HttpService() = default;
  /// A head has come and its body follows: an answer refuses it unread and ends the connection.
  /// Only where HttpLimits::stop_at_head is set.
  virtual std::optional<HttpResponse> refuse_body(const HttpRequest& request) {
    (void)request;
    return std::nullopt;
  }
  /// @return false: nothing was taken. The peer is held back and the same request is offered again on
  /// HttpServer::offer_again(), until busy_timeout. Else `answer` has been moved away, or was called.
  /// Must not destroy the server.
  virtual bool take(HttpRequest& request, HttpAnswer& answer) = 0;
  /// Told to a peer whose request could not be taken or was not answered in time.
  virtual HttpResponse busy() { return busy_response(1); }
};

}  // namespace sluice
