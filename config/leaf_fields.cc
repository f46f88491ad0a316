// The `leafnodes` section.
#include "config/config.h"
#include "config/sections.h"

namespace sluice {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;

const FieldRows& remote_tls_fields() {
  static const FieldRows rows = [] {
    using O = TlsClientOptions;
    FieldTable<O> t("TLS towards a hub.");
    t.text("ca", &O::ca_file).doc("PEM file of the authorities to trust; the system's when empty.");
    t.text("cert", &O::cert_file).doc("PEM file of our certificate.");
    t.text("key", &O::key_file).doc("PEM file of its key.");
    t.flag("insecure", &O::insecure).doc("Do not verify the hub's certificate.");
    return t.take();
  }();
  return rows;
}

const FieldRows& leaf_user_fields() {
  static const FieldRows rows = [] {
    using O = LeafUserOptions;
    FieldTable<O> t("A user that only spokes log in as.");
    t.text("user", &O::user).needed().doc("Name.");
    t.secret("password", &O::password, "Password, plain or bcrypt.");
    t.text("account", &O::account).doc("The account that the spoke is linked with. Empty: `$G`.");
    return t.take();
  }();
  return rows;
}

const FieldRows& remote_fields() {
  static const FieldRows rows = [] {
    using O = LeafRemoteOptions;
    FieldTable<O> t("One hub.");
    t.text_list("urls", &O::urls).needed().doc(
        "Its URLs, tried in turn: `nats-leaf://[user:password@]host:7422`, `tls://…`.");
    t.text("account", &O::account).doc("The account linked here. Empty: `$G`.");
    t.secret("user_seed", &O::user_seed, "NKey seed (`SU…`) that logs in.");
    t.text("credentials", &O::credentials_file).doc("File with JWT and seed, as `nsc` writes it.");
    t.flag("tls_required", &O::tls).doc("Do not link without TLS.");
    t.flag("tls_handshake_first", &O::tls_first).doc("The TLS handshake comes before the hub's first words, as its `handshake_first` asks.");
    t.section("tls", &O::tls_options, remote_tls_fields()).doc("TLS settings.");
    t.text_list("deny_imports", &O::deny_imports).doc("Subjects not taken from the hub.");
    t.text_list("deny_exports", &O::deny_exports).doc("Subjects not sent to the hub.");
    t.time("first_info_timeout", &O::first_info_timeout)
        .between(milliseconds(10), minutes(1))
        .doc("Time the hub has for its first words.");
    t.flag("no_randomize", &O::no_randomize).doc("Try the URLs in the order written.");
    return t.take();
  }();
  return rows;
}

}  // namespace

const FieldRows& leafnodes_fields() {
  static const FieldRows rows = [] {
    using O = LeafOptions;
    FieldTable<O> t("Links to other servers: a listener for spokes, and hubs to connect to.");
    t.flag("enabled", &O::listen).doc("Listen for spokes.");
    t.address("listen", &O::host, &O::port).doc("Address spokes connect to. Port -1: any free one.");
    t.section("tls", &O::tls, tls_listener_fields()).doc("TLS of the listener.");
    t.text("user", &O::user).doc("User name of spokes; without it they log in as clients do.");
    t.secret("password", &O::password, "Password of `user`.");
    t.text("account", &O::account).doc("Account of `user`. Empty: `$G`.");
    t.section_list("users", &O::users, leaf_user_fields()).doc("Users of spokes, instead of the one.");
    t.time("auth_timeout", &O::auth_timeout)
        .between(milliseconds(10), minutes(10))
        .doc("Time a spoke has to log in.");
    t.section_list("remotes", &O::remotes, remote_fields()).doc("Hubs to connect to.");
    t.time("reconnect", &O::reconnect)
        .between(milliseconds(10), hours(1))
        .doc("Time between two tries to reach a hub.");
    t.count("max_connections", &O::max_connections)
        .between(1, 1'000'000)
        .doc("Links at one time; more are closed as they come.");
    return t.take();
  }();
  return rows;
}

}  // namespace sluice
