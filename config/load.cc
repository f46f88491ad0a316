#include "config/load.h"

#include "config/config_file.h"
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
  if (world_readable) tell_open_secrets(context);
  for (const YamlNode::Entry& entry : root->entries) {
    config.section_texts[entry.key] = canonical_text(entry.value);
  }
  validate(context, config);
  return config;
}

Config load_config(const std::string& path, const Environment& environment, Problems& problems) {
  const auto file = read_config_file(path, problems);
  return file ? parse_config(file->text, file->world_readable, environment, problems) : Config{};
}

}  // namespace sluice
