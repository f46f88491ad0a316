// A real nats-server for the tests of this room, on a free port, gone with its owner.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace sluice {

/// The binary: $SLUICE_NATS_SERVER, or nats-server on PATH or in Go's folder. "" = none.
inline std::string nats_server_binary() {
  if (const char* given = std::getenv("SLUICE_NATS_SERVER")) return given;
  std::vector<std::string> folders;
  if (const char* home = std::getenv("HOME")) folders.push_back(std::string(home) + "/go/bin");
  if (const char* path = std::getenv("PATH")) {
    const std::string all = path;
    for (size_t at = 0; at <= all.size();) {
      const size_t end = std::min(all.find(':', at), all.size());
      folders.push_back(all.substr(at, end - at));
      at = end + 1;
    }
  }
  for (const auto& folder : folders)
    if (access((folder + "/nats-server").c_str(), X_OK) == 0) return folder + "/nats-server";
  return "";
}

/// Skips the test without a server, fails it under CI=true.
#define SLUICE_NEEDS_NATS_SERVER()                                              \
  if (::sluice::nats_server_binary().empty()) {                                 \
    const char* ci = std::getenv("CI");                                         \
    if (ci != nullptr && std::string_view(ci) == "true")                        \
      FAIL() << "no nats-server: install it or set SLUICE_NATS_SERVER";         \
    GTEST_SKIP() << "no nats-server found; set SLUICE_NATS_SERVER to its path"; \
  }

class RealServer {
 public:
  explicit RealServer(std::vector<std::string> extra = {}) : extra_(std::move(extra)) {
    char pattern[] = "/tmp/sluice-remote-XXXXXX";
    dir_ = mkdtemp(pattern);
    port_ = free_port();
    start();
  }
  ~RealServer() {
    kill();
    std::filesystem::remove_all(dir_);
  }
  RealServer(const RealServer&) = delete;
  RealServer& operator=(const RealServer&) = delete;

  void start() {
    std::vector<std::string> words = {nats_server_binary(),
                                      "-a",
                                      "127.0.0.1",
                                      "-p",
                                      std::to_string(port_),
                                      "-js",
                                      "-sd",
                                      dir_,
                                      "-l",
                                      dir_ + "/log"};
    words.insert(words.end(), extra_.begin(), extra_.end());
    std::vector<char*> argv;
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      execv(argv[0], argv.data());
      _exit(127);
    }
  }
  void kill() { end(SIGKILL); }
  /// As an operator stops it: what it has acked is on disk.
  void stop() { end(SIGINT); }
  std::string url(const std::string& scheme = "nats") const {
    return scheme + "://127.0.0.1:" + std::to_string(port_);
  }
  const std::string& dir() const { return dir_; }

 private:
  void end(int signal) {
    if (pid_ <= 0) return;
    ::kill(pid_, signal);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  static uint16_t free_port() {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
    close(fd);
    return ntohs(address.sin_port);
  }

  std::vector<std::string> extra_;
  std::string dir_;
  uint16_t port_ = 0;
  pid_t pid_ = -1;
};

}  // namespace sluice
