#include "server/jwt_accounts.h"

#include <fmt/format.h>

#include <algorithm>

#include "crypto/nkey.h"
#include "server/imports.h"
#include "server/permissions.h"
#include "server/subject_mappings.h"
#include "subject/subject.h"

namespace sluice {
namespace {

constexpr int64_t kNanos = 1'000'000'000;

std::unexpected<Error> invalid(std::string words) {
  return fail(Errc::kInvalidArgument, std::move(words));
}

/// Whether `token` lets `importer` have what it imports by `import`.
bool opens(const ActivationJwt& token, const AccountJwt& exporter, const JwtExport& exported,
           const AccountJwt& importer, const ImportOptions& import, int64_t now_s) {
  const JwtHead& head = token.head;
  const bool issued_by_exporter =
      token.issuer_account == exporter.head.subject &&
      (head.issuer == exporter.head.subject || exporter.signing_keys.contains(head.issuer));
  return issued_by_exporter && head.subject == importer.head.subject &&
         (head.expires_s == 0 || head.expires_s > now_s) && head.not_before_s <= now_s &&
         !is_revoked(exported.revocations, head.subject, head.issued_s) &&
         token.service == exported.options.service &&
         is_subset(import.subject, token.import_subject) &&
         is_subset(token.import_subject, exported.options.subject);
}

}  // namespace

bool is_revoked(const std::map<std::string, int64_t>& revocations, const std::string& key,
                int64_t issued_s) {
  for (const std::string& name : {key, std::string("*")}) {
    const auto found = revocations.find(name);
    if (found != revocations.end() && found->second >= issued_s) return true;
  }
  return false;
}

Result<JwtAccounts> JwtAccounts::make(const OperatorMode& mode) {
  JwtAccounts out;
  for (const std::string& key : mode.trusted_keys) {
    if (!is_nkey(NkeyKind::kOperator, key))
      return invalid(fmt::format("trusted key \"{}\" is no operator's public key", key));
    out.trusted_.insert(key);
  }
  for (const std::string& text : mode.operators) {
    auto token = read_operator_jwt(text);
    if (!token) return invalid("operator: " + token.error().detail);
    if (!token->strict_signing_keys) out.trusted_.insert(token->head.subject);
    out.trusted_.insert(token->signing_keys.begin(), token->signing_keys.end());
    if (out.system_account_.empty()) out.system_account_ = token->system_account;
  }
  for (const auto& [key, text] : mode.preload) {
    if (auto taken = out.take(key, text); !taken) return std::unexpected(taken.error());
  }
  return out;
}

Status JwtAccounts::check(const std::string& key, const AccountJwt& account) const {
  if (account.head.subject != key) return invalid("its JWT is another account's");
  if (!trusted_.contains(account.head.issuer)) return invalid("its JWT is not issued by the operator");
  if (account.options.default_permissions) {
    if (auto made = Permissions::make(*account.options.default_permissions); !made)
      return std::unexpected(made.error());
  }
  if (auto made = SubjectMappings::make(account.options.mappings, {}); !made)
    return std::unexpected(made.error());
  for (const JwtExport& exported : account.exports) {
    if (!is_valid_subject(exported.options.subject))
      return invalid(fmt::format("export \"{}\": invalid subject", exported.options.subject));
    if (auto fine = check_latency(exported.options); !fine) return fine;
  }
  return {};
}

Result<bool> JwtAccounts::take(const std::string& key, const std::string& text) {
  if (const AccountJwt* known = find(key); known != nullptr && known->text == text) return false;
  auto token = read_account_jwt(text);
  if (!token) return invalid(fmt::format("account {}: {}", key, token.error().detail));
  if (auto fine = check(key, *token); !fine)
    return invalid(fmt::format("account {}: {}", key, fine.error().detail));
  tokens_.insert_or_assign(key, std::move(*token));
  return true;
}

bool JwtAccounts::drop(std::string_view key) {
  const auto found = tokens_.find(key);
  if (found == tokens_.end()) return false;
  tokens_.erase(found);
  return true;
}

const AccountJwt* JwtAccounts::find(std::string_view key) const {
  const auto found = tokens_.find(key);
  return found == tokens_.end() ? nullptr : &found->second;
}

std::vector<ExportOptions> JwtAccounts::open_exports(const AccountJwt& exporter,
                                                     int64_t now_s) const {
  std::vector<ExportOptions> out;
  for (const JwtExport& exported : exporter.exports) {
    ExportOptions& one = out.emplace_back(exported.options);
    if (!one.token_required) continue;
    for (const auto& [key, importer] : tokens_) {
      for (const ImportOptions& import : importer.options.imports) {
        if (import.account != exporter.head.subject || import.activation.empty()) continue;
        const auto token = read_activation_jwt(import.activation);
        if (token && opens(*token, exporter, exported, importer, import, now_s))
          one.accounts.push_back(key);
      }
    }
  }
  return out;
}

std::vector<AccountOptions> JwtAccounts::options(WallNanos now) const {
  std::vector<AccountOptions> out;
  for (const auto& [key, token] : tokens_) {
    AccountOptions& one = out.emplace_back(token.options);
    one.exports = open_exports(token, now / kNanos);
  }
  drop_invalid_imports(out);
  return out;
}

WallNanos JwtAccounts::next_change(WallNanos now) const {
  const int64_t now_s = now / kNanos;
  int64_t next = 0;
  const auto note = [&](int64_t at) {
    if (at > now_s && (next == 0 || at < next)) next = at;
  };
  for (const auto& [key, token] : tokens_) {
    for (const ImportOptions& import : token.options.imports) {
      if (import.activation.empty()) continue;
      const auto activation = read_activation_jwt(import.activation);
      if (!activation) continue;
      note(activation->head.expires_s);
      note(activation->head.not_before_s);
    }
  }
  return next * kNanos;
}

}  // namespace sluice
