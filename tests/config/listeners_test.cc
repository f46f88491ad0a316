// TLS of the listeners, in both kinds of configuration file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "config/load.h"
#include "config/nats_settings.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

Result<NatsSettings> read_conf(const std::string& text) {
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

std::string conf_refusal(const std::string& text) {
  auto settings = read_conf(text);
  return settings ? "" : settings.error().detail;
}

struct Outcome {
  Config config;
  std::string problems;
};

Outcome read_yaml(const std::string& text) {
  Problems problems("f.yaml");
  const auto none = [](const std::string&) -> std::optional<std::string> { return std::nullopt; };
  Outcome out{parse_config(text, false, none, problems), ""};
  out.problems = problems.to_text();
  return out;
}

const std::string kPin(64, 'a');

TEST(TlsSettings, EveryKeyOfTheBlock) {
  auto s = read_conf("allow_non_tls: true\ntls {\n cert_file: c.pem\n key_file: k.pem\n ca_file: ca.pem\n"
                     " verify: true\n timeout: 1.5\n min_version: \"1.3\"\n connection_rate_limit: 100\n"
                     " cipher_suites: [TLS_AES_128_GCM_SHA256]\n curve_preferences: [X25519]\n"
                     " handshake_first: auto\n pinned_certs: [\"" + std::string(64, 'A') + "\"]\n}");
  ASSERT_TRUE(s.has_value()) << s.error().detail;
  const TlsListenerOptions& tls = s->server.tls;
  ASSERT_EQ(tls.certificates.size(), 1u);
  EXPECT_EQ(tls.certificates[0].cert_file, "c.pem");
  EXPECT_EQ(tls.certificates[0].key_file, "k.pem");
  EXPECT_EQ(tls.ca_file, "ca.pem");
  EXPECT_TRUE(tls.verify);
  EXPECT_EQ(tls.timeout, 1500ms);
  EXPECT_EQ(tls.min_version, TlsVersion::k13);
  EXPECT_EQ(tls.connection_rate_limit, 100u);
  EXPECT_THAT(tls.cipher_suites, ElementsAre("TLS_AES_128_GCM_SHA256"));
  EXPECT_THAT(tls.curve_preferences, ElementsAre("X25519"));
  EXPECT_TRUE(tls.handshake_first);
  EXPECT_EQ(tls.first_fallback, 50ms);
  EXPECT_THAT(tls.pinned_certs, ElementsAre(kPin));
  EXPECT_FALSE(tls.private_keys_only);
  EXPECT_TRUE(s->server.allow_non_tls);
}

TEST(TlsSettings, SeveralCertificatesAndWaysOfHandshakeFirst) {
  auto s = read_conf("tls { certs: [{cert_file: a, key_file: b}, {cert_file: c, key_file: d}]\n first: \"300ms\" }");
  ASSERT_TRUE(s.has_value()) << s.error().detail;
  EXPECT_EQ(s->server.tls.certificates.size(), 2u);
  EXPECT_EQ(s->server.tls.first_fallback, 300ms);
  s = read_conf("tls { cert_file: a, key_file: b, immediate: true }");
  EXPECT_TRUE(s->server.tls.handshake_first);
  EXPECT_EQ(s->server.tls.first_fallback, 0ms);
}

TEST(TlsSettings, WhatIsWrongIsTold) {
  EXPECT_THAT(conf_refusal("tls { cert_file: a }"), HasSubstr("missing 'key_file' in TLS configuration"));
  EXPECT_THAT(conf_refusal("tls { key_file: a }"), HasSubstr("missing 'cert_file' in TLS configuration"));
  EXPECT_THAT(conf_refusal("tls { }"), HasSubstr("missing 'cert_file' in TLS configuration"));
  EXPECT_THAT(conf_refusal("tls { cert_file: a, key_file: b, min_version: \"1.1\" }"),
              HasSubstr("unsupported TLS version: 1.1"));
  EXPECT_THAT(conf_refusal("tls { cert_file: a, key_file: b, handshake_first: soon }"),
              HasSubstr("field \"handshake_first\"'s value \"soon\" is invalid"));
  EXPECT_THAT(conf_refusal("tls { cert_file: a, key_file: b, pinned_certs: [ab] }"),
              HasSubstr("error parsing 'pinned_certs'"));
  EXPECT_THAT(conf_refusal("tls { cert_file: a, key_file: b, ocsp_peer: true }"),
              HasSubstr("\"ocsp_peer\" is not carried out"));
  EXPECT_THAT(conf_refusal("tls { cert_file: a, key_file: b, colour: red }"),
              HasSubstr("unknown field \"colour\""));
}

TEST(TlsSettings, TheSectionOfOurOwnFile) {
  auto [config, problems] = read_yaml(R"(
server:
  allow_non_tls: true
  tls:
    cert: c.pem
    key: k.pem
    ca: ca.pem
    verify_and_map: true
    min_version: "1.3"
    handshake_first: 200ms
    timeout: 3s
)");
  EXPECT_EQ(problems, "");
  const TlsListenerOptions& tls = config.server.tls;
  ASSERT_EQ(tls.certificates.size(), 1u);
  EXPECT_EQ(tls.certificates[0].key_file, "k.pem");
  EXPECT_TRUE(tls.verify_and_map);
  EXPECT_TRUE(tls.handshake_first);
  EXPECT_EQ(tls.first_fallback, 200ms);
  EXPECT_EQ(tls.timeout, 3s);
  EXPECT_TRUE(tls.private_keys_only);
  EXPECT_THAT(read_yaml("server:\n  tls:\n    cert: c\n").problems, HasSubstr("belong together"));
  EXPECT_THAT(read_yaml("server:\n  allow_non_tls: true\n").problems, HasSubstr("without 'tls'"));
  EXPECT_THAT(read_yaml("server:\n  tls:\n    handshake_first: soon\n").problems,
              HasSubstr("found 'soon'"));
}

}  // namespace
}  // namespace sluice
