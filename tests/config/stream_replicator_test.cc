#include "config/stream_replicator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "config/choria_duration.h"
#include "config/load.h"
#include "test_paths.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

struct Outcome {
  StreamReplicatorFile file;
  std::string problems, warnings;
};

Outcome read(std::string_view text) {
  Problems problems("sr.yaml"), warnings("sr.yaml");
  Outcome out;
  out.file = parse_stream_replicator(text, [](const std::string&) { return std::nullopt; }, problems, warnings);
  out.problems = problems.to_text();
  out.warnings = warnings.to_text();
  return out;
}

const std::string kUrls = "source_url: nats://a, target_url: nats://b";
std::string one_stream(const std::string& more) { return "name: N\nstreams: [{stream: S, " + kUrls + more + "}]\n"; }

TEST(StreamReplicatorFile, EveryKeyOfAStream) {
  const auto [file, problems, warnings] = read(R"(
name: US
state_store: /var/lib/sr
monitor_port: 9100
profiling: no
logfile: /var/log/sr.log
loglevel: debug
tls: {ca: /ca, cert: /cert, key: /key}
streams:
  - stream: ORDERS
    name: W1
    source_url: "nats://u:p@one:4223, two?connect_timeout=5s&insecure=true&jwt=/j&nkey=/n&tls_handshake_first=true"
    target_url: tls://far/
    target_stream: COPY
    target_subject_prefix: P
    target_subject_remove: R
    filter_subject: orders.>
    no_target_create: true
    ephemeral: true
    start_at_end: true
    start_sequence: 8
    start_delta: 1w
    start_time: "2026-11-20T11:08:57Z"
    max_age: 1.5d
    inspect_field: meta.id
    inspect_force_field: force
    inspect_duration: 1h
    warn_duration: 30m
    size_trigger: 100
    advisory: {subject: "adv.%s.%v", reliable: true}
    leader_election_name: host1
    target_tls: {ca: /other}
  - {stream: TI, source_url: a, target_url: b, target_initiated: true, filter_subject: ti.>}
heartbeats:
  url: nats://hb
  interval: 2s
  headers: {from: site-a}
  leader_election: true
  subjects: [{subject: hb.one}, {subject: hb.two, interval: 3s, headers: {color: red}}]
)");
  EXPECT_EQ(problems, "");
  EXPECT_EQ(warnings, "");
  EXPECT_EQ(file.monitor_port, 9100);
  EXPECT_EQ(file.log.level, LogLevel::kDebug);
  EXPECT_TRUE(file.log.json);
  const ReplicatorOptions& r = file.replicator;
  EXPECT_EQ(r.name, "US");
  EXPECT_EQ(r.state_dir, "/var/lib/sr");
  EXPECT_TRUE(r.choria_metrics);
  ASSERT_EQ(r.streams.size(), 2u);
  const StreamCopyOptions& s = r.streams[0];
  EXPECT_EQ(s.id(), "ORDERS_W1");
  EXPECT_EQ(s.source.urls, (std::vector<std::string>{"nats://u:p@one:4223", "nats://two"}));
  EXPECT_EQ(s.source.connect_timeout, 5s);
  EXPECT_TRUE(s.source.tls_insecure);
  EXPECT_TRUE(s.source.tls_first);
  EXPECT_EQ(s.source.jwt_file, "/j");
  EXPECT_EQ(s.source.nkey_seed_file, "/n");
  EXPECT_EQ(s.source.tls_ca_file, "/ca");
  EXPECT_EQ(s.target.urls, std::vector<std::string>{"tls://far"});
  EXPECT_EQ(s.target.tls_ca_file, "/other");
  EXPECT_EQ(s.target.tls_cert_file, "") << "a whole object replaces, fields are not mixed";
  EXPECT_EQ(s.target_stream, "COPY");
  EXPECT_FALSE(s.create_target);
  EXPECT_TRUE(s.ephemeral && s.start_at_end);
  EXPECT_EQ(s.start_sequence, 8u);
  EXPECT_EQ(s.start_delta, 168h);
  EXPECT_EQ(s.max_age, 36h);
  EXPECT_EQ(s.inspect.field, "meta.id");
  EXPECT_EQ(s.inspect.warn_after(), 30min);
  EXPECT_EQ(s.inspect.size_trigger, 100);
  EXPECT_TRUE(s.inspect.advisory.reliable);
  EXPECT_EQ(s.leader_election_name, "host1");
  EXPECT_EQ(r.streams[1].name, "US");
  EXPECT_EQ(r.heartbeats.target.urls, std::vector<std::string>{"nats://hb"});
  EXPECT_EQ(r.heartbeats.subjects[1].interval, 3s);
  EXPECT_EQ(r.heartbeats.subjects[1].headers.at("color"), "red");
}

