#include "gateway/cli/nats_server_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice {
namespace {

using testing::HasSubstr;

NatsSettings settings_of(const std::vector<std::string>& arguments, NatsSettings settings = {}) {
  auto flags = parse_nats_server_flags(arguments);
  EXPECT_TRUE(flags) << flags.error().detail;
  if (flags) apply_flags(*flags, settings);
  return settings;
}

std::string refusal(const std::vector<std::string>& arguments) {
  auto flags = parse_nats_server_flags(arguments);
  return flags ? "" : flags.error().detail;
}

TEST(NatsServerFlags, Defaults) {
  const NatsSettings s = settings_of({});
  EXPECT_EQ(s.server.host, "0.0.0.0");
  EXPECT_EQ(s.port, 4222);
  EXPECT_EQ(s.monitor_port, 0);
  EXPECT_FALSE(s.server.jetstream);
  EXPECT_TRUE(s.logtime);
}

TEST(NatsServerFlags, GoSyntax) {
  const NatsSettings s = settings_of({"-js",
                                      "-sd=/x",
                                      "--addr",
                                      "127.0.0.1",
                                      "-p",
                                      "-1",
                                      "-m=8222",
                                      "--name",
                                      "n",
                                      "--user",
                                      "u",
                                      "-pass",
                                      "p",
                                      "-P",
                                      "/pid",
                                      "--ports_file_dir=/ports",
                                      "-l",
                                      "/log",
                                      "-D",
                                      "-T=false",
                                      "--logtime_utc"});
  EXPECT_TRUE(s.server.jetstream);
  EXPECT_EQ(s.store_dir, "/x");
  EXPECT_EQ(s.server.host, "127.0.0.1");
  EXPECT_EQ(s.monitor_host, "127.0.0.1");
  EXPECT_EQ(s.port, -1);
  EXPECT_EQ(s.monitor_port, 8222);
  EXPECT_EQ(s.server.server_name, "n");
  EXPECT_EQ(s.server.user, "u");
  EXPECT_EQ(s.server.password, "p");
  EXPECT_EQ(s.pid_file, "/pid");
  EXPECT_EQ(s.ports_file_dir, "/ports");
  EXPECT_EQ(s.log_file, "/log");
  EXPECT_TRUE(s.debug);
  EXPECT_FALSE(s.trace);
  EXPECT_FALSE(s.logtime);
  EXPECT_TRUE(s.logtime_utc);
  EXPECT_EQ(settings_of({"--auth=t"}).server.token, "t");
  EXPECT_TRUE(settings_of({"-DV"}).debug && settings_of({"-DV"}).trace);
  EXPECT_FALSE(settings_of({"-js=true", "--jetstream=false"}).server.jetstream);
  EXPECT_EQ(settings_of({"-p", "0"}).port, 4222);
  auto flags = parse_nats_server_flags({"--version", "-t", "-c", "f", "--signal", "stop=1", "-h"});
  ASSERT_TRUE(flags);
  EXPECT_TRUE(*flags->version && *flags->check && *flags->help);
  EXPECT_EQ(*flags->config_file + *flags->signal, "fstop=1");
}

TEST(NatsServerFlags, TheCommandLineWinsOverTheFile) {
  NatsSettings file;
  file.port = 1;
  file.server.host = "h";
  file.server.jetstream = true;
  file.debug = true;
  const NatsSettings s = settings_of({"-p", "2", "-js=false"}, file);
  EXPECT_EQ(s.port, 2);
  EXPECT_EQ(s.server.host, "h");
  EXPECT_FALSE(s.server.jetstream);
  EXPECT_TRUE(s.debug);
}

TEST(NatsServerFlags, AnythingElseIsRefusedInOneSentence) {
  for (const char* flag :
       {"-s", "--ms", "--cluster=nats://x", "--routes", "--profile"}) {
    EXPECT_THAT(refusal({flag}), HasSubstr("is not carried out by this version of Sluice")) << flag;
  }
  EXPECT_EQ(refusal({"--tls"}), "TLS Server certificate must be present and valid");
  EXPECT_EQ(refusal({"--nonsense=1"}), "flag provided but not defined: -nonsense");
  EXPECT_EQ(refusal({"word"}), "unrecognized command: \"word\"");
  EXPECT_EQ(refusal({"-"}), "unrecognized command: \"-\"");
  EXPECT_EQ(refusal({"-p"}), "flag needs an argument: -p");
  EXPECT_EQ(refusal({"-p", "x"}), "invalid value \"x\" for flag -p: parse error");
  EXPECT_EQ(refusal({"-p", "70000"}), "invalid value \"70000\" for flag -p: parse error");
  EXPECT_EQ(refusal({"-js=maybe"}), "invalid boolean value \"maybe\" for -js: parse error");
  EXPECT_THAT(refusal({"--=x"}), HasSubstr("bad flag syntax"));
  EXPECT_THAT(refusal({"--user", "u"}), HasSubstr("belong together"));
}

TEST(NatsServerFlags, UsageNamesThem) {
  EXPECT_THAT(nats_server_usage(), HasSubstr("--ports_file_dir"));
  EXPECT_THAT(nats_server_usage(), HasSubstr("-c, --config"));
}

}  // namespace
}  // namespace sluice
