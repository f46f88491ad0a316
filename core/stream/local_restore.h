// A stream of this process while a backup is read into it.
#pragma once

#include <functional>
#include <memory>

#include "store/store.h"
#include "stream/stream_config.h"
#include "stream/streams.h"

namespace sluice {

/// What a restore asks of the registry.
class RestoreOwner {
 public:
  virtual ~RestoreOwner() = default;
  virtual Status room_for_restore(StorageKind kind, uint64_t bytes) = 0;
  /// Takes the filled store over (`memory` for memory streams) and makes the stream known.
  virtual Result<Stream*> adopt_restored(const StreamConfig& config, WallNanos created, StreamStore* file,
                                         std::unique_ptr<StreamStore> memory) = 0;
  virtual void abandon_restored(const StreamConfig& config) = 0;
};

/// The owner may go first: then nothing is done any more (`alive` is false).
std::unique_ptr<StreamRestore> make_local_restore(RestoreOwner& owner, std::shared_ptr<const bool> alive,
                                                  Store* store, StreamConfig config, WallNanos created,
                                                  StreamStore* file, std::unique_ptr<StreamStore> memory);
/// The meta of a stream that is not to be seen yet.
std::string restoring_meta_json(const StreamConfig& config, WallNanos created);

}  // namespace sluice
