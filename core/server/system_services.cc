#include "server/system_services.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "bus/message_trace.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kAccountPrefix = "$SYS.REQ.ACCOUNT.";
constexpr std::string_view kServerPages[] = {"VARZ",     "SUBSZ", "CONNZ",   "ROUTEZ",    "GATEWAYZ", "LEAFZ",
                                             "ACCOUNTZ", "JSZ",   "HEALTHZ", "IPQUEUESZ", "RAFTZ"};
constexpr std::string_view kAccountPages[] = {"CONNZ", "SUBSZ", "INFO", "STATZ", "JSZ", "CONNS", "LEAFZ"};

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string_view last_token(std::string_view subject) {
  return subject.substr(subject.rfind('.') + 1);
}

/// Whether the request is meant for a server like this: `server_name`, `exact_match`, `host`,
/// `cluster`, `tags`, `domain` of its body. What can't be read is for the page to tell.
bool means_us(std::string_view body, const ServerOptions& us) {
  const Json filter = Json::parse(body, nullptr, false);
  if (!filter.is_object()) return true;
  const auto text = [&filter](const char* key) {
    const auto found = filter.find(key);
    return found != filter.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const auto exact_member = filter.find("exact_match");
  const bool exact = exact_member != filter.end() && *exact_member == true;
  const auto fits = [exact](const std::string& wanted, const std::string& is) {
    return wanted.empty() || (exact ? wanted == is : is.find(wanted) != std::string::npos);
  };
  if (const auto tags = filter.find("tags"); tags != filter.end() && tags->is_array()) {
    for (const Json& tag : *tags) {
      if (std::ranges::none_of(us.tags, [&](const std::string& own) { return tag == own; }))
        return false;
    }
  }
  return fits(text("server_name"), us.server_name) && fits(text("host"), us.host) &&
         text("cluster").empty() && (text("domain").empty() || text("domain") == us.domain);
}

/// What an account asks of itself, as the system account would ask it.
std::string name_in_system(const Account& account, std::string_view subject) {
  if (subject == "$SYS.REQ.USER.INFO") return fmt::format("$SYS.REQ.USER.{}.INFO", account.name());
  return fmt::format("{}{}.{}", kAccountPrefix, account.name(), last_token(subject));
}

Json permission_json(const SubjectPermission& permission) {
  Json json = Json::object();
  if (!permission.allow.empty()) json["allow"] = permission.allow;
  if (!permission.deny.empty()) json["deny"] = permission.deny;
  return json;
}

Json permissions_json(const PermissionOptions& rules) {
  Json json = Json::object();
  if (rules.publish != SubjectPermission{}) json["publish"] = permission_json(rules.publish);
  if (rules.subscribe != SubjectPermission{}) json["subscribe"] = permission_json(rules.subscribe);
  if (rules.responses)
    json["responses"] = {{"max", rules.responses->max}, {"ttl", rules.responses->expires.count()}};
  return json;
}

}  // namespace

SystemServices::SystemServices(Accounts& accounts, const ServerOptions& options,
                               const std::string& id, SystemEvents& events, ServerControl& control,
                               std::function<std::string()> statsz)
    : accounts_(accounts),
      options_(options),
      id_(id),
      events_(events),
      control_(control),
      statsz_(std::move(statsz)) {
  accounts.each([this](Account& account) { add(account); });
  Account& system = accounts.system();
  const std::string own = fmt::format("$SYS.REQ.SERVER.{}.", id);
  serve(system, "$SYS.REQ.SERVER.PING", &SystemServices::server_ping);
  for (const std::string& target : {std::string("$SYS.REQ.SERVER.PING."), own}) {
    serve(system, target + "STATSZ", &SystemServices::server_ping);
    serve(system, target + "IDZ", &SystemServices::server_id);
    for (std::string_view page : kServerPages)
      serve(system, fmt::format("{}{}", target, page), &SystemServices::server_page);
  }
  for (std::string_view verb : {"KICK", "LDM", "RELOAD"})
    serve(system, fmt::format("{}{}", own, verb), &SystemServices::server_control);
  for (std::string_view page : kAccountPages)
    serve(system, fmt::format("{}*.{}", kAccountPrefix, page), &SystemServices::account_page);
}

void SystemServices::add(Account& account) {
  serve(account, "$SYS.REQ.USER.INFO", &SystemServices::user_info);
  if (account.is_system()) return;
  serve(account, "$SYS.REQ.ACCOUNT.PING.CONNZ", &SystemServices::own_connz);
  serve(account, "$SYS.REQ.SERVER.PING.CONNZ", &SystemServices::own_connz);
  serve(account, "$SYS.REQ.ACCOUNT.PING.STATZ", &SystemServices::own_statz);
}

void SystemServices::serve(Account& account, std::string_view subject, Handler handler) {
  subscriptions_.push_back(account.router().subscribe_traced(
      subject, [this, &account, handler](const Message& request, const Origin& origin) {
        if (origin.trace != nullptr && !account.is_system())
          origin.trace->served(request.subject, name_in_system(account, request.subject));
        if (origin.trace != nullptr && origin.trace->only()) return;
        if (!request.reply.empty()) (this->*handler)(account, request, origin);
      }));
}

void SystemServices::reply(Account& account, const Message& request, std::string_view body) {
  account.router().publish({.subject = request.reply, .reply = {}, .headers = {}, .payload = body});
}

