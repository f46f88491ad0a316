#include "config/load.h"

#include "config/config_file.h"
#include "config/named_files.h"
#include "config/sections.h"
#include "config/validate.h"

namespace sluice {
namespace {

/// `certificates` null: the files that it names are not looked into.
Config parse(std::string_view text, bool world_readable, const Environment& environment, const CertificateCheck* certificates,
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
  if (certificates == nullptr || !problems.empty()) return config;
  warn_of_unreadable_files(context, *root);
  const auto check = [&](const char* section, const TlsServerOptions& tls) {
    if (!tls.enabled()) return;
    const Status good = (*certificates)(tls);
    if (good) return;
    if (good.error().code == Errc::kTimeout)
      problems.warn(context.place_of(section), good.error().detail);
    else
      problems.add(context.place_of(section), good.error().detail);
  };
  check("server.tls", config.server.tls);
  check("server.websocket.tls", config.server.websocket.tls);
  check("leafnodes.tls", config.leafnodes.tls);
  return config;
}

}  // namespace

Config parse_config(std::string_view text, bool world_readable, const Environment& environment,
                    Problems& problems) {
  return parse(text, world_readable, environment, nullptr, problems);
}

Config load_config(const std::string& path, const Environment& environment, Problems& problems) {
  const auto file = read_config_file(path, problems);
  return file ? parse_config(file->text, file->world_readable, environment, problems) : Config{};
}

Config check_config(const std::string& path, const Environment& environment, const CertificateCheck& certificates, Problems& problems) {
  const auto file = read_config_file(path, problems);
  return file ? parse(file->text, file->world_readable, environment, &certificates, problems) : Config{};
}

}  // namespace sluice
