// sluice import choria-config: a broker's or node's configuration as ours.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "config/choria_import.h"
#include "config/yaml.h"
#include "gateway/cli/command_line.h"
#include "gateway/cli/import_nats_store.h"
#include "gateway/cli/session.h"
#include "gateway/cli/verbs.h"

namespace sluice {
namespace {

Result<std::string> read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  if (in) text << in.rdbuf();
  if (!in) return fail(Errc::kIo, fmt::format("'{}' can't be read", path.string()));
  if (text.view().size() > kMaxConfig_bytes) return fail(Errc::kInvalidArgument, fmt::format("'{}' is larger than 1 MiB", path.string()));
  return text.str();
}

int import_choria_config(const std::string& file, bool spool) {
  auto text = read_file(file);
  if (!text) return complain(text.error());
  auto keys = parse_choria_config(*text);
  // plugin.d/NAME.cfg beside the file holds keys of plugin.NAME.
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(file).parent_path() / "plugin.d", ignored)) {
    if (entry.path().extension() != ".cfg") continue;
    auto more = read_file(entry.path());
    if (!more) return complain(more.error());
    for (auto& [key, value] : parse_choria_config(*more)) keys["plugin." + entry.path().stem().string() + "." + key] = value;
  }
  const ChoriaImport made = import_choria(keys, std::filesystem::path(file).filename().string());
  if (spool && made.spool_yaml.empty()) return complain("the file has no submission spool (plugin.choria.submission.spool)");
  std::printf("%s", spool ? made.spool_yaml.c_str() : made.daemon_yaml.c_str());
  for (const std::string& note : made.notes) std::fprintf(stderr, "note: %s\n", note.c_str());
  return kExitOk;
}

}  // namespace

void add_import_verbs(CLI::App& app, VerbRun& run) {
  CLI::App* import = app.add_subcommand("import", "Take over what other programs have.");
  import->require_subcommand(1);
  add_import_nats_store(*import, run);
  struct Words {
    std::string file;
    bool spool = false;
  };
  auto words = std::make_shared<Words>();
  CLI::App* choria = import->add_subcommand(
      "choria-config", "Print a Choria configuration's adapters, streams and submission as ours; notes on standard error say what is left out.");
  choria->add_option("FILE", words->file, "the broker's or node's configuration")->required();
  choria->add_flag("--spool", words->spool, "print sluice-spool's configuration");
  choria->callback([words, &run] { run = [words] { return import_choria_config(words->file, words->spool); }; });
}

}  // namespace sluice
