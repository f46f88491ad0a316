#include "adapters/choria_registration/voucher.h"

#include <algorithm>
#include <span>
#include <utility>

#include "adapters/choria_identity/token.h"

namespace sluice {
namespace {

constexpr size_t kMaxKnown_count = 16'384;
constexpr std::chrono::minutes kKnownFor{1};
constexpr std::string_view kClient = "choria_client_id";
constexpr std::string_view kServer = "choria_server";
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

Result<std::unique_ptr<Voucher>> Voucher::make(Disk& disk, const std::vector<std::string>& trusted_issuers, const std::string& ca_file) {
  std::unique_ptr<Voucher> voucher(new Voucher());
  for (const std::string& hex : trusted_issuers) {
    auto key = decode_hex_key(hex);
    if (!key) return fail(Errc::kInvalidArgument, "a trusted issuer is not 64 hexadecimal digits");
    voucher->trusted_.push_back(*std::move(key));
  }
  if (!ca_file.empty()) {
    const auto text = read_file(disk, ca_file);
    if (!text) return std::unexpected(text.error());
    auto authority = CertificateAuthority::make(*text);
    if (!authority) return fail(Errc::kInvalidArgument, ca_file + " " + authority.error().detail);
    voucher->authority_ = *std::move(authority);
  }
  if (voucher->trusted_.empty() && !voucher->authority_) return fail(Errc::kInvalidArgument, "nobody can be proven without trusted_issuers or ca");
  return voucher;
}

Result<std::string> Voucher::check(const SignedBy& signed_by, const std::string& sender, const Now& at) {
  if (signed_by.nobody()) return fail(Errc::kDenied, "there is no signature");
  const std::string credential =
      signed_by.token.empty() ? signed_by.certificate : signed_by.delegated() ? signed_by.token + "\n" + signed_by.caller_token : signed_by.token;
  auto known = known_.find(credential);
  if (known == known_.end() || known->second.until <= at.mono) {
    if (known_.size() >= kMaxKnown_count) known_.clear();
    known = known_.insert_or_assign(credential, Known{names_of(signed_by, at.wall), at.mono + kKnownFor}).first;
  }
  if (!known->second.names) return std::unexpected(known->second.names.error());
  const Holder& holder = *known->second.names;
  const std::string& who = signed_by.delegated() ? signed_by.caller : sender;
  if (std::ranges::find(holder.names, who) == holder.names.end())
    return fail(Errc::kDenied, signed_by.delegated() ? "the caller's token is another's than the request's caller" : "the signature is another's than the sender's");
  return holder.delegator;
}

Voucher::Names Voucher::names_of(const SignedBy& signed_by, WallNanos now) const {
  if (signed_by.delegated()) return delegated_name(signed_by, now);
  if (!signed_by.token.empty()) return own_name(signed_by.token, now);
  if (!authority_) return fail(Errc::kDenied, "no certificate is trusted here");
  auto names = authority_->names_of(signed_by.certificate, now);
  if (!names) return std::unexpected(names.error());
  return Holder{*std::move(names), ""};
}

Voucher::Names Voucher::own_name(const std::string& jwt, WallNanos now) const {
  const auto token = parse_token(jwt);
  if (!token) return std::unexpected(token.error());
  if (Status issued = check_token(jwt, *token, trusted_, now); !issued) return std::unexpected(issued.error());
  if (token->purpose == kClient) {
    if (token->manages_signed) return fail(Errc::kDenied, "the client may only send what another signs for it");
    if (!token->manages_fleet) return fail(Errc::kDenied, "the client's token has no fleet management");
  } else if (token->purpose != kServer) {
    return fail(Errc::kDenied, "the token is neither a server's nor a client's");
  }
  return Holder{{token->identity}, ""};
}

Voucher::Names Voucher::delegated_name(const SignedBy& signed_by, WallNanos now) const {
  const auto signer = parse_token(signed_by.token), caller = parse_token(signed_by.caller_token);
  if (!signer) return std::unexpected(signer.error());
  if (!caller) return std::unexpected(caller.error());
  if (signer->purpose != kClient || caller->purpose != kClient) return fail(Errc::kDenied, "only clients sign, and are signed for");
  Status why = fail(Errc::kDenied, "no organisation is trusted here");
  for (const std::string& organisation : trusted_) {
    why = check_token(signed_by.token, *signer, {organisation}, now);
    if (!why) continue;
    if (!signer->signs_for_others) return fail(Errc::kDenied, "the signer may not sign for others");
    if (Status by_it = check_token(signed_by.caller_token, *caller, {organisation}, now); !by_it)
      return fail(Errc::kDenied, "the caller has no token of the signer's organisation: " + by_it.error().detail);
    if (!caller->manages_fleet && !caller->manages_signed) return fail(Errc::kDenied, "the caller's token has no fleet management");
    return Holder{{caller->identity}, signer->identity};
  }
  return fail(Errc::kDenied, "the signer: " + why.error().detail);
}

}  // namespace sluice
