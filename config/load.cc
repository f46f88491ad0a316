#include "config/load.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "config/sections.h"
#include "config/validate.h"

namespace sluice {
Config parse_config(std::string_view text, bool world_readable, const Environment& environment,
                    Problems& problems) {
  Config config;
  auto root = parse_yaml(text, problems);
  if (!root) return config;
  ReadContext context{.problems = problems, .environment = environment};
  read_section(context, *root, config_fields(), &config);
  if (world_readable) {
    for (Place place : context.inline_secrets) {
      problems.add(place,
                   "a secret in a file that everybody may read: chmod o-r the file, or use a "
                   "…_file key or ${VARIABLE}");
    }
  }
  for (const YamlNode::Entry& entry : root->entries) {
    config.section_texts[entry.key] = canonical_text(entry.value);
  }
  validate(context, config);
  return config;
}

Config load_config(const std::string& path, const Environment& environment, Problems& problems) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    problems.add({}, std::generic_category().message(errno));
    return {};
  }
  struct stat st{};
  std::string text;
  ssize_t size = -1;
  if (::fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode)) {
    text.resize(kMaxConfig_bytes + 1);
    size_t got = 0;
    while (got < text.size() && (size = ::read(fd, text.data() + got, text.size() - got)) > 0) {
      got += static_cast<size_t>(size);
    }
    text.resize(got);
  }
  ::close(fd);
  if (size < 0) {
    problems.add({}, "cannot be read");
    return {};
  }
  return parse_config(text, (st.st_mode & S_IROTH) != 0, environment, problems);
}

}  // namespace sluice
