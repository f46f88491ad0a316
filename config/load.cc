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
    if (entry.key != "server") continue;
    // Most of this section comes into force by a reload, its websocket does not.
    for (const YamlNode::Entry& inner : entry.value.entries)
      if (inner.key == "websocket") config.section_texts["server.websocket"] = canonical_text(inner.value);
  }
  validate(context, config);
  return config;
}

Config load_config(const std::string& path, const Environment& environment, Problems& problems) {
  const auto file = read_config_file(path, problems);
  return file ? parse_config(file->text, file->world_readable, environment, problems) : Config{};
}

}  // namespace sluice