void SystemServices::reply_data(Account& account, const Message& request,
                                const Result<std::string>& data) {
  const std::string server = events_.server_json();
  if (data) {
    reply(account, request,
          data->empty() ? fmt::format(R"({{"server":{}}})", server)
                        : fmt::format(R"({{"server":{},"data":{}}})", server, *data));
    return;
  }
  const bool unreadable = data.error().code == Errc::kCorrupt;
  reply(account, request,
        fmt::format(R"({{"server":{}{},"error":{{"code":{},"description":{}}}}})", server,
                    unreadable ? "" : R"(,"data":null)", unreadable ? 400 : 500,
                    text_of(Json(data.error().detail))));
}

std::string SystemServices::user_json(const Account& account, const Connection* asker) const {
  Json json;
  json["user"] = asker == nullptr ? std::string() : std::string(asker->user());
  json["account"] = account.name();
  json["account_name"] = account.display_name();
  const IdentityPtr identity = asker == nullptr ? nullptr : asker->identity();
  if (identity == nullptr) return text_of(json);
  if (!identity->name_tag.empty()) json["user_name"] = identity->name_tag;
  if (identity->permissions != nullptr)
    json["permissions"] = permissions_json(identity->permissions->options());
  if (identity->expires != 0) json["expires"] = asker->expires_in().count();
  return text_of(json);
}

void SystemServices::user_info(Account& account, const Message& request, const Origin& origin) {
  reply_data(account, request, user_json(account, control_.connection(origin.connection_id)));
}

void SystemServices::own_connz(Account& account, const Message& request, const Origin&) {
  if (means_us(request.payload, options_))
    reply_data(account, request, page("CONNZ", request.payload, account.name()));
}

void SystemServices::own_statz(Account& account, const Message& request, const Origin&) {
  if (means_us(request.payload, options_))
    reply_data(account, request, statz(account.name(), {}));
}

void SystemServices::server_ping(Account& account, const Message& request, const Origin&) {
  if (!means_us(request.payload, options_)) return;
  reply(account, request,
        fmt::format(R"({{"server":{},"statsz":{}}})", events_.server_json(), statsz_()));
}

void SystemServices::server_id(Account& account, const Message& request, const Origin&) {
  if (!means_us(request.payload, options_)) return;
  reply(account, request,
        text_of(Json{{"name", options_.server_name}, {"host", options_.host}, {"id", id_}}));
}

void SystemServices::server_page(Account& account, const Message& request, const Origin&) {
  if (means_us(request.payload, options_))
    reply_data(account, request, page(last_token(request.subject), request.payload, {}));
}

void SystemServices::server_control(Account& account, const Message& request, const Origin&) {
  const Status done = control(last_token(request.subject), request.payload);
  if (done) return reply_data(account, request, std::string());
  reply(account, request,
        fmt::format(R"({{"server":{},"error":{{"code":500,"description":{}}}}})",
                    events_.server_json(), text_of(Json(done.error().detail))));
}

/// $SYS.REQ.ACCOUNT.<account or PING>.<page>
void SystemServices::account_page(Account& account, const Message& request, const Origin&) {
  if (!means_us(request.payload, options_)) return;
  const std::string_view name = last_token(request.subject);
  const std::string_view about = request.subject.substr(
      kAccountPrefix.size(), request.subject.size() - kAccountPrefix.size() - name.size() - 1);
  const bool all = about == "PING";
  const Account* named = all ? nullptr : accounts_.find(about);
  if (name == "STATZ") {
    if (!all && named == nullptr) return;
    reply_data(account, request, statz(all ? std::string_view() : about, request.payload));
  } else if (name == "CONNS") {
    if (named != nullptr) reply(account, request, events_.account_connections_json(*named));
  } else {
    reply_data(account, request,
               page(name, request.payload, all && name != "INFO" ? std::string_view() : about));
  }
}

Result<std::string> SystemServices::page(std::string_view name, std::string_view options,
                                         std::string_view account) {
  if (host_ == nullptr)
    return fail(Errc::kUnsupported, fmt::format("{} is not served by this process", name));
  return host_->page(name, options, account);
}

Status SystemServices::control(std::string_view verb, std::string_view options) {
  if (verb == "RELOAD") {
    if (host_ == nullptr) return fail(Errc::kUnsupported, "nothing to reload");
    host_->reload();
    return {};
  }
  const Json request = Json::parse(options, nullptr, false);
  const bool numbered = request.is_object() && request.contains("cid") && request["cid"].is_number_unsigned();
  const uint64_t cid = numbered ? request["cid"].get<uint64_t>() : 0;
  if (cid != 0 && (verb == "KICK" ? control_.kick(cid) : control_.send_lame_duck(cid))) return {};
  return fail(Errc::kNotFound, "no such client or leafnode id");
}

/// Those named, or all that have clients; {"include_unused":true} brings the others too.
std::string SystemServices::statz(std::string_view account, std::string_view options) const {
  const Json request = Json::parse(options, nullptr, false);
  std::vector<std::string> wanted;
  bool unused = false;
  if (!account.empty()) wanted.emplace_back(account);
  if (request.is_object()) {
    const auto flag = request.find("include_unused");
    unused = flag != request.end() && *flag == true;
    if (const auto names = request.find("accounts"); names != request.end() && names->is_array()) {
      for (const Json& name : *names) {
        if (name.is_string()) wanted.push_back(name.get<std::string>());
      }
    }
  }
  std::string list;
  accounts_.each([&](const Account& one) {
    const bool named = std::ranges::find(wanted, one.name()) != wanted.end();
    const bool idle = one.connections + one.leaf_connections == 0;
    if (wanted.empty() ? !unused && idle : !named) return;
    if (!list.empty()) list += ',';
    list += '{' + SystemEvents::account_members(one) + '}';
  });
  return fmt::format(R"({{"server_id":"{}","now":"{}","account_statz":[{}]}})", id_,
                     events_.now_text(), list);
}

}  // namespace sluice
