#include "gateway/cli/replicator_file.h"

#include <utility>

#include "config/config_file.h"
#include "config/load.h"
#include "config/stream_replicator.h"

namespace sluice {

ReplicatorFile load_replicator_file(const std::string& path, Problems& problems) {
  ReplicatorFile out;
  const auto file = read_config_file(path, problems);
  if (file && is_stream_replicator_file(file->text)) {
    Problems warnings(path);
    StreamReplicatorFile settings = parse_stream_replicator(file->text, process_environment(), problems, warnings);
    out.replicator = std::move(settings.replicator);
    out.port = settings.monitor_port;
  } else if (file) {
    Config config = parse_config(file->text, file->world_readable, process_environment(), problems);
    out.replicator = std::move(config.replicator);
    if (config.monitor.enabled) out.port = config.monitor.port;
    if (config.monitor.host != "0.0.0.0" && config.monitor.host != "::") out.host = config.monitor.host;
  }
  return out;
}

}  // namespace sluice
