// A configuration file of Choria's Stream Replicator, read as it is.
//
// Keys may stand in any case; unknown ones are warned of and left out, as are values of nothing. The rows are
// those of `replicator:` in Sluice's own file, so that settings of ours may stand in it too.
#pragma once

#include <string>
#include <string_view>

#include "base/log.h"
#include "config/problems.h"
#include "config/units.h"
#include "replicator/options.h"

namespace sluice {

struct StreamReplicatorFile {
  ReplicatorOptions replicator;
  LogOptions log;
  uint16_t monitor_port = 0;  ///< on all addresses; 0 = none
};

/// Whether it has `streams` at its top; Sluice's own file has not.
bool is_stream_replicator_file(const std::string& text);
StreamReplicatorFile parse_stream_replicator(std::string_view text, const Environment& environment, Problems& problems,
                                             Problems& warnings);
/// The same from a file; one that can't be read is a problem.
StreamReplicatorFile load_stream_replicator(const std::string& path, const Environment& environment, Problems& problems,
                                            Problems& warnings);

}  // namespace sluice
