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

std::optional<ConfigText> read_config_file(const std::string& path, Problems& problems) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    problems.add({}, std::generic_category().message(errno));
    return std::nullopt;
  }
  struct stat st{};
  ConfigText out;
  ssize_t size = -1;
  if (::fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode)) {
    out.text.resize(kMaxConfig_bytes + 1);
    size_t got = 0;
    while (got < out.text.size() && (size = ::read(fd, out.text.data() + got, out.text.size() - got)) > 0) {
      got += static_cast<size_t>(size);
    }
    out.text.resize(got);
  }
  ::close(fd);
  if (size < 0) {
    problems.add({}, "cannot be read");
    return std::nullopt;
  }
  out.world_readable = (st.st_mode & S_IROTH) != 0;
  return out;
}

Config load_config(const std::string& path, const Environment& environment, Problems& problems) {
  const auto file = read_config_file(path, problems);
  if (!file) return {};
  return parse_config(file->text, file->world_readable, environment, problems);
}

}  // namespace sluice
