#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>

#include "uv/env.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

struct Echo final : TransportHandler {
  std::unique_ptr<Transport> transport;
  std::optional<Error> closed;
  void on_bytes(std::string_view bytes) override {
    std::string back(bytes);
    transport->write(back);
  }
  void on_drained() override {}
  void on_closed(const Error& why) override { closed = why; }
};

class LocalSocket : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/sluice-local-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    dir = name;
    path = dir + "/s";
  }
  void TearDown() override {
    ::unlink(path.c_str());
    ::rmdir(dir.c_str());
  }
  Result<std::unique_ptr<Listener>> listen(unsigned mode = 0660) {
    return world.listen_local(path, mode, [this](std::unique_ptr<Transport> accepted) {
      echo.transport = std::move(accepted);
      echo.transport->start(echo);
    });
  }
  int connect() const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
    ::close(fd);
    return -1;
  }

  UvEnv world;
  Echo echo;
  std::string dir, path;
};

TEST_F(LocalSocket, CarriesBytesBothWaysAndTellsTheEnd) {
  const auto listener = listen();
  ASSERT_TRUE(listener) << listener.error().detail;
  EXPECT_EQ((*listener)->port(), 0);
  const int fd = connect();
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::send(fd, "hello", 5, 0), 5);
  char got[8] = {};
  ASSERT_TRUE(world.loop().run_until([&] { return ::recv(fd, got, sizeof got, MSG_DONTWAIT) == 5; }, 10s));
  EXPECT_STREQ(got, "hello");
  EXPECT_EQ(echo.transport->peer_address(), "local");
  ::close(fd);
  ASSERT_TRUE(world.loop().run_until([&] { return echo.closed.has_value(); }, 10s));
  EXPECT_EQ(echo.closed->code, Errc::kClosed);
  echo.transport.reset();
}

TEST_F(LocalSocket, HasTheModeAskedFor) {
  const auto listener = listen(0620);
  ASSERT_TRUE(listener);
  struct stat found{};
  ASSERT_EQ(::stat(path.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777U, 0620U);
}

TEST_F(LocalSocket, ReplacesAnAbandonedOneAndRespectsOneInUse) {
  {
    const auto listener = listen();
    ASSERT_TRUE(listener);
    const auto second = listen();
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Errc::kExists);
  }
  EXPECT_LT(connect(), 0) << "nobody listens, but the file is there";
  EXPECT_TRUE(listen());
}

TEST_F(LocalSocket, TouchesNoOrdinaryFile) {
  std::ofstream(path) << "precious";
  const auto listener = listen();
  ASSERT_FALSE(listener);
  EXPECT_NE(listener.error().detail.find("no socket"), std::string::npos);
  EXPECT_EQ(::access(path.c_str(), F_OK), 0);
}

TEST_F(LocalSocket, APathThatIsTooLongIsRefused) {
  path.append(200, 'x');
  const auto listener = listen();
  ASSERT_FALSE(listener);
  EXPECT_NE(listener.error().detail.find("too long"), std::string::npos);
}

}  // namespace
}  // namespace sluice
