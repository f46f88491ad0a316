#include "config/secret_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace sluice {

namespace {
constexpr size_t kMaxSecret_bytes = 64 * 1024;
}  // namespace

Result<std::string> load_secret_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(Errc::kIo, std::generic_category().message(errno));
  struct stat st{};
  std::string secret(kMaxSecret_bytes + 1, '\0');
  const ssize_t size = ::fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? ::read(fd, secret.data(), secret.size()) : -1;
  ::close(fd);
  if (size < 0) return fail(Errc::kIo, "cannot be read");
  if ((st.st_mode & S_IROTH) != 0) return fail(Errc::kDenied, "is readable by everybody; chmod o-r it");
  if (static_cast<size_t>(size) > kMaxSecret_bytes) return fail(Errc::kInvalidArgument, "larger than 64 KiB");
  secret.resize(static_cast<size_t>(size));
  while (secret.ends_with('\n') || secret.ends_with('\r')) secret.pop_back();
  if (secret.empty()) return fail(Errc::kInvalidArgument, "is empty");
  return secret;
}

}  // namespace sluice