TEST(StreamReplicatorFile, KeysMatchInAnyCaseAndUnknownOnesAreWarnedOf) {
  const auto [file, problems, warnings] = read("Name: N\nSTREAMS:\n  - Stream: S\n    Source_URL: a\n    target_url: b\n    bogus: 1\nextra: {a: 1}\n");
  EXPECT_EQ(problems, "");
  EXPECT_EQ(file.replicator.streams.at(0).stream, "S");
  EXPECT_THAT(warnings, HasSubstr("sr.yaml:6:5: unknown key 'bogus' is left out"));
  EXPECT_THAT(warnings, HasSubstr("sr.yaml:7:1: unknown key 'extra'"));
}

TEST(StreamReplicatorFile, LoginsAtChoriaBrokers) {
  const auto [file, problems, warnings] = read(R"(
name: US
choria: {seed_file: /all.seed, jwt_file: /all.jwt, collective: mcollective}
streams:
  - {stream: A, source_url: a, target_url: b}
  - {stream: B, source_url: a, target_url: b, choria: {seed_file: /b.seed, jwt_file: /b.jwt}, target_choria: {seed_file: /t.seed, jwt_file: /t.jwt, collective: t}}
  - {stream: C, source_url: a, target_url: b, source_tls: {ca: /ca}}
heartbeats: {url: nats://hb, choria: {seed_file: /hb.seed, jwt_file: /hb.jwt}, subjects: [{subject: h}]}
)");
  EXPECT_EQ(problems + warnings, "");
  const auto& streams = file.replicator.streams;
  ASSERT_EQ(streams.size(), 3u);
  for (const LinkOptions* link : {&streams[0].source, &streams[0].target}) {
    EXPECT_EQ(link->choria_token_file, "/all.jwt");
    EXPECT_EQ(link->choria_seed_file, "/all.seed");
    EXPECT_EQ(link->choria_collective, "mcollective");
    EXPECT_TRUE(link->tls_insecure);
  }
  EXPECT_EQ(streams[1].source.choria_token_file, "/b.jwt");
  EXPECT_EQ(streams[1].source.choria_collective, "choria") << "a whole object replaces, fields are not mixed";
  EXPECT_EQ(streams[1].target.choria_token_file, "/t.jwt");
  EXPECT_EQ(streams[1].target.choria_collective, "t");
  EXPECT_FALSE(streams[2].source.tls_insecure) << "verified by the authority that is given";
  EXPECT_TRUE(streams[2].target.tls_insecure);
  EXPECT_EQ(file.replicator.heartbeats.target.choria_token_file, "/hb.jwt");
}

TEST(StreamReplicatorFile, ItsRulesAreChecked) {
  EXPECT_THAT(read("streams: []\n").problems, HasSubstr("'name' is missing"));
  EXPECT_THAT(read("name: N\nstreams: [{stream: S, source_url: a}]\n").problems, HasSubstr("'target_url' is missing"));
  EXPECT_THAT(read("name: N\nstreams: [{" + kUrls + "}]\n").problems, HasSubstr("'stream' is missing"));
  EXPECT_THAT(read("name: N\nstreams: [{stream: S, " + kUrls + "}, {stream: S, " + kUrls + "}]\n").problems,
              HasSubstr("copied twice under the name 'N'"));
  EXPECT_THAT(read(one_stream(", target_initiated: true")).problems, HasSubstr("needs 'filter_subject'"));
  EXPECT_THAT(read(one_stream(", target_initiated: true, filter_subject: a, max_age: 1s")).problems, HasSubstr("'max_age' can't"));
  EXPECT_THAT(read(one_stream(", target_initiated: true, filter_subject: a, inspect_field: x")).problems, HasSubstr("sampling can't"));
  EXPECT_THAT(read(one_stream(", target_initiated: true, filter_subject: a, no_target_create: true")).problems, HasSubstr("'no_target_create' can't"));
  EXPECT_THAT(read(one_stream(", inspect_field: a, inspect_header: b")).problems, HasSubstr("only one of"));
  EXPECT_THAT(read(one_stream(", inspect_force_field: a")).problems, HasSubstr("needs 'inspect_field'"));
  EXPECT_THAT(read(one_stream(", max_age: 10")).problems, HasSubstr("no duration"));
  EXPECT_THAT(read(one_stream(", start_time: yesterday")).problems, HasSubstr("no time"));
  EXPECT_THAT(read("name: a b\n").problems, HasSubstr("no blanks"));
}

TEST(StreamReplicatorFile, WhatCanNotBeCarriedOutIsRefusedByName) {
  EXPECT_THAT(read(one_stream(", choria: {seed_file: /s}")).problems, HasSubstr("'jwt_file' is missing"));
  EXPECT_THAT(read("name: N\nstreams: [{stream: S, source_url: 'a?jwt=x', target_url: b}]\n").problems, HasSubstr("'jwt' and 'nkey'"));
}

TEST(StreamReplicatorFile, ItsOwnRecordedFilesAreTakenUnchanged) {
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(SLUICE_SOURCE "/tests/fixtures/stream-replicator")) {
    if (entry.path().extension() != ".yaml") continue;
    std::ifstream in(entry.path());
    std::stringstream text;
    text << in.rdbuf();
    const auto outcome = read(text.str());
    EXPECT_EQ(outcome.problems, "") << entry.path();
    EXPECT_EQ(outcome.warnings, "") << entry.path();
    ++files;
  }
  EXPECT_GE(files, 9u);
}

