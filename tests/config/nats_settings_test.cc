#include "config/nats_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <map>

namespace sluice {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

Result<NatsSettings> read(const std::string& text) {
  const auto no_files = [](const std::string&) -> Result<std::string> {
    return fail(Errc::kNotFound, "none");
  };
  const auto no_variables = [](const std::string&) -> std::optional<std::string> {
    return std::nullopt;
  };
  auto conf = parse_nats_conf("f.conf", text, no_files, no_variables);
  if (!conf) return std::unexpected(conf.error());
  return read_nats_settings(*conf);
}

std::string refusal(const std::string& text) {
  auto settings = read(text);
  return settings ? "" : settings.error().detail;
}

TEST(NatsSettings, EverythingCarriedOut) {
  auto s = read(R"(
listen: "127.0.0.1:-1"
server_name: n1
http: "[::1]:8222"
max_payload: 2MB, max_pending: 128MB, max_control_line: 8KB
max_connections: 10, max_subscriptions: 20, max_closed_clients: 5
ping_interval: "2m30s"
ping_max: 5
write_deadline: "3s"
lame_duck_grace_period: "1s"
no_auth_user: b
authorization {
  timeout: 0.5
  users = [
    {user: a, password: "p"}
    {username: b, pass: q}
  ]
}
jetstream {
  store_dir: "/d", domain: hub, sync_interval: always, strict: true
  max_mem: 1Gb, max_file: "10G"
}
debug: true; trace: yes; logtime: false; logtime_utc: true
log_file: /l; pid_file: /p; ports_file_dir: /q
)");
  ASSERT_TRUE(s) << s.error().detail;
  EXPECT_EQ(s->server.host, "127.0.0.1");
  EXPECT_EQ(s->port, -1);
  EXPECT_EQ(s->server.server_name, "n1");
  EXPECT_EQ(s->monitor_host, "::1");
  EXPECT_EQ(s->monitor_port, 8222);
  EXPECT_EQ(s->server.max_payload, 2u << 20);
  EXPECT_EQ(s->server.max_pending, 128u << 20);
  EXPECT_EQ(s->server.max_control_line, 8192u);
  EXPECT_EQ(s->server.max_connections, 10u);
  EXPECT_EQ(s->server.max_subscriptions, 20u);
  EXPECT_EQ(s->server.max_closed_connections, 5u);
  EXPECT_EQ(s->server.ping_interval, nanoseconds(seconds(150)));
  EXPECT_EQ(s->server.ping_max, 5u);
  EXPECT_EQ(s->server.write_deadline, nanoseconds(seconds(3)));
  EXPECT_EQ(s->lame_duck_grace, nanoseconds(seconds(1)));
  EXPECT_FALSE(s->server.lenient_requests);
  EXPECT_EQ(s->server.auth_timeout, nanoseconds(milliseconds(500)));
  ASSERT_EQ(s->server.users.size(), 2u);
  EXPECT_EQ(s->server.users[1].user, "b");
  EXPECT_EQ(s->server.users[1].password, "q");
  EXPECT_EQ(s->server.no_auth_user, "b");
  EXPECT_TRUE(s->server.jetstream);
  EXPECT_EQ(s->store_dir, "/d");
  EXPECT_EQ(s->server.domain, "hub");
  EXPECT_EQ(s->sync, SyncMode::kAlways);
  EXPECT_EQ(s->max_memory_bytes, int64_t{1} << 30);
  EXPECT_EQ(s->max_file_bytes, int64_t{10} << 30);
  EXPECT_TRUE(s->debug && s->trace && s->logtime_utc);
  EXPECT_FALSE(s->logtime);
  EXPECT_EQ(s->log_file + s->pid_file + s->ports_file_dir, "/l/p/q");
  EXPECT_TRUE(s->warnings.empty());
}

TEST(NatsSettings, Defaults) {
  auto s = read("PORT: 0\n");
  ASSERT_TRUE(s);
  EXPECT_EQ(s->server.host, "0.0.0.0");
  EXPECT_FALSE(s->server.jetstream);
  EXPECT_EQ(s->sync, SyncMode::kAlways) << "an unset sync_interval means always";
  EXPECT_EQ(s->server.max_payload, 1u << 20);
  EXPECT_EQ(read("max_connections: -1")->server.max_connections,
            std::numeric_limits<size_t>::max());
  EXPECT_EQ(read("max_connections: 0")->server.max_connections, 65'536u);
  EXPECT_EQ(read("max_subs: -1")->server.max_subscriptions, 0u);
}

TEST(NatsSettings, JetStreamInEveryShape) {
  for (const char* on :
       {"jetstream: true", "jetstream: enabled", "jetstream {}", "jetstream { enabled: true }"}) {
    EXPECT_TRUE(read(on)->server.jetstream) << on;
  }
  for (const char* off : {"jetstream: no", "jetstream: disabled", "jetstream { enabled: false }"}) {
    EXPECT_FALSE(read(off)->server.jetstream) << off;
  }
  auto s = read("store_dir: /x\njetstream { sync_interval: \"2m\" }");
  ASSERT_TRUE(s) << s.error().detail;
  EXPECT_EQ(s->store_dir, "/x");
  EXPECT_EQ(s->sync, SyncMode::kInterval);
  EXPECT_EQ(s->sync_interval, milliseconds(120'000));
}

TEST(NatsSettings, NumbersInPlaceOfDurationsAreWarnedOf) {
  auto s = read("write_deadline: 5");
  ASSERT_TRUE(s);
  EXPECT_EQ(s->server.write_deadline, nanoseconds(seconds(5)));
  EXPECT_THAT(
      s->warnings,
      ElementsAre("f.conf:1:0: invalid use of field \"write_deadline\": write_deadline should be "
                  "converted to a duration"));
}

TEST(NatsSettings, MistakesInTheReferencesWords) {
  const std::map<std::string, std::string> cases{
      {"foo: 1", "f.conf:1:0: unknown field \"foo\"\n"},
      {"foo: 1\nbar: 2\n max_payload: x",
       "f.conf:1:0: unknown field \"foo\"\nf.conf:2:1: unknown field \"bar\"\n"
       "f.conf:3:2: interface conversion: interface {} is string, not int64\n"},
      {"X: 3\nport: $X\nY: 1", "f.conf:3:1: unknown field \"Y\"\n"},
      {"authorization { user: a\n foo: b\n}", "f.conf:2:2: unknown field \"foo\"\n"},
      {"jetstream { foo: 1 }", "f.conf:1:12: unknown field \"foo\"\n"},
      {"port: \"abc\"", "f.conf:1:0: interface conversion: interface {} is string, not int64\n"},
      {"port: 4222.5", "f.conf:1:0: interface conversion: interface {} is float64, not int64\n"},
      {"debug: 3", "f.conf:1:0: interface conversion: interface {} is int64, not bool\n"},
      {"server_name: 12", "f.conf:1:0: interface conversion: interface {} is int64, not string\n"},
      {"server_name: \"a b\"", "f.conf:1:0: server name cannot contain spaces\n"},
      {"listen: 1.2.3.4", "f.conf:1:0: could not parse address string \"1.2.3.4\"\n"},
      {"listen: \"1.2.3.4:abc\"", "f.conf:1:0: could not parse port \"abc\"\n"},
      {"ping_interval: \"x\"",
       "f.conf:1:0: error parsing ping_interval: time: invalid duration \"x\"\n"},
      {"jetstream: 12",
       "f.conf:1:0: Expected map, bool or string to define JetStream, got int64\n"},
      {"jetstream: \"no\"",
       "f.conf:1:0: Expected 'enabled' or 'disabled' for string value, got 'no'\n"},
      {"jetstream { max_mem: foo }",
       "f.conf:1:12: max_mem_store strconv.ParseInt: parsing \"fo\": invalid syntax\n"},
      {"jetstream { store_dir: a }\nstore_dir: b",
       "f.conf:2:1: Duplicate 'store_dir' configuration\n"},
      {"authorization { user: a, password: b, token: c}",
       "f.conf:1:0: Cannot have a user/pass and token\n"},
      {"authorization { users: [{user: a, password: b}], user: c, password: d}",
       "f.conf:1:0: Can not have a single user/pass and a users array\n"},
      {"authorization { token: t, users: [{user: a, password: b}] }",
       "f.conf:1:0: Can not have a token and a users array\n"},
      {"authorization { users: [{user: a, password: b},{user: a, password: c}]}",
       "f.conf:1:0: Duplicate user \"a\" detected\n"},
      {"authorization { users: [{password: a}] }", "f.conf:1:25: User entry requires a user\n"},
      {"authorization { users: 3 }",
       "f.conf:1:16: Expected users field to be an array, got int64\n"},
      {"authorization { timeout: x, token: abc}",
       "f.conf:1:16: error parsing authorization config, 'timeout' time: invalid duration \"x\"\n"},
  };
  for (const auto& [text, words] : cases) EXPECT_EQ(refusal(text), words) << text;
}

TEST(NatsSettings, WhatAHarnessSets) {
  auto s = read(R"(
max_sub_tokens: 8, no_header_support: true, no_fast_producer_stall: true
client_advertise: "example.net:4333"
server_tags: ["a:b", "c d"], server_metadata: { region: "eu" }
http_base_path: "nats/"
lame_duck_duration: "30s", write_timeout: close
disable_sublist_cache: true
prof_port: 6060
)");
  ASSERT_TRUE(s) << s.error().detail;
  EXPECT_EQ(s->server.max_subject_tokens, 8u);
  EXPECT_FALSE(s->server.headers);
  EXPECT_TRUE(s->server.no_fast_producer_stall);
  EXPECT_EQ(s->server.client_advertise, "example.net:4333");
  EXPECT_THAT(s->server.tags, ElementsAre("a:b", "c", "d"));
  EXPECT_EQ(s->server.metadata.at("region"), "eu");
  EXPECT_EQ(s->http_base_path, "/nats");
  EXPECT_EQ(s->lame_duck_duration, nanoseconds(seconds(30)));
  EXPECT_THAT(s->notes, ElementsAre("f.conf:7:1: \"disable_sublist_cache\" is without effect here",
                                    "f.conf:8:1: \"prof_port\" is without effect here"));
  EXPECT_TRUE(s->warnings.empty());
  EXPECT_THAT(refusal("lame_duck_duration: \"5s\""),
              HasSubstr("invalid lame_duck_duration of 5s, minimum is 30 seconds"));
  EXPECT_THAT(refusal("write_timeout: retry"), HasSubstr("not carried out"));
  EXPECT_THAT(refusal("write_timeout: x"), HasSubstr("(received 'x')"));
}

TEST(NatsSettings, WhatIsNotCarriedOutIsRefusedByName) {
  for (const char* key :
       {"cluster", "gateway", "mqtt", "resolver_tls", "https_port"}) {
    EXPECT_EQ(
        refusal(std::string("port: 1\n") + key + " { a: 1 }"),
        "f.conf:2:1: \"" + std::string(key) + "\" is not carried out by this version of Sluice\n");
  }
  EXPECT_EQ(refusal("syslog: false\nproxy_protocol: no"), "")
      << "a plain false asks for nothing";
  EXPECT_THAT(refusal("authorization { auth_callout { issuer: x } }"),
              HasSubstr("not carried out"));
  EXPECT_EQ(refusal("accounts { A { exports: [{service: s, latency: {sampling: 7%, subject: l}}] } }"), "");
  EXPECT_THAT(refusal("accounts { A { exports: [{stream: s, latency: l}] } }"),
              HasSubstr("Detected latency directive on non-service"));
  EXPECT_THAT(refusal("accounts { A { jetstream { cluster_traffic: owner } } }"),
              HasSubstr("not carried out"));
  EXPECT_THAT(refusal("max_payload: 64MB"), HasSubstr("max_payload of 67108864"));
  EXPECT_THAT(refusal("port: 70000"), HasSubstr("port of 70000"));
}

TEST(NatsSettings, EncryptionOfTheStore) {
  const NatsSettings settings = *read(R"(jetstream { cipher: "AES", key: "now", prev_key: "before" })");
  EXPECT_EQ(settings.store_cipher, SealCipher::kAes256Gcm);
  EXPECT_EQ(settings.store_key, "now");
  EXPECT_EQ(settings.previous_store_key, "before");
  EXPECT_EQ(read(R"(jetstream { ek: "now" })")->store_cipher, SealCipher::kChaCha20Poly1305);
  EXPECT_THAT(refusal("jetstream { cipher: rot13 }"), HasSubstr("Unknown cipher type: \"rot13\""));
}

TEST(NatsSettings, UsersAndPermissions) {
  auto read_conf = read(R"(
authorization {
  default_permissions { publish: "a.>", subscribe: { allow: ["b", "c q"], deny: d } }
  users: [
    {user: u, password: "$2a$11$abc", permissions: {pub: [x, y], allow_responses: {max: 5, expires: "1m"}}}
    {nkey: UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4, allowed_connection_types: [websocket]}
  ]
})");
  ASSERT_TRUE(read_conf.has_value()) << read_conf.error().detail;
  const ServerOptions& o = read_conf->server;
  ASSERT_EQ(o.users.size(), 2U);
  EXPECT_EQ(o.default_permissions->subscribe.allow, (std::vector<std::string>{"b", "c q"}));
  EXPECT_EQ(o.default_permissions->subscribe.deny, (std::vector<std::string>{"d"}));
  EXPECT_EQ(o.users[0].permissions->publish.allow, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(o.users[0].permissions->responses->max, 5);
  EXPECT_EQ(o.users[0].permissions->responses->expires, std::chrono::minutes(1));
  EXPECT_EQ(o.users[1].allowed_connection_types, (std::vector<std::string>{"WEBSOCKET"}));
}

TEST(NatsSettings, Accounts) {
  auto read_conf = read(R"(
system_account: SYS
no_auth_user: u
mappings { a: b, c.*: [{destination: "d.$1", weight: 40%}, {destination: "e.$1", weight: 60}] }
accounts {
  SYS { users: [{user: admin, password: s}] }
  A {
    users: [{user: u, password: p}]
    jetstream { max_mem: 1M, max_file: 1G, max_streams: 3 }
    limits { max_conn: 5, max_subs: 7, max_payload: 100 }
    exports: [{stream: "s.>"}, {service: "q.*", accounts: [B], response_type: stream, threshold: "3s"}]
  }
  B { jetstream: enabled
      imports: [{stream: {account: A, subject: "s.>"}, prefix: pre}, {service: {account: A, subject: "q.*"}, to: "z.*", share: true}] }
})");
  ASSERT_TRUE(read_conf.has_value()) << read_conf.error().detail;
  const ServerOptions& o = read_conf->server;
  ASSERT_EQ(o.accounts.size(), 3U);
  EXPECT_FALSE(o.global_jetstream);
  const AccountOptions& a = o.accounts[1];
  EXPECT_EQ(a.jetstream->max_memory, 1'000'000) << "M counts in thousands, MB in 1024";
  EXPECT_EQ(a.jetstream->max_streams, 3);
  EXPECT_EQ(a.max_connections, 5);
  EXPECT_EQ(a.max_subscriptions, 7);
  EXPECT_EQ(a.max_payload, 100);
  EXPECT_EQ(a.exports[1].response, ResponseType::kStream);
  EXPECT_EQ(a.exports[1].threshold, std::chrono::seconds(3));
  EXPECT_EQ(a.exports[1].accounts, (std::vector<std::string>{"B"}));
  EXPECT_EQ(o.accounts[2].imports[0].prefix, "pre");
  EXPECT_TRUE(o.accounts[2].imports[1].share);
  ASSERT_EQ(o.mappings.size(), 2U);
  EXPECT_EQ(o.mappings[1].destinations[0].weight, 40U);
  EXPECT_TRUE(check_options(o).has_value()) << check_options(o).error().detail;
}

TEST(NatsSettings, NoSecretInAMessage) {
  EXPECT_THAT(refusal("authorization { user: a, password: $2a$11$s3cret, foo: s3cret }"),
              Not(HasSubstr("s3cret")));
}

TEST(NatsSettings, TracesOfAccounts) {
  auto s = read(R"(accounts {
    A { msg_trace: {dest: a.t, sampling: "20%"}, exports: [{service: q, allow_trace: true}] }
    B { trace_dest: b.t, imports: [{stream: {account: A, subject: s}, allow_trace: true}] }
  })");
  ASSERT_TRUE(s) << s.error().detail;
  const auto& accounts = s->server.accounts;
  EXPECT_EQ(accounts[0].trace_destination, "a.t");
  EXPECT_EQ(accounts[0].trace_sampling, 20);
  EXPECT_TRUE(accounts[0].exports[0].allow_trace);
  EXPECT_EQ(accounts[1].trace_destination, "b.t");
  EXPECT_EQ(accounts[1].trace_sampling, 100);
  EXPECT_TRUE(accounts[1].imports[0].allow_trace);
  const auto refused = [](const std::string& block) { return refusal("accounts { A {" + block + "} }"); };
  EXPECT_THAT(refused("msg_trace: {dest: x, sampling: 0}"), HasSubstr("sampling value 0 is invalid, needs to be [1..100]"));
  EXPECT_THAT(refused("msg_trace: {dest: x, sampling: fo}"), HasSubstr("Invalid trace destination sampling value \"fo\""));
  EXPECT_THAT(refused("msg_trace: {dest: x, sampling: true}"), HasSubstr("should be an integer or a percentage, got bool"));
  EXPECT_THAT(refused("msg_trace: {dest: 5}"), HasSubstr("Field \"dest\" should be a string, got int64"));
  EXPECT_THAT(refused("msg_trace: {dst: x}"),
              HasSubstr("Unknown field \"dst\" parsing account message trace map/struct \"msg_trace\""));
  EXPECT_THAT(refused("trace_dest: 5"),
              HasSubstr("Expected account message trace \"trace_dest\" to be a string or a map/struct, got int64"));
  EXPECT_THAT(refused("exports: [{stream: x, allow_trace: true}]"), HasSubstr("Detected allow_trace directive on non-service"));
  EXPECT_THAT(refused("imports: [{service: {account: B, subject: x}, allow_trace: true}]"),
              HasSubstr("Detected allow_trace directive on a non-stream"));
}

}  // namespace
}  // namespace sluice
