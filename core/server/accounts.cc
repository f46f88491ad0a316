#include "server/accounts.h"

#include "base/check.h"

namespace sluice {

std::vector<AccountOptions> Accounts::options_of(const ServerOptions& options) {
  std::vector<AccountOptions> out;
  AccountOptions global{.name = std::string(kGlobalAccount),
                        .default_permissions = options.default_permissions,
                        .mappings = options.mappings};
  if (options.jetstream && options.global_jetstream) global.jetstream = JetStreamLimits{};
  out.push_back(std::move(global));
  for (const AccountOptions& account : options.accounts) {
    AccountOptions& own = out.emplace_back(account);
    if (!options.jetstream) own.jetstream.reset();
  }
  return out;
}

Accounts::Accounts(Env& env, const ServerOptions& options)
    : env_(env), congestion_(env.executor) {
  for (AccountOptions& account : options_of(options)) {
    Account& added = add(std::move(account));
    if (global_ == nullptr) global_ = &added;
  }
  const std::string_view system =
      options.system_account.empty() ? kSystemAccount : std::string_view(options.system_account);
  system_ = find(system);
  if (system_ == nullptr) system_ = &add({.name = std::string(system)});
  system_->set_system();
}

Account& Accounts::add(AccountOptions options) {
  const std::string name = options.name;
  auto [at, added] = accounts_.emplace(
      name, std::make_unique<Account>(std::move(options), env_.executor, env_.random, congestion_));
  SLUICE_CHECK(added);
  return *at->second;
}

Account* Accounts::find(std::string_view name) {
  if (const auto found = accounts_.find(name); found != accounts_.end())
    return found->second.get();
  for (const auto& [own, account] : accounts_) {
    if (!account->options().nkey.empty() && account->options().nkey == name) return account.get();
  }
  return nullptr;
}

void Accounts::each(const std::function<void(Account&)>& visit) {
  for (const auto& [name, account] : accounts_) visit(*account);
}

void Accounts::each(const std::function<void(const Account&)>& visit) const {
  for (const auto& [name, account] : accounts_) visit(*account);
}

}  // namespace sluice
