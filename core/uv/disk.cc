#include "uv/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

namespace sluice {
namespace {

/// The error of the call that just failed.
std::unexpected<Error> failed(const char* what, const std::string& path, int code = errno) {
  Errc errc = Errc::kIo;
  if (code == ENOSPC || code == EDQUOT) errc = Errc::kNoSpace;
  if (code == ENOENT) errc = Errc::kNotFound;
  if (code == EEXIST) errc = Errc::kExists;
  if (code == EACCES || code == EPERM || code == EROFS) errc = Errc::kDenied;
  return fail(errc, std::string(what) + " " + path + ": " + std::generic_category().message(code));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

Descriptor open_retrying(const std::string& path, int flags, mode_t mode = 0) {
  int fd = -1;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  return Descriptor(fd);
}

class PosixFile final : public File {
 public:
  PosixFile(Descriptor fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Result<size_t> read_at(uint64_t offset, std::span<std::byte> into) override {
    size_t done = 0;
    while (done < into.size()) {
      ssize_t n = ::pread(fd_.get(), into.data() + done, into.size() - done,
                          static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return failed("read", path_);
      if (n == 0) break;
      done += static_cast<size_t>(n);
    }
    return done;
  }

  Status write_at(uint64_t offset, std::span<const std::byte> bytes) override {
    size_t done = 0;
    while (done < bytes.size()) {
      ssize_t n = ::pwrite(fd_.get(), bytes.data() + done, bytes.size() - done,
                           static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return failed("write", path_);
      done += static_cast<size_t>(n);
    }
    return {};
  }

  Status sync() override {
    // The kernel forgets a write-back error once told: a second fdatasync would lie.
    if (sync_failed_) return fail(Errc::kIo, "sync " + path_ + ": an earlier sync failed");
    if (::fdatasync(fd_.get()) != 0) {
      sync_failed_ = true;
      return failed("sync", path_);
    }
    return {};
  }

  Result<uint64_t> size() override {
    struct stat st{};
    if (::fstat(fd_.get(), &st) != 0) return failed("stat", path_);
    return static_cast<uint64_t>(st.st_size);
  }

  Status truncate(uint64_t size) override {
    int rc = 0;
    do {
      rc = ::ftruncate(fd_.get(), static_cast<off_t>(size));
    } while (rc != 0 && errno == EINTR);
    if (rc != 0) return failed("truncate", path_);
    return {};
  }

  Status allocate(uint64_t size) override {
    int code = 0;
    do {
      code = ::posix_fallocate(fd_.get(), 0, static_cast<off_t>(size));
    } while (code == EINTR);
    if (code != 0) return failed("allocate", path_, code);
    return {};
  }

 private:
  Descriptor fd_;
  std::string path_;
  std::atomic<bool> sync_failed_ = false;
};

class PosixDirLock final : public DirLock {
 public:
  explicit PosixDirLock(Descriptor fd) : fd_(std::move(fd)) {}  // closing it lets the lock go

 private:
  Descriptor fd_;
};

class PosixDisk final : public Disk {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    int flags = O_RDONLY;
    if (mode == OpenMode::kReadWrite) flags = O_RDWR;
    if (mode == OpenMode::kCreate) flags = O_RDWR | O_CREAT;
    Descriptor fd = open_retrying(path, flags, 0600);
    if (fd.get() < 0) return failed("open", path);
    return std::make_unique<PosixFile>(std::move(fd), path);
  }

  Status rename(const std::string& from, const std::string& to) override {
    if (std::rename(from.c_str(), to.c_str()) != 0) return failed("rename", from);
    return {};
  }

  Status remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return failed("remove", path);
    return {};
  }

  bool exists(const std::string& path) override { return ::access(path.c_str(), F_OK) == 0; }

  Result<std::vector<std::string>> list(const std::string& dir) override {
    std::unique_ptr<DIR, int (*)(DIR*)> open_dir(::opendir(dir.c_str()), &::closedir);
    if (!open_dir) return failed("list", dir);
    std::vector<std::string> names;
    errno = 0;
    while (dirent* entry = ::readdir(open_dir.get())) {
      std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    if (errno != 0) return failed("list", dir);
    std::sort(names.begin(), names.end());
    return names;
  }

  Status make_dirs(const std::string& dir) override {
    if (dir.empty()) return fail(Errc::kInvalidArgument, "empty folder name");
    for (size_t at = 1; at <= dir.size(); ++at) {
      if (at != dir.size() && dir[at] != '/') continue;
      std::string part = dir.substr(0, at);
      if (::mkdir(part.c_str(), 0700) == 0 || errno == EEXIST) continue;
      int code = errno;  // a parent we may not write to but that is there is no failure
      if (!exists(part)) return failed("create folder", part, code);
    }
    struct stat st{};
    if (::stat(dir.c_str(), &st) != 0) return failed("create folder", dir);
    if (!S_ISDIR(st.st_mode)) return failed("create folder", dir, ENOTDIR);
    return {};
  }

  Status remove_dir(const std::string& dir) override {
    if (::rmdir(dir.c_str()) != 0) return failed("remove folder", dir);
    return {};
  }

  Status sync_dir(const std::string& dir) override {
    Descriptor fd = open_retrying(dir, O_RDONLY | O_DIRECTORY);
    if (fd.get() < 0) return failed("open folder", dir);
    if (::fsync(fd.get()) != 0) return failed("sync folder", dir);
    return {};
  }

  Result<std::unique_ptr<DirLock>> lock_dir(const std::string& dir) override {
    std::string path = dir + "/LOCK";
    Descriptor fd = open_retrying(path, O_RDWR | O_CREAT, 0600);
    if (fd.get() < 0) return failed("open", path);
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) return fail(Errc::kExists, dir + " is in use by another process");
      return failed("lock", path);
    }
    return std::make_unique<PosixDirLock>(std::move(fd));
  }

  Result<uint64_t> free_bytes(const std::string& dir) override {
    struct statvfs vfs{};
    if (::statvfs(dir.c_str(), &vfs) != 0) return failed("statvfs", dir);
    return static_cast<uint64_t>(vfs.f_bavail) * static_cast<uint64_t>(vfs.f_frsize);
  }
};

}  // namespace

std::unique_ptr<Disk> make_disk() { return std::make_unique<PosixDisk>(); }

}  // namespace sluice
