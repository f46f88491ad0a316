#include "gateway/cli/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <functional>
#include <string_view>

#include "config/problems.h"
#include "gateway/cli/session.h"
#include "gateway/cli/verbs.h"

namespace sluice {
namespace {

/// CLI11 says only that a verb is missing. Empty: the first words are verbs, or options.
std::string unknown_verb(const CLI::App& app, const std::vector<std::string>& arguments) {
  const CLI::App* at = &app;
  for (const std::string& word : arguments) {
    if (at->get_require_subcommand_min() == 0 || word.starts_with('-')) return "";
    const std::vector<const CLI::App*> verbs = at->get_subcommands(std::function<bool(const CLI::App*)>{});
    const auto found = std::ranges::find_if(verbs, [&](const CLI::App* verb) { return verb->check_name(word); });
    if (found == verbs.end()) {
      std::vector<std::string> known;
      for (const CLI::App* verb : verbs) known.push_back(verb->get_name());
      const std::string_view near = nearest_word(word, known);
      return fmt::format("{}: there is no '{}'{}\nRun '{} --help' for what there is.", at->get_name(), word,
                         near.empty() ? "" : fmt::format(", did you mean '{}'?", near), at->get_name());
    }
    at = *found;
  }
  return "";
}

}  // namespace

int run_command_line(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  std::string_view name = argc > 0 ? argv[0] : "sluice";
  if (size_t slash = name.rfind('/'); slash != std::string_view::npos)
    name.remove_prefix(slash + 1);
  if (name == "nats-server") return nats_server_verb(arguments);
  if (!arguments.empty() && arguments[0] == "nats-server") {
    arguments.erase(arguments.begin());
    return nats_server_verb(arguments);
  }

  CLI::App app("One daemon: a JetStream-compatible NATS server with adapters and a replicator.",
               "sluice");
  app.require_subcommand(1);
  std::string config_path;
  CLI::App* run = app.add_subcommand("run", "Run the daemon in the foreground.");
  run->add_option("-c,--config", config_path, "configuration file (YAML)")->required();
  CLI::App* check = app.add_subcommand(
      "check", "Tell everything that is wrong with a configuration, with line and column; start nothing.\n"
               "Exit codes: 0 a daemon would start with it, perhaps with warnings; 78 it would not.");
  CLI::Option* check_file = check->add_option("FILE", config_path, fmt::format("configuration file (YAML) [{}]", kDefaultConfigPath));
  check->add_option("-c,--config", config_path, "the same, named as the other verbs do")->excludes(check_file);
  CLI::App* reload = app.add_subcommand(
      "reload", "Check a configuration and tell the daemon that runs with it to read it again.");
  reload->add_option("-c,--config", config_path, "configuration file (YAML)")->required();
  app.add_subcommand("version", "Print versions.");
  CLI::App* config = app.add_subcommand("config", "About the configuration.");
  config->require_subcommand(1);
  config->add_subcommand("reference", "Print the reference page of all settings (Markdown).");
  app.add_subcommand("nats-server",
                     "Behave as nats-server does, with its flags and its configuration file; -h lists them.");
  VerbRun verb;
  add_audit_verbs(app, verb);
  add_election_verbs(app, verb);
  add_governor_verbs(app, verb);
  add_kv_verbs(app, verb);
  add_object_verbs(app, verb);
  add_replay_verb(app, verb);
  add_spool_verbs(app, verb);
  add_replicate_verb(app, verb);
  add_replicator_verbs(app, verb);
  add_dlq_verbs(app, verb);
  add_history_verb(app, verb);
  add_import_verbs(app, verb);
  add_store_verbs(app, verb);
  add_submit_verb(app, verb);
  add_verify_verb(app, verb);
  app.set_version_flag("--version", [] { return version_text(); }, "print versions");
  if (const std::string wrong = unknown_verb(app, arguments); !wrong.empty()) {
    std::fprintf(stderr, "%s\n", wrong.c_str());
    return kExitUsage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  if (verb) return verb();
  if (run->parsed()) return run_verb(config_path);
  if (check->parsed()) return check_verb(config_path.empty() ? std::string(kDefaultConfigPath) : config_path);
  if (reload->parsed()) return reload_verb(config_path);
  if (config->parsed()) return config_reference_verb();
  return version_verb();
}

}  // namespace sluice
