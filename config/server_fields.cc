#include <limits>

#include "config/config.h"
#include "config/operator_token.h"
#include "config/sections.h"
#include "server/jwt.h"

namespace sluice {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;

const FieldRows& subject_permission_fields() {
  static const FieldRows rows = [] {
    FieldTable<SubjectPermission> t("Subjects that are allowed, and those that are not.");
    t.text_list("allow", &SubjectPermission::allow)
        .doc("All that is allowed; when it is missing, everything.");
    t.text_list("deny", &SubjectPermission::deny).doc("What is not, whatever `allow` says.");
    return t.take();
  }();
  return rows;
}

const FieldRows& response_fields() {
  static const FieldRows rows = [] {
    FieldTable<ResponsePermission> t("Leave to answer messages that came with a reply subject.");
    t.count("max", &ResponsePermission::max).doc("Answers to one message. -1: without limit.");
    t.time("expires", &ResponsePermission::expires).doc("How long an answer is allowed.");
    return t.take();
  }();
  return rows;
}

const FieldRows& permission_fields() {
  static const FieldRows rows = [] {
    using O = PermissionOptions;
    FieldTable<O> t("What may be published and subscribed to.");
    t.section("publish", &O::publish, subject_permission_fields()).doc("Subjects to publish to.");
    t.section("subscribe", &O::subscribe, subject_permission_fields())
        .doc("Subjects to subscribe to. \"subject queue\" is about that queue group only.");
    t.own("allow_responses", FieldKind::kSection, "",
          [](ReadContext& c, const YamlNode& n, const FieldRow& row, O& o) {
            read_section(c, n, *row.nested, &o.responses.emplace());
          })
        .nest(response_fields())
        .doc("Leave to answer; it replaces the leave to publish anything.");
    return t.take();
  }();
  return rows;
}

const FieldRows& user_fields() {
  static const FieldRows rows = [] {
    using O = UserOptions;
    FieldTable<O> t("One user.");
    t.text("user", &O::user).doc("Name.");
    t.secret("password", &O::password, "Password, in clear or as a bcrypt hash (\"$2a$…\").");
    t.text("nkey", &O::nkey).doc("Public key (\"U…\") instead of name and password.");
    t.own("permissions", FieldKind::kSection, "",
          [](ReadContext& c, const YamlNode& n, const FieldRow& row, O& o) {
            read_section(c, n, *row.nested, &o.permissions.emplace());
          })
        .nest(permission_fields())
        .doc("What the user may do; everything when missing.");
    t.text_list("allowed_connection_types", &O::allowed_connection_types)
        .doc("STANDARD, WEBSOCKET, LEAFNODE, LEAFNODE_WS, MQTT, MQTT_WS, IN_PROCESS; all when "
             "missing.");
    return t.take();
  }();
  return rows;
}

const FieldRows& destination_fields() {
  static const FieldRows rows = [] {
    using O = MappingDestination;
    FieldTable<O> t("One destination of a mapping.");
    t.text("subject", &O::subject).needed().doc("Subject, with $1 or {{wildcard(1)}} and the like.");
    t.count("weight", &O::weight).between(0, 100).doc("Its share of the messages, in percent.");
    return t.take();
  }();
  return rows;
}

const FieldRows& mapping_fields() {
  static const FieldRows rows = [] {
    using O = MappingOptions;
    FieldTable<O> t("A mapping of what clients publish.");
    t.text("source", &O::source).needed().doc("Subject that is mapped.");
    t.section_list("destinations", &O::destinations, destination_fields())
        .doc("What becomes of it.");
    return t.take();
  }();
  return rows;
}

const FieldRows& jetstream_fields() {
  static const FieldRows rows = [] {
    using O = JetStreamLimits;
    FieldTable<O> t("JetStream limits of an account; -1: none.");
    t.count("max_memory", &O::max_memory).doc("Bytes of all streams in memory.");
    t.count("max_storage", &O::max_storage).doc("Bytes of all streams on disk.");
    t.count("max_streams", &O::max_streams).doc("Streams.");
    t.count("max_consumers", &O::max_consumers).doc("Consumers of one stream.");
    t.count("max_ack_pending", &O::max_ack_pending).doc("Unacknowledged messages of a consumer.");
    t.count("max_memory_stream_bytes", &O::memory_max_stream_bytes)
        .doc("Largest max_bytes of a stream in memory.");
    t.count("max_storage_stream_bytes", &O::storage_max_stream_bytes)
        .doc("Largest max_bytes of a stream on disk.");
    t.flag("max_bytes_required", &O::max_bytes_required).doc("Every stream must have max_bytes.");
    return t.take();
  }();
  return rows;
}

const FieldRows& latency_fields() {
  static const FieldRows rows = [] {
    using O = LatencyOptions;
    FieldTable<O> t("Metrics io.nats.server.metric.v1.service_latency.");
    t.text("subject", &O::subject).needed().doc("Where they are published, in the exporting account.");
    t.count("sampling", &O::sampling)
        .doc("Percent of the requests that are measured. 0: those whose headers (B3, uber-trace-id, traceparent) ask for it.");
    return t.take();
  }();
  return rows;
}

const FieldRows& export_fields() {
  static const FieldRows rows = [] {
    using O = ExportOptions;
    FieldTable<O> t("What other accounts may import.");
    t.text("subject", &O::subject).needed().doc("Subject, may hold wildcards.");
    t.flag("service", &O::service).doc("A service that answers requests; else a stream of messages.");
    t.text_list("accounts", &O::accounts).doc("Who may import it; everybody when missing.");
    t.word("response_type", &O::response,
           {{"singleton", ResponseType::kSingleton},
            {"stream", ResponseType::kStream},
            {"chunked", ResponseType::kChunked}})
        .doc("How many messages answer a request.");
    t.time("response_threshold", &O::threshold).doc("How long answers are let through. 0: 2 minutes.");
    t.count("account_token_position", &O::account_token_position)
        .doc("This token of the subject, from 1, is the importer's name. 0: none.");
    t.flag("allow_trace", &O::allow_trace)
        .doc("Of services: importers see the way of traced messages in this account.");
    t.section("latency", &O::latency, latency_fields())
        .doc("Of services with one answer: how long requests of other accounts take is told.");
    return t.take();
  }();
  return rows;
}

const FieldRows& import_fields() {
  static const FieldRows rows = [] {
    using O = ImportOptions;
    FieldTable<O> t("What is taken from another account.");
    t.text("account", &O::account).needed().doc("The account that exports it.");
    t.text("subject", &O::subject).needed().doc("Its subject there.");
    t.flag("service", &O::service).doc("A service; else a stream.");
    t.text("to", &O::to).doc("Its subject here; the same when empty.");
    t.text("prefix", &O::prefix).doc("Of streams: put before the subject, instead of `to`.");
    t.flag("share", &O::share).doc("Of services: the exporter learns who asks.");
    t.flag("allow_trace", &O::allow_trace)
        .doc("Of streams: the exporter sees the way of traced messages in this account.");
    return t.take();
  }();
  return rows;
}

const FieldRows& account_fields() {
  static const FieldRows rows = [] {
    using O = AccountOptions;
    FieldTable<O> t("A world of subjects of its own.");
    t.text("name", &O::name).needed().doc("Name.");
    t.text("nkey", &O::nkey).doc("Public key (\"A…\") that is its other name.");
    t.section_list("users", &O::users, user_fields()).doc("Who lives in it.");
    t.own("default_permissions", FieldKind::kSection, "",
          [](ReadContext& c, const YamlNode& n, const FieldRow& row, O& o) {
            read_section(c, n, *row.nested, &o.default_permissions.emplace());
          })
        .nest(permission_fields())
        .doc("Of users that have none of their own.");
    t.own("jetstream", FieldKind::kSection, "",
          [](ReadContext& c, const YamlNode& n, const FieldRow& row, O& o) {
            read_section(c, n, *row.nested, &o.jetstream.emplace());
          })
        .nest(jetstream_fields())
        .doc("Streams in this account, with these limits ({}: none); without it there are none.");
    t.count("max_connections", &O::max_connections).doc("Clients. -1: without limit.");
    t.count("max_subscriptions", &O::max_subscriptions).doc("Subscriptions of one connection. -1: without limit.");
    t.count("max_payload", &O::max_payload).doc("Bytes of a message. -1: as the server's.");
    t.section_list("exports", &O::exports, export_fields()).doc("What others may import.");
    t.section_list("imports", &O::imports, import_fields()).doc("What it takes from others.");
    t.section_list("mappings", &O::mappings, mapping_fields())
        .doc("Changes of the subjects its clients publish to; the first that fits counts.");
    t.text("trace_destination", &O::trace_destination)
        .doc("Messages with a sampled `traceparent` are traced to this subject; none when empty.");
    t.count("trace_sampling", &O::trace_sampling)
        .between(1, 100)
        .doc("Percent of them that are traced.");
    return t.take();
  }();
  return rows;
}

void read_operators(ReadContext& c, const YamlNode& n, OperatorMode& mode) {
  for (const std::string& text : read_text_list(c, n).value_or(std::vector<std::string>())) {
    if (auto token = read_operator_token(text)) {
      mode.operators.push_back(std::move(*token));
    } else {
      c.problems.add(n.place, token.error().detail);
    }
  }
}

void read_preload(ReadContext& c, const YamlNode& n, OperatorMode& mode) {
  for (std::string& text : read_text_list(c, n).value_or(std::vector<std::string>())) {
    if (const auto account = read_account_jwt(text)) {
      mode.preload.insert_or_assign(account->head.subject, std::move(text));
    } else {
      c.problems.add(n.place, "'preload': " + account.error().detail);
    }
  }
}

const FieldRows& operator_fields() {
  static const FieldRows rows = [] {
    using O = OperatorMode;
    FieldTable<O> t("Operator mode: accounts and users are what signed JWTs say; then there are no "
                    "`users`, `accounts` and the like.");
    t.own("operators", FieldKind::kTextList, "",
          [](ReadContext& c, const YamlNode& n, const FieldRow&, O& o) { read_operators(c, n, o); })
        .doc("Operators' JWTs, or files that hold one.");
    t.text_list("trusted_keys", &O::trusted_keys)
        .doc("Public keys (\"O…\") that may sign accounts, besides the operators' own.");
    t.own("preload", FieldKind::kTextList, "",
          [](ReadContext& c, const YamlNode& n, const FieldRow&, O& o) { read_preload(c, n, o); })
        .doc("Accounts' JWTs.");
    t.text("directory", &O::directory)
        .doc("Folder with accounts' JWTs, changed by `$SYS.REQ.CLAIMS` requests. Empty: those of `preload` are all.");
    t.flag("allow_delete", &O::allow_delete)
        .doc("With `directory`: requests may delete accounts.");
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
    t.text("no_auth_user", &O::no_auth_user)
        .doc("User as whom clients are taken that show no credentials; none when empty.");
    t.own("default_permissions", FieldKind::kSection, "",
          [](ReadContext& c, const YamlNode& n, const FieldRow& row, O& o) {
            read_section(c, n, *row.nested, &o.default_permissions.emplace());
          })
        .nest(permission_fields())
        .doc("Of users in no account that have none of their own.");
    t.section_list("mappings", &O::mappings, mapping_fields())
        .doc("Changes of the subjects that clients of no account publish to.");
    t.section_list("accounts", &O::accounts, account_fields())
        .doc("Accounts: subjects, users, streams and limits apart from all others.");
    t.section("operator", &O::operator_mode, operator_fields()).doc("Operator mode.");
    t.text("system_account", &O::system_account)
        .doc("The account of the server's own events and services; \"$SYS\" when empty.");
    t.size("max_payload", &O::max_payload)
        .between(1024, static_cast<int64_t>(kMaxRecord_bytes - kMiB))
        .doc("Largest message, headers and payload together.");
    t.size("max_control_line", &O::max_control_line)
        .between(512, 1024 * 1024)
        .doc("Longest protocol line.");
    t.size("max_pending", &O::max_pending)
        .between(64 * 1024, std::numeric_limits<int64_t>::max())
        .doc("Bytes waiting for one connection before it is cut as a slow consumer.");
    t.count("max_compressed", &O::max_compressed)
        .between(0, 10'000)
        .doc("Connections of other Sluices that may be compressed at once (about 2 MiB each); further ones stay plain. 0: not offered.");
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
    t.section("tls", &O::tls, tls_listener_fields())
        .doc("TLS for clients; off without a certificate.");
    t.flag("allow_non_tls", &O::allow_non_tls)
        .doc("With `tls`: clients may stay in clear.");
    t.section("websocket", &O::websocket, websocket_fields())
        .doc("A listener for WebSocket clients.");
    t.text("domain", &O::domain).doc("JetStream domain; none when empty.");
    t.flag("lenient_requests", &O::lenient_requests)
        .doc("Ignore fields of JetStream requests that are unknown here, instead of refusing the request.");
    return t.take();
  }();
  return rows;
}

}  // namespace sluice
