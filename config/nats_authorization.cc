#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "config/nats_conf_lexical.h"
#include "config/nats_stanzas.h"

namespace sluice {
namespace {

constexpr std::array kAuthorizationRefused =
    std::to_array<std::string_view>({"default_permissions", "default_permission", "permissions",
                                     "auth_callout", "auth_hook", "proxy_required"});
constexpr std::array kUserRefused = std::to_array<std::string_view>(
    {"nkey", "permissions", "permission", "authorization", "allowed_connection_types",
     "connection_types", "clients", "proxy_required"});

bool is_bcrypt(std::string_view text) {
  return text.size() > 7 && text.starts_with("$2") && text[3] == '$';
}

class AuthorizationReader {
 public:
  AuthorizationReader(NatsReader& reader, ServerOptions& server)
      : reader_(reader), server_(server) {}
  void block(const ConfValue& value);

 private:
  using Value = const ConfValue&;

  void users(Value value);
  void user(Value value);
  void secret(Value value, std::string& out);

  NatsReader& reader_;
  ServerOptions& server_;
};

void AuthorizationReader::secret(Value value, std::string& out) {
  reader_.text(value, out);
  if (is_bcrypt(out))
    reader_.tell(value.place, "a bcrypt hash is not carried out by this version of Sluice");
}

void AuthorizationReader::block(Value value) {
  if (!reader_.is_map(value)) return;
  ServerOptions& server = server_;
  for (const ConfEntry& entry : value.entries) {
    const std::string key = to_conf_lower(entry.key);
    if (key == "user" || key == "username") {
      reader_.text(entry.value, server.user);
    } else if (key == "pass" || key == "password") {
      secret(entry.value, server.password);
    } else if (key == "token") {
      secret(entry.value, server.token);
    } else if (key == "timeout") {
      auto time = reader_.seconds_or_duration(entry.value, "authorization", key);
      if (time) server.auth_timeout = *time;
    } else if (key == "users") {
      users(entry.value);
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
    const auto same = [&](const UserOptions& other) { return other.user == server.users[i].user; };
    const auto before = server.users.begin() + static_cast<std::ptrdiff_t>(i);
    if (std::find_if(server.users.begin(), before, same) == before) continue;
    reader_.tell(value.place, fmt::format("Duplicate user \"{}\" detected", server.users[i].user));
  }
}

void AuthorizationReader::users(Value value) {
  if (value.kind != ConfValue::Kind::kList) {
    reader_.tell(value.place,
                 fmt::format("Expected users field to be an array, got {}", go_type(value)));
    return;
  }
  for (const ConfValue& item : value.items) user(item);
}

void AuthorizationReader::user(Value value) {
  if (value.kind != ConfValue::Kind::kMap) {
    reader_.tell(value.place,
                 fmt::format("Expected user entry to be a map/struct, got {}", go_type(value)));
    return;
  }
  UserOptions out;
  bool refused = false;
  for (const ConfEntry& entry : value.entries) {
    const std::string key = to_conf_lower(entry.key);
    if (key == "user" || key == "username") {
      reader_.text(entry.value, out.user);
    } else if (key == "pass" || key == "password") {
      secret(entry.value, out.password);
    } else {
      reader_.refuse_or_unknown(entry, kUserRefused);
      refused = true;
    }
  }
  if (out.user.empty() && !refused) reader_.tell(value.place, "User entry requires a user");
  server_.users.push_back(std::move(out));
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
