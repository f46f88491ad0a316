#include "gateway/reload.h"

#include <fmt/format.h>

#include <set>
#include <string_view>

namespace sluice {
namespace {

void append(std::string& to, std::string_view name) {
  if (!to.empty()) to += ' ';
  to += name;
}

}  // namespace

Result<ReloadOutcome> reload_config(RunningDaemon& daemon, Config& running, const Config& fresh) {
  ReloadOutcome out;
  if (auto built = daemon.prepare_adapters(fresh); !built) return std::unexpected(built.error());
  const auto reloaded = daemon.reload_server(fresh.server);
  if (!reloaded) {
    daemon.drop_prepared_adapters();
    return std::unexpected(reloaded.error());
  }
  const AdapterChanges adapters = daemon.commit_adapters();
  for (const std::string& name : adapters.added) append(out.applied, "adapters+" + name);
  for (const std::string& name : adapters.changed) append(out.applied, "adapters~" + name);
  for (const std::string& name : adapters.removed) append(out.applied, "adapters-" + name);
  const ReloadReport& report = *reloaded;
  for (const ChangedSetting& setting : report.applied)
    append(out.applied, "server." + setting.name);
  for (const ChangedSetting& setting : report.waiting)
    append(out.waiting, "server." + setting.name);
  if (running.server.host != fresh.server.host || running.server.port != fresh.server.port)
    append(out.waiting, "server.listen");
  take_reloadable(running.server, fresh.server);

  std::set<std::string_view> names;
  for (const Config* config : {&static_cast<const Config&>(running), &fresh}) {
    for (const auto& [name, text] : config->section_texts) names.insert(name);
  }
  const auto text_of = [](const Config& config, std::string_view name) {
    const auto found = config.section_texts.find(name);
    return found == config.section_texts.end() ? std::string_view()
                                               : std::string_view(found->second);
  };
  for (std::string_view name : names) {
    if (name == "server" && text_of(running, name) != text_of(fresh, name) &&
        report.applied.empty() && out.waiting.empty() &&
        text_of(running, "server.websocket") == text_of(fresh, "server.websocket")) {
      append(out.waiting, name);
    }
    if (name == "server" || name == "adapters" || text_of(running, name) == text_of(fresh, name)) continue;
    if (name == "log") {
      append(out.applied, name);
      running.section_texts.insert_or_assign("log", std::string(text_of(fresh, name)));
    } else {
      append(out.waiting, name);
    }
  }
  return out;
}

}  // namespace sluice
