#include <limits>

#include "config/config.h"
#include "config/sections.h"

namespace sluice {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;

const FieldRows& user_fields() {
  static const FieldRows rows = [] {
    FieldTable<UserOptions> t("One user.");
    t.text("user", &UserOptions::user).needed().doc("Name.");
    t.secret("password", &UserOptions::password, "Password.");
    return t.take();
  }();
  return rows;
}

}  // namespace

const FieldRows& server_fields() {
  static const FieldRows rows = [] {
    using O = ServerSettings;
    FieldTable<O> t("The listener for NATS clients.");
    t.address("listen", &O::host, &O::port)
        .doc("Address clients connect to. Port -1: any free one.");
    t.flag("allow_anonymous", &O::allow_anonymous)
        .doc("Start although `listen` is reachable from other machines and nobody has to log in.");
    t.text("name", &O::server_name)
        .doc("Server name shown to clients; the server's id when empty.");
    t.text("user", &O::user).doc("User name, for a single user.");
    t.secret("password", &O::password, "Password of `user`.");
    t.secret("token", &O::token, "Token that lets a client in.");
    t.section_list("users", &O::users, user_fields()).doc("Users, when there are several.");
    t.size("max_payload", &O::max_payload)
        .between(1024, static_cast<int64_t>(kMaxRecord_bytes - kMiB))
        .doc("Largest message, headers and payload together.");
    t.size("max_control_line", &O::max_control_line)
        .between(512, 1024 * 1024)
        .doc("Longest protocol line.");
    t.size("max_pending", &O::max_pending)
        .between(64 * 1024, std::numeric_limits<int64_t>::max())
        .doc("Bytes waiting for one connection before it is cut as a slow consumer.");
    t.count("max_connections", &O::max_connections)
        .between(1, 10'000'000)
        .doc("Connections at one time.");
    t.count("max_subscriptions", &O::max_subscriptions)
        .doc("Subscriptions of one connection. 0: without limit.");
    t.time("ping_interval", &O::ping_interval)
        .between(milliseconds(100), hours(24))
        .doc("Silence after which a connection is asked for a sign of life.");
    t.count("ping_max", &O::ping_max)
        .between(1, 1000)
        .doc("Unanswered questions before a connection is stale.");
    t.time("auth_timeout", &O::auth_timeout)
        .between(milliseconds(10), minutes(10))
        .doc("Time a client has to log in.");
    t.time("write_deadline", &O::write_deadline)
        .between(milliseconds(100), hours(1))
        .doc("Time a connection may take no bytes before it is cut.");
    t.time("max_read_pause", &O::max_read_pause)
        .between(milliseconds(0), minutes(10))
        .doc("Longest time a publisher is held back because a subscriber of its is congested.");
    t.text("domain", &O::domain).doc("JetStream domain; none when empty.");
    return t.take();
  }();
  return rows;
}

}  // namespace sluice
