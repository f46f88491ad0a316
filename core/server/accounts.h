// All accounts of a server: the global one, the system's, those of the configuration.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "io/env.h"
#include "server/account.h"
#include "server/congestion.h"
#include "server/server_options.h"

namespace sluice {

/// Loop thread only. Accounts stay until the server goes.
class Accounts {
 public:
  Accounts(Env& env, const ServerOptions& options);

  Account& global() { return *global_; }
  Account& system() { return *system_; }
  /// By name, or by the public key that is its other name. nullptr = none.
  Account* find(std::string_view name);
  const Account* find(std::string_view name) const {
    return const_cast<Accounts*>(this)->find(name);
  }
  /// The options of all accounts that these options of a server make, the global one first.
  static std::vector<AccountOptions> options_of(const ServerOptions& options);
  Account& add(AccountOptions options);
  /// In order of name.
  void each(const std::function<void(Account&)>& visit);
  void each(const std::function<void(const Account&)>& visit) const;
  size_t size() const { return accounts_.size(); }

  Congestion& congestion() { return congestion_; }
  const Congestion& congestion() const { return congestion_; }

 private:
  Env& env_;
  Congestion congestion_;
  std::map<std::string, std::unique_ptr<Account>, std::less<>> accounts_;
  Account* global_ = nullptr;
  Account* system_ = nullptr;
};

}  // namespace sluice
