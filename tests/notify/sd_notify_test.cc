// The test plays systemd: a datagram socket named by NOTIFY_SOCKET.
#include "notify/sd_notify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

namespace sluice {
namespace {

using namespace std::chrono_literals;

class SdNotify : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/sluice-notify-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    dir_ = name;
    path_ = dir_ + "/socket";
    fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    setenv("NOTIFY_SOCKET", path_.c_str(), 1);
  }
  void TearDown() override {
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    ::close(fd_);
    ::unlink(path_.c_str());
    ::rmdir(dir_.c_str());
  }
  std::string heard() const {
    char buffer[512];
    ssize_t n = ::recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
    return n < 0 ? "" : std::string(buffer, static_cast<size_t>(n));
  }

  std::string dir_;
  std::string path_;
  int fd_ = -1;
};

TEST_F(SdNotify, SaysItsStates) {
  notify_ready("port 4222");
  EXPECT_EQ(heard(), "READY=1\nSTATUS=port 4222");
  notify_watchdog();
  EXPECT_EQ(heard(), "WATCHDOG=1");
  notify_reloading(123us);
  EXPECT_EQ(heard(), "RELOADING=1\nMONOTONIC_USEC=123");
  notify_extend_timeout(30s);
  EXPECT_EQ(heard(), "EXTEND_TIMEOUT_USEC=30000000");
  notify_stopping();
  EXPECT_THAT(heard(), testing::StartsWith("STOPPING=1"));
  EXPECT_EQ(heard(), "");
}

TEST_F(SdNotify, AsksForTimeWhileRecovering) {
  {
    StartupExtension extension;
  }
  EXPECT_EQ(heard(), "EXTEND_TIMEOUT_USEC=30000000");
}

TEST_F(SdNotify, WatchdogIntervalComesFromTheEnvironment) {
  EXPECT_FALSE(watchdog_interval());
  setenv("WATCHDOG_USEC", "30000000", 1);
  EXPECT_EQ(watchdog_interval().value(), 30s);
  setenv("WATCHDOG_PID", std::to_string(getpid() + 1).c_str(), 1);
  EXPECT_FALSE(watchdog_interval());
  unsetenv("WATCHDOG_PID");
}

TEST(SdNotifyWithoutSystemd, DoesNothing) {
  unsetenv("NOTIFY_SOCKET");
  notify_ready("x");
  StartupExtension extension;
}

}  // namespace
}  // namespace sluice
