#include "adapters/file_drop/plain_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace sluice {
namespace {

class RealFiles final : public PlainFiles {
 public:
  explicit RealFiles(Disk& disk) : disk_(disk) {}

  Result<std::unique_ptr<File>> open(const std::string& path) override {
    const int pin = ::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat found{};
    if (pin < 0 || ::fstat(pin, &found) != 0) {
      const int code = errno;
      if (pin >= 0) ::close(pin);
      return fail(code == ENOENT ? Errc::kNotFound : Errc::kIo, "open " + path + ": " + std::generic_category().message(code));
    }
    auto file = S_ISREG(found.st_mode) ? disk_.open("/proc/self/fd/" + std::to_string(pin), OpenMode::kRead)
                                       : fail(Errc::kUnsupported, S_ISLNK(found.st_mode) ? "a link, which is not followed" : "no regular file");
    ::close(pin);
    return file;
  }

  bool is_folder(const std::string& path) override {
    struct stat found{};
    return ::lstat(path.c_str(), &found) == 0 && S_ISDIR(found.st_mode);
  }

  Status check_private(const std::string& folder) override {
    struct stat found{};
    if (::lstat(folder.c_str(), &found) != 0) return fail(Errc::kIo, folder + ": " + std::generic_category().message(errno));
    if (!S_ISDIR(found.st_mode)) return fail(Errc::kDenied, folder + " is no folder");
    if (found.st_uid != ::geteuid() || (found.st_mode & (S_IWGRP | S_IWOTH)) != 0)
      return fail(Errc::kDenied, folder + " must be the daemon's own and writable by nobody else");
    return {};
  }

 private:
  Disk& disk_;
};

}  // namespace

std::unique_ptr<PlainFiles> make_plain_files(Disk& disk) { return std::make_unique<RealFiles>(disk); }

}  // namespace sluice
