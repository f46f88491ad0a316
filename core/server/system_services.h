// The server's answers on $SYS.REQ: who am I, what do accounts and the server do.
//
// Every account is asked about itself; the system account about all. Pages of the monitor come from
// the SystemHost, when there is one.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "bus/bus.h"
#include "server/system_events.h"
#include "server/system_host.h"

namespace sluice {

/// What requests of the system account do to clients.
class ServerControl {
 public:
  virtual ~ServerControl() = default;
  /// Closes it. false when there is no such client.
  virtual bool kick(uint64_t cid) = 0;
  /// Tells the client that it should go. false when there is no such client.
  virtual bool send_lame_duck(uint64_t cid) = 0;
  virtual const Connection* connection(uint64_t cid) const = 0;
};

/// Loop thread only; goes before the accounts do.
class SystemServices {
 public:
  SystemServices(Accounts& accounts, const ServerOptions& options, const std::string& id,
                 SystemEvents& events, ServerControl& control, std::function<std::string()> statsz);

  /// nullptr = none any more. Must outlive the services or be taken away.
  void set_host(SystemHost* host) { host_ = host; }
  SystemHost* host() const { return host_; }
  /// Begins to answer in an account that is new.
  void add(Account& account);

 private:
  using Handler = void (SystemServices::*)(Account&, const Message&, const Origin&);
  void serve(Account& account, std::string_view subject, Handler handler);

  void user_info(Account& account, const Message& request, const Origin& origin);
  void own_connz(Account& account, const Message& request, const Origin& origin);
  void own_statz(Account& account, const Message& request, const Origin& origin);
  void server_ping(Account& account, const Message& request, const Origin& origin);
  void server_id(Account& account, const Message& request, const Origin& origin);
  void server_page(Account& account, const Message& request, const Origin& origin);
  void server_control(Account& account, const Message& request, const Origin& origin);
  void account_page(Account& account, const Message& request, const Origin& origin);

  /// `data` empty = nothing but the server.
  void reply_data(Account& account, const Message& request, const Result<std::string>& data);
  void reply(Account& account, const Message& request, std::string_view body);
  Result<std::string> page(std::string_view name, std::string_view options,
                           std::string_view account);
  Status control(std::string_view verb, std::string_view options);
  std::string statz(std::string_view account, std::string_view options) const;
  std::string user_json(const Account& account, const Connection* asker) const;

  Accounts& accounts_;
  const ServerOptions& options_;
  const std::string& id_;
  SystemEvents& events_;
  ServerControl& control_;
  std::function<std::string()> statsz_;
  SystemHost* host_ = nullptr;
  std::vector<std::unique_ptr<BusSubscription>> subscriptions_;
};

}  // namespace sluice
