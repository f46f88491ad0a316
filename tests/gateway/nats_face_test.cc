#include "gateway/cli/nats_face.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "gateway/cli/nats_signal.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::MatchesRegex;

class NatsFaceFiles : public testing::Test {
 protected:
  NatsFaceFiles() {
    char name[] = "/tmp/sluice-face-XXXXXX";
    dir_ = ::mkdtemp(name);
  }
  ~NatsFaceFiles() override { std::filesystem::remove_all(dir_); }

  std::string put(const std::string& name, const std::string& text) {
    std::ofstream(dir_ + "/" + name) << text;
    return dir_ + "/" + name;
  }
  std::string get(const std::string& name) {
    std::stringstream out;
    out << std::ifstream(dir_ + "/" + name).rdbuf();
    return out.str();
  }

  std::string dir_;
};

TEST_F(NatsFaceFiles, SetupIsFileThenFlags) {
  NatsServerFlags flags;
  flags.config_file = put("f.conf", "port: 4222\n");
  flags.name = "n";
  auto setup = make_face_setup(flags);
  ASSERT_TRUE(setup) << setup.error().detail;
  EXPECT_EQ(setup->digest,
            "sha256:797533ebd0dfba7d34a0f9337ecf147e442871f48ddfd07ed751575a5737267e")
      << "the reference's own digest of this file";
  EXPECT_EQ(setup->settings.server.server_name, "n");
  EXPECT_EQ(setup->settings.monitor_host, "0.0.0.0");

  put("f.conf", "foo: 1\n");
  EXPECT_EQ(make_face_setup(flags).error().detail,
            *flags.config_file + ":1:0: unknown field \"foo\"");
  put("f.conf", "max_payload: 2MB\nmax_pending: 1MB\n");
  EXPECT_THAT(make_face_setup(flags).error().detail, HasSubstr("max_pending"));
  flags.config_file = dir_ + "/nope";
  EXPECT_THAT(make_face_setup(flags).error().detail, HasSubstr("/nope: no such file or directory"));
  flags.config_file = dir_;
  EXPECT_THAT(make_face_setup(flags).error().detail, HasSubstr("is a directory"));
}

TEST_F(NatsFaceFiles, WhatAReloadCannotChange) {
  const auto fields = [&](const std::string& before, const std::string& after) {
    NatsServerFlags flags;
    flags.config_file = put("a.conf", before);
    const auto old_setup = make_face_setup(flags);
    flags.config_file = put("b.conf", after);
    const auto new_setup = make_face_setup(flags);
    EXPECT_TRUE(old_setup && new_setup);
    std::string out;
    for (const ChangedSetting& c : fixed_changes(old_setup->settings, new_setup->settings))
      out += c.reference_field + " " + c.before + " " + c.after + "; ";
    return out;
  };
  EXPECT_EQ(fields("port: 1", "port: 2"), "Port 1 2; ");
  EXPECT_EQ(fields("debug: true, max_payload: 4096, ping_max: 4", "logtime: false"), "");
  EXPECT_EQ(fields("jetstream: true", "server_name: x"), "ServerName  x; JetStream true false; ");
  EXPECT_EQ(fields("port: 4222", "jetstream { sync_interval: 5s }"), "SyncInterval always 5s; JetStream false true; ");
}

TEST_F(NatsFaceFiles, LogLines) {
  FaceLog log;
  ASSERT_TRUE(log.open({dir_ + "/l", true, true}));
  log.line(1'000'123'000, "INF", "one");
  ASSERT_TRUE(log.open({dir_ + "/l", false, false}));
  log.line(0, "WRN", "two");
  EXPECT_FALSE(log.open({dir_ + "/no/l", true, true}));
  log.line(0, "ERR", "three");
  const std::string pid = "[" + std::to_string(::getpid()) + "] ";
  EXPECT_EQ(get("l"), pid + "1970/01/01 00:00:01.000123 [INF] one\n" + pid + "[WRN] two\n" + pid +
                          "[ERR] three\n");
}

TEST_F(NatsFaceFiles, PortsAndPid) {
  EXPECT_EQ(ports_json({"127.0.0.1", 1, "::1", 2}),
            R"({"nats":["nats://127.0.0.1:1"],"monitoring":["http://[::1]:2"]})");
  EXPECT_THAT(ports_json({"0.0.0.0", 1, "", 0}),
              MatchesRegex(R"(\{"nats":\["nats://.*127\.0\.0\.1:1".*\]\})"));
  const std::string name = "nats-server_" + std::to_string(::getpid()) + ".ports";
  {
    PortsFile file;
    ASSERT_TRUE(file.write(dir_, {"h", 1, "", 0}));
    EXPECT_EQ(get(name), R"({"nats":["nats://h:1"]})");
    EXPECT_FALSE(PortsFile().write(dir_ + "/no", {"h", 1, "", 0}));
  }
  EXPECT_TRUE(std::filesystem::is_empty(dir_));
  ASSERT_TRUE(write_pid_file(dir_ + "/pid"));
  EXPECT_EQ(get("pid"), std::to_string(::getpid()));
  EXPECT_FALSE(write_pid_file(dir_ + "/no/pid"));
}

std::string send(const std::string& text, std::vector<int> running = {}) {
  auto order = parse_signal_order(text);
  if (!order) return order.error().detail;
  auto sent = send_signal(*order, [&] { return running; });
  return sent ? "" : sent.error().detail;
}

TEST_F(NatsFaceFiles, SignalOrders) {
  EXPECT_EQ(parse_signal_order("stop=1")->number, SIGKILL);
  EXPECT_EQ(parse_signal_order("quit")->number, SIGINT);
  EXPECT_EQ(parse_signal_order("term")->number, SIGTERM);
  EXPECT_EQ(parse_signal_order("reopen")->number, SIGUSR1);
  EXPECT_EQ(parse_signal_order("reload")->number, SIGHUP);
  EXPECT_EQ(parse_signal_order("ldm")->number, SIGUSR2);
  EXPECT_EQ(send("foo"), "unknown signal \"foo\"");
  EXPECT_EQ(send("reload=/nope"), "invalid pid: /nope");
  for (const char* group : {"reload=0", "reload=-1", "reload=-5"})
    EXPECT_THAT(send(group), HasSubstr("invalid pid"));
  EXPECT_EQ(send("reload"), "no nats-server processes running");
  EXPECT_EQ(send("reload", {1, 2}), "multiple nats-server processes running:\n1\n2");
  EXPECT_EQ(send("reload=2147483647"), "signal \"reload\" 2147483647: no such process");

  static volatile sig_atomic_t heard = 0;
  heard = 0;
  auto before = ::signal(SIGHUP, [](int) { heard = heard + 1; });
  ASSERT_TRUE(write_pid_file(dir_ + "/pid"));
  EXPECT_EQ(send("reload=" + dir_ + "/pid"), "");
  EXPECT_EQ(send("reload", {::getpid()}), "");
  ::signal(SIGHUP, before);
  EXPECT_EQ(heard, 2);
}

}  // namespace
}  // namespace sluice
