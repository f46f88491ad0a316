// A command's way to the node's spool: the socket of the daemon that runs, or the folder of one that does not.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "config/spool_config.h"

namespace CLI {
class App;
}

namespace sluice {

struct SpoolWords {
  std::string config_path;  ///< empty = kDefaultSpoolConfigPath, when there is one
  std::string socket;       ///< instead of the configuration's
  std::string dir;          ///< a stopped spool's folder, instead of the configuration's
};
/// --config, --socket, and (with `offline`) --spool.
void add_spool_options(CLI::App& verb, SpoolWords& words, bool offline);
/// The configuration that the words name; one of defaults when none is named and none exists.
Result<SpoolConfig> spool_config_of(const SpoolWords& words);

/// What a command wants with a spool whose daemon does not run.
enum class SpoolAccess : uint8_t {
  kRunning,  ///< nothing: only a running one will do
  kLook,     ///< to read it; nothing on disk is changed
  kChange,   ///< to change it, as the owner of its folder
};

class SpoolSession {
 public:
  virtual ~SpoolSession() = default;
  /// kClosed: no daemon runs (and the access does not allow more), in words that say what to do.
  static Result<std::unique_ptr<SpoolSession>> open(const SpoolConfig& config, const SpoolWords& words, SpoolAccess access);
  /// One request of spool/requests.h and its answer.
  virtual Result<std::string> ask(std::string_view request) = 0;
  /// After the last question, when something was changed.
  virtual Status close() { return {}; }
  virtual bool running() const = 0;
};

}  // namespace sluice
