#include "config/choria_import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "config/load.h"
#include "test_paths.h"

namespace sluice {
namespace {

using testing::Contains;
using testing::HasSubstr;

Config load(const std::string& yaml) {
  Problems problems("out.yaml");
  Config config = parse_config(yaml, false, [](const std::string&) { return std::nullopt; }, problems);
  EXPECT_TRUE(problems.empty()) << problems.to_text() << yaml;
  return config;
}

TEST(ChoriaImport, ABrokersConfigurationIsOursAfterwards) {
  std::ifstream file(std::string(SLUICE_FIXTURES) + "/choria/conf/broker.conf");
  std::stringstream text;
  text << file.rdbuf();
  const ChoriaImport made = import_choria(parse_choria_config(text.str()), "broker.conf");
  const Config config = load(made.daemon_yaml);
  ASSERT_EQ(config.adapters.size(), 3u);
  const auto& registration = std::get<ChoriaRegistrationOptions>(config.adapters[0]);
  EXPECT_EQ(registration.name, "registration");
  EXPECT_TRUE(registration.requests);
  EXPECT_EQ(registration.ingest_subjects, std::vector<std::string>{"mcollective.broadcast.agent.registration"});
  EXPECT_EQ(registration.stream, "REGISTRATION");
  EXPECT_EQ(registration.subject, "registration.%s");
  EXPECT_EQ(registration.queue_group, "nats_ingest_registration");
  EXPECT_EQ(registration.network.urls, std::vector<std::string>{"tls://127.0.0.1:25522"});
  EXPECT_EQ(registration.network.tls_ca_file, "/etc/choria/ssl/ca.pem");
  EXPECT_FALSE(std::get<ChoriaRegistrationOptions>(config.adapters[2]).requests);
  EXPECT_TRUE(config.auto_streams.events.enabled);
  EXPECT_EQ(config.auto_streams.machine.replicas, 1);
  EXPECT_TRUE(config.auto_streams.leader_election.enabled);
  EXPECT_THAT(made.daemon_yaml, HasSubstr("# core: {servers: [nats://127.0.0.1:25522]}"));
  EXPECT_THAT(made.notes, Contains(HasSubstr("plugin.choria.adapter.inventory.stream.workers: not needed")));
  EXPECT_THAT(made.notes, Contains(HasSubstr("stream.store: not read")));
  EXPECT_TRUE(made.spool_yaml.empty());
}

TEST(ChoriaImport, WhatCantBeCarriedIsSaidByName) {
  const ChoriaImport made = import_choria(parse_choria_config(R"(
# comment = no
plugin.choria.adapters = good, old, odd, typeless, no topic
plugin.choria.adapter.good.type = choria_streams
plugin.choria.adapter.good.ingest.topic = it's.here
plugin.choria.adapter.good.ingest.protocol = Request
plugin.choria.adapter.good.queue_len = many
plugin.choria.adapter.good.stream.colour = blue
plugin.choria.adapter.old.type = nats_stream
plugin.choria.adapter.old.ingest.topic = x
plugin.choria.adapter.odd.type = kafka
plugin.choria.adapter.no topic.type = jetstream
plugin.choria.network.stream.store = /x
plugin.choria.network.stream.event_retention = 0
plugin.choria.network.stream.machine_retention = 1.5d
plugin.choria.network.stream.advisory_retention = never
plugin.choria.network.stream.machine_replicas = -1
plugin.choria.network.stream.leader_election_ttl = 90
logfile = /dev/null
)"),
                                          "x.conf");
  const Config config = load(made.daemon_yaml);
  ASSERT_EQ(config.adapters.size(), 1u);
  const auto& good = std::get<ChoriaRegistrationOptions>(config.adapters[0]);
  EXPECT_EQ(good.ingest_subjects, std::vector<std::string>{"it's.here"});
  EXPECT_EQ(good.subject, "good") << "without stream.topic the adapter's name";
  EXPECT_FALSE(good.requests) << "only the exact word selects requests";
  EXPECT_TRUE(good.network.embedded());
  EXPECT_FALSE(config.auto_streams.events.enabled);
  EXPECT_EQ(config.auto_streams.machine.retention, std::chrono::hours(36));
  EXPECT_EQ(config.auto_streams.machine.replicas, 0);
  EXPECT_EQ(config.auto_streams.leader_election.retention, std::chrono::seconds(90));
  for (const char* said : {"adapter 'old' is left out", "adapter 'odd' is left out", "adapter 'typeless' is left out", "adapter 'no topic' is left out",
                           "'Request' means reply", "queue_len 'many'", "good.stream.colour: not carried over", "advisory_retention 'never'", "logfile"})
    EXPECT_THAT(made.notes, Contains(HasSubstr(said))) << said;
}

TEST(ChoriaImport, ASpoolBecomesTheSpoolsOwnFile) {
  const ChoriaImport made = import_choria(parse_choria_config(R"(
identity = n1.example.net
collectives = mt_collective, other
plugin.choria.middleware_hosts = b1:4222, nats://b2:4222
plugin.choria.submission.spool = /var/spool/choria
plugin.choria.submission.max_spool_size = 700
plugin.security.choria.seed_file = /etc/choria/server.seed
plugin.security.choria.token_file = /etc/choria/server.jwt
)"),
                                          "server.conf");
  EXPECT_EQ(made.spool_yaml,
            "# Made from server.conf by `sluice import choria-config --spool`.\n"
            "server:\n  servers: ['nats://b1:4222', 'nats://b2:4222']\n"
            "collective: 'mt_collective'\nfolder: '/var/spool/choria'  # Choria's own spool, taken over as it stands\n"
            "identity: 'n1.example.net'\nlimits: {messages: 700}\n"
            "signing:\n  seed: '/etc/choria/server.seed'\n  token: '/etc/choria/server.jwt'\n");
}

TEST(ChoriaImport, ReadsChoriasDurations) {
  EXPECT_EQ(parse_choria_seconds("90"), 90);
  EXPECT_EQ(parse_choria_seconds("1h30m"), 5400);
  EXPECT_EQ(parse_choria_seconds("1w"), 604800);
  EXPECT_EQ(parse_choria_seconds("0.5d"), 43200);
  EXPECT_EQ(parse_choria_seconds("1M"), 30 * 86400);
  EXPECT_EQ(parse_choria_seconds("1y"), 365 * 86400);
  EXPECT_EQ(parse_choria_seconds(""), 0);
  for (const char* wrong : {"5H", "d", "-1d", "nand", "1e99d", "soon"}) EXPECT_EQ(parse_choria_seconds(wrong), -1) << wrong;
}

}  // namespace
}  // namespace sluice
