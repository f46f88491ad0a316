#include "server/claims_services.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "server/jwt_claims.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kAccountPrefix = "$SYS.REQ.ACCOUNT.";

/// <account> of $SYS.REQ.ACCOUNT.<account>.CLAIMS.<verb>
std::string_view account_of(std::string_view subject) {
  const std::string_view rest = subject.substr(kAccountPrefix.size());
  return rest.substr(0, rest.find('.'));
}

}  // namespace

ClaimsServices::ClaimsServices(Account& system, JwtAccounts& tokens, JwtDirectory* directory,
                               bool allow_delete, SystemEvents& events,
                               std::function<void()> changed)
    : system_(system),
      tokens_(tokens),
      directory_(directory),
      allow_delete_(allow_delete),
      events_(events),
      changed_(std::move(changed)) {
  serve("$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP", &ClaimsServices::lookup);
  if (directory_ == nullptr) return;
  serve("$SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE", &ClaimsServices::update_one);
  serve("$SYS.REQ.CLAIMS.UPDATE", &ClaimsServices::update);
  serve("$SYS.REQ.CLAIMS.LIST", &ClaimsServices::list);
  serve("$SYS.REQ.CLAIMS.PACK", &ClaimsServices::pack);
  serve("$SYS.REQ.CLAIMS.DELETE", &ClaimsServices::erase);
}

void ClaimsServices::serve(std::string_view subject, Handler handler) {
  subscriptions_.push_back(system_.router().subscribe(
      subject, {},
      [this, handler](const Message& request, const Origin&) { (this->*handler)(request); }));
}

void ClaimsServices::reply(const Message& request, std::string_view body) {
  if (request.reply.empty()) return;
  system_.router().publish({.subject = request.reply, .reply = {}, .headers = {}, .payload = body});
}

/// `key`: the account that it must be; "" = whichever the token is about.
Status ClaimsServices::take(std::string_view key, std::string_view token, std::string& account) {
  const auto read = read_account_jwt(token);
  if (!read) return std::unexpected(read.error());
  account = read->head.subject;
  if (!key.empty() && key != account) {
    account = key;
    return fail(Errc::kInvalidArgument, "subject does not match jwt content");
  }
  if (auto fine = tokens_.check(account, *read); !fine) return fine;
  const std::string text(token);
  if (auto kept = directory_->keep(account, text); !kept) return kept;
  const auto taken = tokens_.take(account, text);
  if (!taken) return std::unexpected(taken.error());
  if (*taken) changed_();
  return {};
}

void ClaimsServices::answer_update(const Message& request, const Status& done,
                                   const std::string& account) {
  Json body;
  if (done) {
    body = {{"account", account}, {"code", 200}, {"message", "jwt updated"}};
  } else {
    body = {{"account", account.empty() ? "n/a" : account},
            {"code", 500},
            {"description", "jwt update resulted in error - " + done.error().detail}};
  }
  reply(request, fmt::format(R"({{"server":{},"{}":{}}})", events_.server_json(),
                             done ? "data" : "error", body.dump()));
}

void ClaimsServices::update(const Message& request) {
  std::string account;
  const Status done = take({}, request.payload, account);
  answer_update(request, done, account);
}

void ClaimsServices::update_one(const Message& request) {
  std::string account;
  const Status done = take(account_of(request.subject), request.payload, account);
  answer_update(request, done, account);
}

void ClaimsServices::lookup(const Message& request) {
  const AccountJwt* token = tokens_.find(account_of(request.subject));
  reply(request, token == nullptr ? std::string_view() : std::string_view(token->text));
}

void ClaimsServices::list(const Message& request) {
  Json keys = Json::array();
  for (const auto& [key, token] : tokens_.all()) keys.push_back(key);
  reply(request, fmt::format(R"({{"data":{},"server":{}}})", keys.dump(), events_.server_json()));
}

/// Each as "key|token"; an empty message ends them.
void ClaimsServices::pack(const Message& request) {
  for (const auto& [key, token] : tokens_.all()) reply(request, key + '|' + token.text);
  reply(request, {});
}

/// A token of the operator's with `accounts`, those to forget.
Result<size_t> ClaimsServices::erase_named(std::string_view token) {
  if (!allow_delete_) return fail(Errc::kDenied, "delete must be enabled in server config");
  OpenedJwt jwt;
  if (auto opened = open_jwt(token, jwt); !opened) return std::unexpected(opened.error());
  if (!tokens_.trusts(jwt.head.issuer)) return fail(Errc::kDenied, "not trusted");
  std::vector<std::string> keys;
  jwt.nats.take("accounts", keys);
  if (jwt.wrong || keys.empty()) return fail(Errc::kInvalidArgument, "malformed request");
  size_t count = 0;
  for (const std::string& key : keys) {
    if (key == system_.name()) return fail(Errc::kDenied, "not allowed to delete system account");
    if (auto dropped = directory_->drop(key); !dropped) return std::unexpected(dropped.error());
    tokens_.drop(key);
    ++count;
  }
  changed_();
  return count;
}

void ClaimsServices::erase(const Message& request) {
  const auto count = erase_named(request.payload);
  Json body;
  if (count) {
    body = {{"code", 200}, {"message", fmt::format("deleted {} accounts", *count)}};
  } else {
    body = {{"code", 500},
            {"description", "delete accounts request failed - " + count.error().detail}};
  }
  reply(request, fmt::format(R"({{"server":{},"{}":{}}})", events_.server_json(),
                             count ? "data" : "error", body.dump()));
}

}  // namespace sluice
