// sluice replicate: in the place of Choria's Stream Replicator, with its own configuration file.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "config/stream_replicator.h"
#include "gateway/cli/command_line.h"
#include "gateway/cli/verbs.h"
#include "gateway/replicate.h"

namespace sluice {
namespace {

struct ReplicateOptions {
  std::string config_path;
  bool debug = false;
  bool check = false;
};

int replicate(const ReplicateOptions& options) {
  Problems problems(options.config_path);
  Problems warnings(options.config_path);
  StreamReplicatorFile settings =
      load_stream_replicator(options.config_path, process_environment(), problems, warnings);
  std::fputs(warnings.to_text().c_str(), stderr);
  if (!problems.empty()) {
    std::fputs(problems.to_text().c_str(), stderr);
    return kExitConfig;
  }
  if (options.debug) settings.log.level = LogLevel::kDebug;
  if (options.check) {
    std::printf("%s: %zu streams, no problems, %zu warnings\n", options.config_path.c_str(),
                settings.replicator.streams.size(), warnings.size());
    return kExitOk;
  }
  return run_replicator(settings);
}

}  // namespace

void add_replicate_verb(CLI::App& app, VerbRun& run) {
  auto options = std::make_shared<ReplicateOptions>();
  CLI::App* verb = app.add_subcommand(
      "replicate", "Copy streams between far systems by a configuration of Choria's Stream Replicator.");
  verb->add_option("-c,--config", options->config_path, "its configuration file (YAML)")->required();
  verb->add_flag("--debug", options->debug, "log at debug level");
  verb->add_flag("--check", options->check, "tell what is wrong with the file; start nothing");
  verb->callback([options, &run] { run = [options] { return replicate(*options); }; });
}

}  // namespace sluice
