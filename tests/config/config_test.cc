#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "config/load.h"
#include "config/reference.h"
#include "test_paths.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

struct Outcome {
  Config config;
  std::string problems;
};

Environment variables(std::map<std::string, std::string> values = {}) {
  return [values = std::move(values)](const std::string& name) -> std::optional<std::string> {
    auto it = values.find(name);
    if (it == values.end()) return std::nullopt;
    return it->second;
  };
}

Outcome read(std::string_view text, bool world_readable = false,
             const Environment& environment = variables()) {
  Problems problems("f.yaml");
  Outcome out{parse_config(text, world_readable, environment, problems), ""};
  out.problems = problems.to_text();
  return out;
}

std::string slurp(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

TEST(Config, NothingGivesDefaults) {
  auto [config, problems] = read("# only a comment\n");
  EXPECT_EQ(problems, "");
  EXPECT_EQ(config.server.host, "127.0.0.1");
  EXPECT_EQ(config.server.port, 4222);
  EXPECT_EQ(config.store.sync, SyncMode::kAlways);
  EXPECT_EQ(config.monitor.port, 8222);
  EXPECT_EQ(config.replicator.state_dir, "./sluice-data/replicator");
}

TEST(Config, TheCoreMayBeElsewhere) {
  auto [config, problems] = read(R"(
core:
  servers: [nats://a:4222, "tls://b:4223"]
  credentials: /etc/sluice/core.creds
  tls: {ca: ca.pem}
  domain: hub
  replicas: 3
)");
  EXPECT_EQ(problems, "");
  EXPECT_EQ(config.core.urls, (std::vector<std::string>{"nats://a:4222", "tls://b:4223"}));
  EXPECT_EQ(config.core.tls_ca_file, "ca.pem");
  EXPECT_EQ(config.core.api_prefix(), "$JS.hub.API");
  EXPECT_EQ(config.core.replicas, 3);
  EXPECT_EQ(read("core: nats://far:4222\n").config.core.urls, std::vector<std::string>{"nats://far:4222"});
  EXPECT_TRUE(read("core: embedded\n").config.core.embedded());
  EXPECT_THAT(read("core: other\n").problems, HasSubstr("'other' is not a URL"));
  EXPECT_EQ(read("core: srv://example.net\n").config.core.urls, std::vector<std::string>{"srv://example.net"});
  EXPECT_THAT(read("core: srv+tls://example.net:4222\n").problems, HasSubstr("has a port, which DNS is to tell"));
  EXPECT_THAT(read("core: {servers: nats://far, choria: {token: a.jwt}}\n").problems, HasSubstr("seed"));
  EXPECT_THAT(read("core: {servers: nats://far, inbox_prefix: 'a.*'}\n").problems, HasSubstr("not a subject without wildcards"));
  const LinkOptions login = read("core: {servers: nats://far, choria: {token: a.jwt, seed: a.seed}, inbox_prefix: c.reply.x, dns: '127.0.0.1:8600'}\n").config.core;
  EXPECT_EQ(login.choria_token_file, "a.jwt");
  EXPECT_EQ(login.choria_seed_file, "a.seed");
  EXPECT_EQ(login.inbox_prefix, "c.reply.x");
  EXPECT_EQ(login.dns_server, "127.0.0.1:8600");
  EXPECT_THAT(read("core: nats://far\nserver: {name: x}\n").problems, HasSubstr("2:1: 'server' is of the embedded core"));
  EXPECT_THAT(read("core: {servers: nats://far, replicas: 6}\n").problems, HasSubstr("6"));
  EXPECT_THAT(read("core: {replicas: 3}\n").problems, HasSubstr("servers"));
  EXPECT_THAT(read("core: {servers: nats://far, domain: d}\nreplicator: {streams: [{stream: A, target: nats://x}]}\n").problems,
              HasSubstr("by its domain"));
}

TEST(Config, ReadsEverySectionWithUnits) {
  auto [config, problems] = read(R"(
core: embedded
server:
  listen: "[::1]:-1"
  name: here
  max_payload: 8mb
  ping_interval: 1m30s
  users:
    - {user: a, password: x}
    - {user: b, password: y}
store:
  sync: interval
  sync_interval: 500ms
  journal_file_size: 128MiB
monitor:
  enabled: false
log:
  level: debug
  format: json
)");
  EXPECT_EQ(problems, "");
  EXPECT_EQ(config.server.host, "::1");
  EXPECT_EQ(config.server.port, 0);
  EXPECT_EQ(config.server.max_payload, 8u << 20);
  EXPECT_EQ(config.server.ping_interval, 90s);
  ASSERT_EQ(config.server.users.size(), 2u);
  EXPECT_EQ(config.server.users[1].password, "y");
  EXPECT_EQ(config.store.sync, SyncMode::kInterval);
  EXPECT_EQ(config.store.sync_interval, 500ms);
  EXPECT_EQ(config.store.journal_file_bytes, 128u << 20);
  EXPECT_FALSE(config.monitor.enabled);
  EXPECT_EQ(config.log.level, LogLevel::kDebug);
  EXPECT_TRUE(config.log.json);
}

TEST(Config, AllProblemsInOneGoWithPlaces) {
  auto [config, problems] = read(
      "server:\n"
      "  lisen: 127.0.0.1:4222\n"
      "  max_payload: 1MB2\n"
      "  ping_max: 010\n"
      "  allow_anonymous: yes\n"
      "store:\n"
      "  sync: allways\n"
      "  sync_interval: 3x\n"
      "  dir:\n"
      "stroe: {}\n");
  EXPECT_EQ(
      problems,
      "f.yaml:2:3: unknown key 'lisen', did you mean 'listen'?\n"
      "f.yaml:3:16: 'max_payload': '1MB2' has an unknown unit; sizes end with B, KiB, MiB, GiB or "
      "TiB\n"
      "f.yaml:4:13: 'ping_max': '010' has a leading zero: octal or decimal? Write it without\n"
      "f.yaml:5:20: 'allow_anonymous' must be true or false, found 'yes'\n"
      "f.yaml:7:9: 'sync' must be one of always, interval, none, found 'allways'\n"
      "f.yaml:8:18: 'sync_interval': '3x' is not a duration such as 30s, 1h30m or 2d\n"
      "f.yaml:9:3: 'dir' has no value\n"
      "f.yaml:10:1: unknown key 'stroe', did you mean 'store'?\n");
}

TEST(Config, TabsAndShortWordsAreToldAsWhatTheyAre) {
  EXPECT_EQ(read("server:\n\tlisten: 127.0.0.1:1\n").problems, "f.yaml:2:1: a tab before the first word: YAML indents by blanks\n");
  EXPECT_EQ(read("foo: 1\n").problems, "f.yaml:1:1: unknown key 'foo'\n");
  EXPECT_THAT(read("lgo: {}\n").problems, HasSubstr("unknown key 'lgo'"));
}

TEST(Config, YamlTraps) {
  EXPECT_EQ(read("server:\n  domain: a\n  domain: b\n").problems,
            "f.yaml:3:3: key 'domain' stands here twice, first in line 2\n");
  EXPECT_THAT(read("log: &x {level: info}\nmonitor:\n  <<: *x\n").problems,
              testing::AllOf(HasSubstr("1:6: anchors"), HasSubstr("3:3: merge keys"),
                             HasSubstr("3:7: aliases")));
  EXPECT_THAT(read("log: !!map {level: info}\n").problems, HasSubstr("tags"));
  EXPECT_THAT(read("log: {}\n---\nlog: {}\n").problems, HasSubstr("3:1: only one document"));
  EXPECT_THAT(read("server: [1, 2]\n").problems, HasSubstr("1:9: 'server' must be a section"));
  EXPECT_THAT(read("- a\n").problems, HasSubstr("1:1: the file must be a section"));
  EXPECT_THAT(read("server:\n  users: {user: a}\n").problems,
              HasSubstr("2:10: 'users' must be a list"));
  EXPECT_THAT(read("? [a]\n: b\n").problems, HasSubstr("a key must be a word"));
}

TEST(Config, OnlyTheFirstSyntaxErrorIsTold) {
  auto problems = read("server:\n  listen: 'open\nstore: [\n").problems;
  EXPECT_EQ(std::count(problems.begin(), problems.end(), '\n'), 1) << problems;
  EXPECT_THAT(problems, HasSubstr("f.yaml:"));
  EXPECT_NE(read("a: b: c\n").problems, "");
  EXPECT_NE(read(std::string(2000, '[')).problems, "");
  EXPECT_NE(read("\t: x\n").problems, "");
}

TEST(Config, VariablesAreExpandedAfterParsing) {
  auto env = variables({{"DIR", "/data: {x}"}, {"EMPTY", ""}});
  auto [config, problems] = read(
      "store: {dir: '${DIR}/s'}\nserver: {name: 'a${EMPTY}b$${x}${NONE:-d}', domain: "
      "'${EMPTY:-e}'}\n",
      false, env);
  EXPECT_EQ(problems, "");
  EXPECT_EQ(config.store.dir, "/data: {x}/s");
  EXPECT_EQ(config.server.server_name, "ab${x}d");
  EXPECT_EQ(config.server.domain, "e");
  EXPECT_THAT(read("store:\n  dir: ${NOT_SET}\n").problems,
              HasSubstr("2:8: environment variable NOT_SET is not set"));
  EXPECT_THAT(read("store:\n  dir: ${a-b}\n").problems, HasSubstr("not a variable"));
  EXPECT_THAT(read("store:\n  dir: ${a\n").problems, HasSubstr("without '}'"));
}

TEST(Config, BoundsAreChecked) {
  EXPECT_THAT(read("server: {max_payload: 1}\n").problems, HasSubstr("between 1KiB and"));
  EXPECT_THAT(read("server: {ping_interval: 1ms}\n").problems, HasSubstr("between 100ms and 1d"));
  EXPECT_THAT(read("server: {max_connections: -3}\n").problems, HasSubstr("between 1 and"));
  EXPECT_THAT(read("server: {max_connections: 99999999999999999999}\n").problems,
              HasSubstr("too large"));
  EXPECT_THAT(read("server: {listen: '127.0.0.1:70000'}\n").problems, HasSubstr("port"));
  EXPECT_THAT(read("server: {listen: '4222'}\n").problems, HasSubstr("host:port"));
  EXPECT_THAT(read("server: {listen: '::1:4222'}\n").problems, HasSubstr("[::1]:4222"));
}

TEST(Config, NobodyListensToTheWorldWithoutLogin) {
  EXPECT_THAT(read("server:\n  listen: 0.0.0.0:4222\n").problems,
              HasSubstr("2:3: '0.0.0.0' is reachable"));
  EXPECT_EQ(read("server: {listen: '0.0.0.0:4222', allow_anonymous: true}\n").problems, "");
  EXPECT_EQ(read("server: {listen: '0.0.0.0:4222', token: t}\n").problems, "");
  EXPECT_EQ(read("server: {listen: '127.9.9.9:4222'}\n").problems, "");
  EXPECT_EQ(read("server: {listen: 'localhost:4222'}\n").problems, "");
}

TEST(Config, ConflictsAreTold) {
  EXPECT_THAT(read("server: {listen: '127.0.0.1:8222'}\n").problems,
              HasSubstr("port 8222 is taken"));
  EXPECT_THAT(read("server: {user: a}\n").problems, HasSubstr("belong together"));
  EXPECT_THAT(read("server: {users: [{user: a, password: b}, {user: a, password: c}]}\n").problems,
              HasSubstr("twice"));
  EXPECT_THAT(read("server: {password: a, password_file: /x, user: u}\n").problems,
              HasSubstr("can't both"));
}

TEST(Config, SecretsNeedPrivateFiles) {
  EXPECT_THAT(read("server:\n  token: t\n", true).problems,
              HasSubstr("2:10: a secret in a file that everybody"));
  EXPECT_EQ(read("server:\n  token: ${T}\n", true, variables({{"T", "x"}})).problems, "");
  EXPECT_THAT(read("replicator: {streams: [{stream: A, target: 'nats://u:p@h'}]}\n", true).problems,
              HasSubstr("a secret"));
  char dir[] = "/tmp/sluice-config-XXXXXX";
  ASSERT_NE(mkdtemp(dir), nullptr);
  std::string path = std::string(dir) + "/pw";
  std::ofstream(path) << "s3cret\n";
  std::string text = "server: {user: u, password_file: " + path + "}\n";
  chmod(path.c_str(), 0644);
  EXPECT_THAT(read(text, true).problems, HasSubstr("readable by everybody"));
  chmod(path.c_str(), 0600);
  auto [config, problems] = read(text, true);
  EXPECT_EQ(problems, "");
  EXPECT_EQ(config.server.password, "s3cret");
  std::ofstream(path) << "\n";
  EXPECT_THAT(read(text).problems, HasSubstr("is empty"));
  EXPECT_THAT(read("server: {user: u, password_file: /none/x}\n").problems,
              HasSubstr("No such file"));
  std::filesystem::remove_all(dir);
}

TEST(Config, Adapters) {
  auto [config, problems] = read(R"(
adapters:
  - name: far
    type: choria_registration
    network:
      servers: ["nats://a:4222", tls://b]
      user: u
      password: p
      connect_timeout: 5s
      tls: {ca: /ca.pem}
    ingest: {subjects: ["*.broadcast.agent.>"], protocol: reply}
    stream: {name: S, subject: "x.%s.y"}
  - {type: choria_registration, name: near, network: embedded}
)");
  EXPECT_EQ(problems, "");
  ASSERT_EQ(config.adapters.size(), 2u);
  const auto& far = std::get<ChoriaRegistrationOptions>(config.adapters[0]);
  EXPECT_EQ(far.network.urls, (std::vector<std::string>{"nats://a:4222", "tls://b"}));
  EXPECT_EQ(far.network.connect_timeout, 5s);
  EXPECT_EQ(far.network.tls_ca_file, "/ca.pem");
  EXPECT_FALSE(far.requests);
  EXPECT_EQ(far.queue_group, "sluice_far");
  EXPECT_EQ(far.ingest_subjects, (std::vector<std::string>{"*.broadcast.agent.>"}));
  EXPECT_EQ(far.subject, "x.%s.y");
  EXPECT_TRUE(std::get<ChoriaRegistrationOptions>(config.adapters[1]).network.embedded());
}

TEST(Config, EventSources) {
  auto [config, problems] = read(R"(
adapters:
  - type: http_events
    name: shop
    listen: 127.0.0.1:8081
    path: /events
    authentication:
      user: u
      password: ${PASSWORD}
      signature: {secret: "${PASSWORD}", header: X-Sign, digest: base64}
    limits: {rate: 100, max_event_size: 64 KiB}
    stream: {retention: interest, storage: memory, duplicate_window: 1h}
)", false, variables({{"PASSWORD", "pw"}}));
  EXPECT_EQ(problems, "");
  ASSERT_EQ(config.adapters.size(), 1u);
  const auto& shop = std::get<HttpEventsOptions>(config.adapters[0]);
  EXPECT_EQ(shop.stream, "eventsource-shop-stream");
  EXPECT_EQ(shop.subject, "eventsource.shop");
  EXPECT_EQ(shop.authentication.password, "pw");
  EXPECT_EQ(shop.authentication.signature_secret, "pw");
  EXPECT_EQ(shop.authentication.signature_text, DigestText::kBase64);
  EXPECT_EQ(shop.max_event_bytes, 64u * kKiB);
  EXPECT_EQ(shop.retention, EventRetention::kInterest);
  EXPECT_TRUE(shop.memory);
  EXPECT_EQ(shop.duplicate_window, 1h);

  EXPECT_THAT(read("adapters: [{type: http_events, listen: '0.0.0.0:1'}]\n").problems,
              HasSubstr("anybody may send"));
  EXPECT_EQ(read("adapters: [{type: http_events, listen: '0.0.0.0:1', allow_anonymous: true}]\n").problems, "");
  EXPECT_THAT(read("adapters: [{type: http_events, name: a}, {type: http_events, name: b}]\n").problems,
              HasSubstr("another event source listens on 127.0.0.1:8080"));
  EXPECT_THAT(read("adapters: [{type: http_events, path: x}]\n").problems, HasSubstr("must begin with '/'"));
  EXPECT_THAT(read("adapters: [{type: http_events, authentication: {user: u}}]\n").problems,
              HasSubstr("belong together"));
  EXPECT_THAT(read("adapters: [{type: http_events, stream: {retention: days}}]\n").problems, HasSubstr("retention"));
}

TEST(Config, AdapterProblems) {
  EXPECT_THAT(read("adapters: [{name: a}]\n").problems, HasSubstr("1:12: 'type' is missing"));
  EXPECT_THAT(read("adapters: [{type: choria_registraton}]\n").problems,
              HasSubstr("did you mean 'choria_registration'"));
  EXPECT_THAT(read("adapters: [{type: choria_registration, name: a}, {type: choria_registration, "
                   "name: a}]\n")
                  .problems,
              HasSubstr("two adapters are called 'a'"));
  EXPECT_THAT(
      read("adapters: [{type: choria_registration, ingest: {subjects: ['a..b']}}]\n").problems,
      HasSubstr("not a valid subject"));
  EXPECT_THAT(read("adapters: [{type: choria_registration, stream: {subject: 'a.*'}}]\n").problems,
              HasSubstr("not a valid subject"));
  EXPECT_THAT(read("adapters: [{type: choria_registration, stream: {name: 'a.b'}}]\n").problems,
              HasSubstr("not a valid stream name"));
  EXPECT_THAT(read("adapters: [{type: choria_registration, network: 'http://x'}]\n").problems,
              HasSubstr("not a URL"));
  EXPECT_THAT(read("adapters: [{type: choria_registration, network: {user: x}}]\n").problems,
              HasSubstr("'servers' is missing"));
  EXPECT_THAT(read("adapters: [{type: choria_registration, network: {servers: ['nats://x'], tls: "
                   "{cert: a}}}]\n")
                  .problems,
              HasSubstr("'cert' and 'key' belong together"));
}

TEST(Config, Replicator) {
  auto [config, problems] = read(R"(
replicator:
  name: site
  streams:
    - {stream: A, target: "nats://far:4222"}
    - {stream: B, name: b2, target_stream: BB, source: "nats://other:4222", window_size: 1MiB}
)");
  EXPECT_EQ(problems, "");
  ASSERT_EQ(config.replicator.streams.size(), 2u);
  EXPECT_EQ(config.replicator.streams[0].name, "site");
  EXPECT_EQ(config.replicator.streams[0].target_stream, "A");
  EXPECT_TRUE(config.replicator.streams[0].source.embedded());
  EXPECT_EQ(config.replicator.streams[1].window_bytes, 1u << 20);
  EXPECT_THAT(read("replicator: {streams: [{stream: A}]}\n").problems, HasSubstr("onto itself"));
  EXPECT_THAT(read("replicator: {streams: [{target: 'nats://x'}]}\n").problems,
              HasSubstr("'stream' is missing"));
}

TEST(Config, ACopyMayHaveAPace) {
  auto [config, problems] = read(R"(
replicator:
  streams:
    - {stream: A, target: "nats://far:4222", pace: 512kbit/s}
    - stream: B
      target: "nats://far:4222"
      pace:
        rate: 200KiB/s
        zone: Europe/Berlin
        schedule:
          - {from: "08:00", to: "18:00", rate: 50KiB/s}
          - {from: "22:30", to: "06:00", rate: 1MiB/s}
)");
  EXPECT_EQ(problems, "");
  ASSERT_EQ(config.replicator.streams.size(), 2u);
  EXPECT_EQ(config.replicator.streams[0].pace.rate, 64'000u);
  const PaceOptions& pace = config.replicator.streams[1].pace;
  EXPECT_EQ(pace.rate, 200u << 10);
  EXPECT_EQ(pace.zone, "Europe/Berlin");
  ASSERT_EQ(pace.schedule.size(), 2u);
  EXPECT_EQ(pace.schedule[1].from, 22h + 30min);
  EXPECT_EQ(pace.schedule[1].to, 6h);
  EXPECT_EQ(pace.schedule[1].rate, 1u << 20);
  const auto problems_of = [](const std::string& text) {
    return read("replicator:\n  streams:\n    - {stream: A, target: 'nats://x', pace: " + text + "}\n").problems;
  };
  for (const auto& [text, told] : std::initializer_list<std::pair<const char*, const char*>>{
           {"200KiB", "'200KiB' is not a rate"},
           {"fast/s", "'fast/s' is not a rate"},
           {"100B/s", "at least 128/s"},
           {"[1MiB/s]", "must be a section"},
           {"{rate: 1MiB/s, zone: Europe/Atlantis}", "no time zone 'Europe/Atlantis'"},
           {"{speed: 1MiB/s}", "unknown key 'speed'"},
           {"{schedule: [{from: '8:00', to: '18:00', rate: 1MiB/s}]}", "'8:00' is not a time of day"},
           {"{schedule: [{from: '08:00', to: '24:01', rate: 1MiB/s}]}", "'24:01' is not a time of day"},
           {"{schedule: [{from: '08:00', to: '08:00', rate: 1MiB/s}]}", "are the same time"},
           {"{schedule: [{from: '08:00', to: '18:00'}]}", "'rate' is missing"}}) {
    EXPECT_THAT(problems_of(text), HasSubstr(told)) << text;
    EXPECT_THAT(problems_of(text), HasSubstr("f.yaml:3:")) << text;
  }
}

TEST(Config, ExamplesAreRight) {
  auto env = variables({{"SLUICE_PASSWORD", "secret"}, {"STATE_DIRECTORY", "/var/lib/sluice"}});
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(SLUICE_SOURCE "/config/examples")) {
    Problems problems(entry.path().string());
    Config config = parse_config(slurp(entry.path().string()), true, env, problems);
    EXPECT_EQ(problems.to_text(), "");
    EXPECT_EQ(config.store.dir, "/var/lib/sluice");
    EXPECT_GE(config.adapters.size(), 1u);
    ++count;
  }
  EXPECT_GE(count, 3u);
}

TEST(Config, ReferencePageIsTheCommittedOne) {
  EXPECT_EQ(slurp(SLUICE_SOURCE "/docs/configuration.md"), configuration_reference())
      << "sluice config reference > docs/configuration.md";
}

TEST(Units, RoundTrips) {
  EXPECT_EQ(parse_size("64MiB").value(), 64 << 20);
  EXPECT_EQ(parse_size("8mb").value(), 8 << 20);
  EXPECT_EQ(parse_size("10").value(), 10);
  EXPECT_EQ(parse_size("1 GiB").value(), 1 << 30);
  EXPECT_FALSE(parse_size("MiB"));
  EXPECT_FALSE(parse_size("9999999999TiB"));
  EXPECT_FALSE(parse_size("1.5MiB"));
  EXPECT_EQ(parse_time("1h30m").value(), 90min);
  EXPECT_EQ(parse_time("2d").value(), 48h);
  EXPECT_EQ(parse_time("1.5s").value(), 1500ms);
  EXPECT_EQ(parse_time("0").value(), 0s);
  for (auto bad : {"", "5", "s", "1h5", "-1s", "1e3s", "1..5s", "999999999w"})
    EXPECT_FALSE(parse_time(bad)) << bad;
  EXPECT_EQ(format_time(90min), "1h30m");
  EXPECT_EQ(format_size(64 << 20), "64MiB");
  EXPECT_EQ(format_size(1000), "1000");
  EXPECT_EQ(parse_rate("200KiB/s").value(), 200 << 10);
  EXPECT_EQ(parse_rate("10 Mbit/s").value(), 1'250'000);
  for (auto bad : {"", "/s", "kbit/s", "10", "10KiB", "10KiB/h", "1.5Mbit/s", "99999999999999Gbit/s"})
    EXPECT_FALSE(parse_rate(bad)) << bad;
  EXPECT_EQ(parse_time_of_day("24:00").value(), 24h);
  for (auto bad : {"", "8:00", "08.00", "24:01", "12:60", "ab:cd", "008:00"}) EXPECT_FALSE(parse_time_of_day(bad)) << bad;
}

}  // namespace
}  // namespace sluice
