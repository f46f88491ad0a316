#include "gateway/cli/spool_session.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <optional>
#include <system_error>

#include "base/log.h"
#include "spool/queue.h"
#include "spool/requests.h"
#include "store/overlay_disk.h"
#include "uv/env.h"

namespace sluice {
namespace {

constexpr std::chrono::seconds kAnswerLimit{60};

std::string words_of(int code) { return std::generic_category().message(code); }

/// Blocking: a command has nothing else to do.
class SocketSession final : public SpoolSession {
 public:
  explicit SocketSession(int fd) : fd_(fd) {}
  ~SocketSession() override { ::close(fd_); }
  SocketSession(const SocketSession&) = delete;
  SocketSession& operator=(const SocketSession&) = delete;

  bool running() const override { return true; }
  Result<std::string> ask(std::string_view request) override {
    std::string out(request);
    out += '\n';
    for (size_t sent = 0; sent < out.size();) {
      const ssize_t n = ::send(fd_, out.data() + sent, out.size() - sent, MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail(Errc::kIo, "sluice-spool: " + words_of(errno));
      sent += static_cast<size_t>(n);
    }
    for (;;) {
      if (const size_t end = buffer_.find('\n'); end != std::string::npos) {
        std::string line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        return line;
      }
      char block[16384];
      const ssize_t n = ::recv(fd_, block, sizeof block, 0);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail(Errc::kIo, errno == EAGAIN ? "sluice-spool does not answer" : "sluice-spool: " + words_of(errno));
      if (n == 0) return fail(Errc::kClosed, "sluice-spool closed the connection before it answered");
      buffer_.append(block, static_cast<size_t>(n));
    }
  }

 private:
  int fd_;
  std::string buffer_;
};

/// The queue in this process; its lock keeps a daemon out meanwhile.
class FolderSession final : public SpoolSession {
 public:
  static Result<std::unique_ptr<SpoolSession>> open(const SpoolConfig& config, bool change) {
    auto out = std::make_unique<FolderSession>();
    const Env& real = out->world_.env();
    if (!real.disk.exists(config.queue.dir + "/journal"))
      return fail(Errc::kNotFound, "no sluice-spool runs, and there is no spool in " + config.queue.dir);
    out->overlay_ = std::make_unique<OverlayDisk>(real.disk);
    Disk& disk = change ? real.disk : *out->overlay_;
    out->env_ = std::unique_ptr<Env>(new Env{real.clock, real.timers, real.executor, real.random, disk, real.disk_workers,
                                             real.network, real.mailboxes, real.poller});
    auto queue = SpoolQueue::open(*out->env_, config.queue);
    if (!queue) return std::unexpected(queue.error());
    out->queue_ = std::move(*queue);
    out->requests_ = std::make_unique<SpoolRequests>(*out->env_, *out->queue_, nullptr, config.identity, true);
    return out;
  }

  bool running() const override { return false; }
  Result<std::string> ask(std::string_view request) override {
    std::optional<std::string> answer;
    requests_->handle(request, [&](std::string line) { answer = std::move(line); });
    if (!world_.loop().run_until([&] { return answer.has_value(); }, kAnswerLimit)) return fail(Errc::kTimeout, "no answer");
    return std::move(*answer);
  }
  Status close() override {
    std::optional<Status> closed;
    queue_->close([&](Status status) { closed = std::move(status); });
    if (!world_.loop().run_until([&] { return closed.has_value(); }, kAnswerLimit)) return fail(Errc::kTimeout, "closing takes too long");
    return *closed;
  }

 private:
  UvEnv world_;
  std::unique_ptr<OverlayDisk> overlay_;
  std::unique_ptr<Env> env_;
  std::unique_ptr<SpoolQueue> queue_;
  std::unique_ptr<SpoolRequests> requests_;
};

/// New files must belong to whom the daemon runs as.
Status become_owner(const std::string& dir) {
  struct stat found{};
  if (::geteuid() != 0 || ::stat(dir.c_str(), &found) != 0 || found.st_uid == 0) return {};
  if (::setegid(found.st_gid) != 0 || ::seteuid(found.st_uid) != 0)
    return fail(Errc::kDenied, "can't act as the owner of " + dir + ": " + words_of(errno));
  return {};
}

Result<int> connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return fail(Errc::kInvalidArgument, "no usable socket path");
  std::memcpy(address.sun_path, path.data(), path.size());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval limit{.tv_sec = kAnswerLimit.count(), .tv_usec = 0};
  if (fd >= 0 && ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
      ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
    return fd;
  const int code = errno;
  if (fd >= 0) ::close(fd);
  const bool nobody = code == ENOENT || code == ECONNREFUSED;
  return fail(nobody ? Errc::kClosed : Errc::kIo, path + ": " + words_of(code));
}

}  // namespace

void add_spool_options(CLI::App& verb, SpoolWords& words, bool offline) {
  verb.add_option("-c,--config", words.config_path, "the spool's configuration; without: /etc/sluice/spool.yaml")->envname("SLUICE_SPOOL_CONFIG");
  verb.add_option("--socket", words.socket, "the spool's socket, instead of the configuration's")->envname("SLUICE_SPOOL_SOCKET");
  if (offline) verb.add_option("--spool", words.dir, "a stopped spool's folder, instead of the configuration's");
}

Result<SpoolConfig> spool_config_of(const SpoolWords& words) {
  SpoolConfig config;
  const std::string path = words.config_path.empty() ? kDefaultSpoolConfigPath : words.config_path;
  if (!words.config_path.empty() || ::access(path.c_str(), F_OK) == 0) {
    Problems problems(path);
    config = load_spool_config(path, process_environment(), problems);
    std::string text = problems.to_text();
    while (text.ends_with('\n')) text.pop_back();
    // A submitter may well lack the right to read it; the socket's default place is known without.
    if (!problems.empty() && !(words.config_path.empty() && ::access(path.c_str(), R_OK) != 0)) return fail(Errc::kInvalidArgument, text);
  }
  if (!words.socket.empty()) config.socket = words.socket;
  if (!words.dir.empty()) config.queue.dir = words.dir;
  return config;
}

Result<std::unique_ptr<SpoolSession>> SpoolSession::open(const SpoolConfig& config, const SpoolWords& words, SpoolAccess access) {
  if (words.dir.empty()) {
    auto fd = connect_to(config.socket);
    if (fd) return std::make_unique<SocketSession>(*fd);
    if (fd.error().code != Errc::kClosed || access == SpoolAccess::kRunning) {
      if (fd.error().code == Errc::kClosed) fd.error().detail += ": no sluice-spool listens there (--socket or --config names another)";
      return std::unexpected(fd.error());
    }
  }
  configure_logging({LogLevel::kOff, false, ""});
  if (access == SpoolAccess::kChange) {
    if (Status s = become_owner(config.queue.dir); !s) return std::unexpected(s.error());
  }
  return FolderSession::open(config, access == SpoolAccess::kChange);
}

}  // namespace sluice
