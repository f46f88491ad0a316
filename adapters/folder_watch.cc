#include "adapters/folder_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace sluice {
namespace {

class Inotify final : public FolderWatch {
 public:
  explicit Inotify(Poller& poller) : poller_(poller) {}
  Inotify(const Inotify&) = delete;
  Inotify& operator=(const Inotify&) = delete;
  ~Inotify() override {
    handle_.reset();
    if (fd_ >= 0) ::close(fd_);
  }

  Status start(const std::string& folder, std::move_only_function<void()> changed) override {
    changed_ = std::move(changed);
    fd_ = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd_ < 0 || ::inotify_add_watch(fd_, folder.c_str(), IN_MOVED_TO | IN_CLOSE_WRITE | IN_ONLYDIR) < 0)
      return fail(Errc::kIo, folder + ": " + std::strerror(errno));
    handle_ = poller_.watch(fd_, [this](bool, bool) { on_ready(); });
    handle_->want(true, false);
    return {};
  }

 private:
  /// What the events say is found by looking; they only have to be taken off.
  void on_ready() {
    std::array<char, 4096> events;
    while (::read(fd_, events.data(), events.size()) > 0) {
    }
    changed_();
  }

  Poller& poller_;
  int fd_ = -1;
  std::unique_ptr<PollHandle> handle_;
  std::move_only_function<void()> changed_;
};

}  // namespace

std::unique_ptr<FolderWatch> make_folder_watch(Poller& poller) { return std::make_unique<Inotify>(poller); }

}  // namespace sluice
