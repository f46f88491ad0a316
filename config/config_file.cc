#include "config/config_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "config/yaml.h"

namespace sluice {

std::optional<ConfigFile> read_config_file(const std::string& path, Problems& problems) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    problems.add({}, std::generic_category().message(errno));
    return std::nullopt;
  }
  struct stat st{};
  ConfigFile file;
  ssize_t size = -1;
  if (::fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode)) {
    file.text.resize(kMaxConfig_bytes + 1);
    size_t got = 0;
    while (got < file.text.size() && (size = ::read(fd, file.text.data() + got, file.text.size() - got)) > 0) {
      got += static_cast<size_t>(size);
    }
    file.text.resize(got);
  }
  ::close(fd);
  if (size < 0) {
    problems.add({}, "cannot be read");
    return std::nullopt;
  }
  file.text.shrink_to_fit();
  file.world_readable = (st.st_mode & S_IROTH) != 0;
  return file;
}

void tell_open_secrets(ReadContext& context) {
  for (Place place : context.inline_secrets) {
    context.problems.add(place,
                         "a secret in a file that everybody may read: chmod o-r the file, or use a "
                         "…_file key or ${VARIABLE}");
  }
}

}  // namespace sluice
