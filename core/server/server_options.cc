#include "server/server_options.h"

#include <set>
#include <string_view>

namespace sluice {
namespace {

/// "$2a$11$…": a hash, which must not pass for the secret itself.
bool is_bcrypt(std::string_view text) {
  return text.size() > 7 && text.starts_with("$2") && text[3] == '$' && text[6] == '$';
}

Status check_secrets(const ServerOptions& options) {
  const bool single = !options.user.empty() || !options.password.empty();
  const int kinds = static_cast<int>(single) + static_cast<int>(!options.token.empty()) +
                    static_cast<int>(!options.users.empty());
  if (kinds > 1) {
    return fail(Errc::kInvalidArgument, "only one of user and password, token, users can be set");
  }
  bool hashed = is_bcrypt(options.password) || is_bcrypt(options.token);
  std::set<std::string_view> names;
  for (const UserOptions& user : options.users) {
    hashed = hashed || is_bcrypt(user.password);
    if (!names.insert(user.user).second) {
      return fail(Errc::kInvalidArgument, "user \"" + user.user + "\" is there twice");
    }
  }
  if (hashed) return fail(Errc::kUnsupported, "bcrypt passwords are not supported");
  if (!options.no_auth_user.empty() && !names.contains(options.no_auth_user)) {
    return fail(Errc::kInvalidArgument, "no_auth_user is not one of the users");
  }
  return {};
}

}  // namespace

Status check_options(const ServerOptions& options) {
  if (options.max_payload > options.max_pending) {
    return fail(Errc::kInvalidArgument, "max_payload is larger than max_pending");
  }
  if (options.max_payload == 0 || options.max_control_line == 0) {
    return fail(Errc::kInvalidArgument, "max_payload and max_control_line can't be 0");
  }
  if (options.server_name.find(' ') != std::string::npos) {
    return fail(Errc::kInvalidArgument, "server_name holds a blank");
  }
  constexpr auto kNone = std::chrono::nanoseconds::zero();
  if (options.ping_interval <= kNone || options.auth_timeout <= kNone ||
      options.write_deadline <= kNone || options.max_read_pause < kNone) {
    return fail(Errc::kInvalidArgument, "a duration of the server is not positive");
  }
  return check_secrets(options);
}

}  // namespace sluice