TEST(ReplicationExamples, AreRight) {
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(SLUICE_SOURCE "/config/replication_examples")) {
    std::ifstream in(entry.path());
    std::stringstream text;
    text << in.rdbuf();
    Problems problems(entry.path().string());
    const Config config = parse_config(text.str(), true, [](const std::string&) { return std::nullopt; }, problems);
    EXPECT_EQ(problems.to_text(), "");
    EXPECT_FALSE(config.replicator.streams.empty());
    ++files;
  }
  EXPECT_EQ(files, 3u);
}

TEST(ChoriaDuration, ItsGrammar) {
  EXPECT_EQ(parse_choria_duration("1h30m"), 90min);
  EXPECT_EQ(parse_choria_duration("500ms"), 500ms);
  EXPECT_EQ(parse_choria_duration("1.5d"), 36h);
  EXPECT_EQ(parse_choria_duration("2W"), 336h);
  EXPECT_EQ(parse_choria_duration("1M"), 720h);
  EXPECT_EQ(parse_choria_duration("1y"), 8760h);
  EXPECT_EQ(parse_choria_duration("0.3d"), 7h) << "whole hours";
  EXPECT_EQ(parse_choria_duration(""), 0s);
  for (const char* bad : {"10", "1H", "5S", "d", "1h2d", "-1d", "-5s", "1e300y", "xy"}) EXPECT_FALSE(parse_choria_duration(bad)) << bad;
}

}  // namespace
}  // namespace sluice
