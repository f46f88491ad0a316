// Operator mode with a directory: $SYS.REQ.CLAIMS.* of the system account, by which operators' tools
// push, list, fetch and delete the accounts' JWTs of a running server.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bus/bus.h"
#include "server/jwt_accounts.h"
#include "server/jwt_directory.h"
#include "server/system_events.h"

namespace sluice {

/// Loop thread only; goes before the accounts do.
class ClaimsServices {
 public:
  /// @param directory     nullptr: only looking up is offered, as with preloaded accounts
  /// @param allow_delete  else CLAIMS.DELETE is refused
  /// @param changed       after a token came or went
  ClaimsServices(Account& system, JwtAccounts& tokens, JwtDirectory* directory, bool allow_delete,
                 SystemEvents& events, std::function<void()> changed);

 private:
  using Handler = void (ClaimsServices::*)(const Message&);
  void serve(std::string_view subject, Handler handler);
  void update(const Message& request);
  void update_one(const Message& request);
  void lookup(const Message& request);
  void list(const Message& request);
  void pack(const Message& request);
  void erase(const Message& request);

  Status take(std::string_view key, std::string_view token, std::string& account);
  Result<size_t> erase_named(std::string_view token);
  void answer_update(const Message& request, const Status& done, const std::string& account);
  void reply(const Message& request, std::string_view body);

  Account& system_;
  JwtAccounts& tokens_;
  JwtDirectory* directory_;
  const bool allow_delete_;
  SystemEvents& events_;
  std::function<void()> changed_;
  std::vector<std::unique_ptr<BusSubscription>> subscriptions_;
};

}  // namespace sluice
