#include "server/operator_mode.h"

#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace sluice {
namespace {

constexpr Logger log_{"server"};

}  // namespace

std::unique_ptr<JwtDirectory> make_jwt_directory(Disk& disk, const ServerOptions& options) {
  const OperatorMode& mode = options.operator_mode;
  if (!mode.enabled() || mode.directory.empty()) return nullptr;
  return std::make_unique<JwtDirectory>(disk, mode.directory);
}

std::unique_ptr<JwtAccounts> make_jwt_accounts(const ServerOptions& options, JwtDirectory* directory) {
  if (!options.operator_mode.enabled()) return nullptr;
  auto made = JwtAccounts::make(options.operator_mode);
  SLUICE_CHECK(made.has_value());  // check_options() has seen it
  auto jwts = std::make_unique<JwtAccounts>(std::move(*made));
  if (directory == nullptr) return jwts;
  const auto stored = directory->load();
  if (!stored) {
    SLUICE_LOG(log_, kError, "the accounts' JWTs can't be read error=\"{}\"", stored.error().detail);
    return jwts;
  }
  for (const auto& [key, token] : *stored) {
    if (auto taken = jwts->take(key, token); !taken)
      SLUICE_LOG(log_, kWarn, "an account's JWT is left out error=\"{}\"", taken.error().detail);
  }
  // What was preloaded is kept as the tools expect it: they list the directory.
  for (const auto& [key, token] : jwts->all()) {
    if (stored->contains(key)) continue;
    if (auto kept = directory->keep(key, token.text); !kept)
      SLUICE_LOG(log_, kError, "an account's JWT can't be kept error=\"{}\"", kept.error().detail);
  }
  return jwts;
}

ServerOptions with_jwt_accounts(ServerOptions options, const JwtAccounts* jwts, WallNanos now) {
  if (jwts == nullptr) return options;
  options.accounts = jwts->options(now);
  options.global_jetstream = false;
  if (options.system_account.empty()) options.system_account = jwts->system_account();
  return options;
}

}  // namespace sluice
