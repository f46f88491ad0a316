#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "config/nats_conf_lexical.h"
#include "config/nats_stanzas.h"
#include "config/nats_users.h"

namespace sluice {
namespace {

constexpr std::array kAuthorizationRefused =
    std::to_array<std::string_view>({"auth_callout", "auth_hook", "proxy_required"});

class AuthorizationReader {
 public:
  AuthorizationReader(NatsReader& reader, ServerOptions& server)
      : reader_(reader), server_(server) {}
  void block(const ConfValue& value);

 private:
  using Value = const ConfValue&;

  NatsReader& reader_;
  ServerOptions& server_;
};

void AuthorizationReader::block(Value value) {
  if (!reader_.is_map(value)) return;
  ServerOptions& server = server_;
  for (const ConfEntry& entry : value.entries) {
    const std::string key = to_conf_lower(entry.key);
    if (key == "user" || key == "username") {
      reader_.text(entry.value, server.user);
    } else if (key == "pass" || key == "password") {
      reader_.text(entry.value, server.password);
    } else if (key == "token") {
      reader_.text(entry.value, server.token);
    } else if (key == "timeout") {
      auto time = reader_.seconds_or_duration(entry.value, "authorization", key);
      if (time) server.auth_timeout = *time;
    } else if (key == "users") {
      read_conf_users(reader_, entry.value, server.users);
    } else if (key == "default_permissions" || key == "default_permission" ||
               key == "permissions") {
      read_conf_permissions(reader_, entry.value, server.default_permissions.emplace());
    } else {
      reader_.refuse_or_unknown(entry, kAuthorizationRefused);
    }
  }
  const bool single = !server.user.empty() || !server.password.empty();
  if (single && !server.token.empty())
    reader_.tell(value.place, "Cannot have a user/pass and token");
  if (single && !server.users.empty())
    reader_.tell(value.place, "Can not have a single user/pass and a users array");
  if (!server.token.empty() && !server.users.empty())
    reader_.tell(value.place, "Can not have a token and a users array");
  for (size_t i = 0; i < server.users.size(); ++i) {
    const auto same = [&](const UserOptions& other) {
      return other.user == server.users[i].user && other.nkey == server.users[i].nkey;
    };
    const auto before = server.users.begin() + static_cast<std::ptrdiff_t>(i);
    if (std::find_if(server.users.begin(), before, same) == before) continue;
    reader_.tell(value.place, fmt::format("Duplicate user \"{}\" detected",
                                          server.users[i].nkey.empty() ? server.users[i].user
                                                                       : server.users[i].nkey));
  }
}

}  // namespace

bool read_authorization_stanza(NatsReader& reader, std::string_view key, const ConfEntry& entry,
                               NatsSettings& settings) {
  if (key == "authorization") {
    AuthorizationReader(reader, settings.server).block(entry.value);
  } else if (key == "no_auth_user") {
    reader.text(entry.value, settings.server.no_auth_user);
  } else {
    return false;
  }
  return true;
}

}  // namespace sluice
