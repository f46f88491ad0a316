#include "adapters/choria_registration/voucher.h"

#include <algorithm>
#include <span>
#include <utility>

#include "adapters/choria_identity/token.h"

namespace sluice {
namespace {

constexpr size_t kMaxKnown_count = 16'384;
constexpr std::chrono::minutes kKnownFor{1};
constexpr uint64_t kMaxAuthority_bytes = 4 * 1024 * 1024;

Result<std::string> read_file(Disk& disk, const std::string& path) {
  auto file = disk.open(path, OpenMode::kRead);
  if (!file) return std::unexpected(file.error());
  const auto size = (*file)->size();
  if (!size) return std::unexpected(size.error());
  if (*size > kMaxAuthority_bytes) return fail(Errc::kInvalidArgument, path + ": too large for certificates");
  std::string text(*size, '\0');
  const auto got = (*file)->read_at(0, std::as_writable_bytes(std::span(text)));
  if (!got) return std::unexpected(got.error());
  text.resize(*got);
  return text;
}

}  // namespace

Result<std::unique_ptr<Voucher>> Voucher::make(Env& env, const std::vector<std::string>& trusted_issuers, const std::string& ca_file) {
  std::unique_ptr<Voucher> voucher(new Voucher(env.clock));
  for (const std::string& hex : trusted_issuers) {
    auto key = decode_hex_key(hex);
    if (!key) return fail(Errc::kInvalidArgument, "a trusted issuer is not 64 hexadecimal digits");
    voucher->trusted_.push_back(*std::move(key));
  }
  if (!ca_file.empty()) {
    const auto text = read_file(env.disk, ca_file);
    if (!text) return std::unexpected(text.error());
    auto authority = CertificateAuthority::make(*text);
    if (!authority) return fail(Errc::kInvalidArgument, ca_file + " " + authority.error().detail);
    voucher->authority_ = *std::move(authority);
  }
  if (voucher->trusted_.empty() && !voucher->authority_) return fail(Errc::kInvalidArgument, "nobody can be proven without trusted_issuers or ca");
  return voucher;
}

Status Voucher::check(const SignedBy& signed_by, const std::string& sender) {
  if (signed_by.nobody()) return fail(Errc::kDenied, "there is no signature");
  if (signed_by.delegated) return fail(Errc::kDenied, "it is signed by another in the sender's name");
  const std::string& credential = signed_by.token.empty() ? signed_by.certificate : signed_by.token;
  auto known = known_.find(credential);
  if (known == known_.end() || known->second.until <= clock_.now()) {
    if (known_.size() >= kMaxKnown_count) known_.clear();
    known = known_.insert_or_assign(credential, Known{names_of(signed_by), clock_.now() + kKnownFor}).first;
  }
  const Names& names = known->second.names;
  if (!names) return std::unexpected(names.error());
  if (std::ranges::find(*names, sender) == names->end()) return fail(Errc::kDenied, "the signature is another's than the sender's");
  return {};
}

Voucher::Names Voucher::names_of(const SignedBy& signed_by) const {
  if (signed_by.token.empty()) {
    if (!authority_) return fail(Errc::kDenied, "no certificate is trusted here");
    return authority_->names_of(signed_by.certificate, clock_.wall());
  }
  const auto token = parse_token(signed_by.token);
  if (!token) return std::unexpected(token.error());
  if (Status issued = check_token(signed_by.token, *token, trusted_, clock_.wall()); !issued) return std::unexpected(issued.error());
  return std::vector<std::string>{token->identity};
}

}  // namespace sluice
