// Follows keys of a bucket: first what stands there, then what changes, without a gap.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "client/stream_client.h"
#include "client/stream_watch.h"
#include "io/env.h"

namespace sluice {

enum class KvOperation : uint8_t { kPut, kDelete, kPurge };
constexpr std::string_view to_string(KvOperation operation) {
  switch (operation) {
    case KvOperation::kPut:
      return "PUT";
    case KvOperation::kDelete:
      return "DEL";
    case KvOperation::kPurge:
      return "PURGE";
  }
  return "";
}

struct KvEntry {
  std::string key;
  std::string value;
  StreamSeq revision;
  WallNanos time = 0;
  KvOperation operation = KvOperation::kPut;
  uint64_t size = 0;  ///< bytes of the value, also when it was not asked for
};

/// What a stored message's headers say was done to its key; a marker of the server's is what it stands
/// for.
KvOperation kv_operation_of(std::string_view headers);

struct KvWatchOptions {
  std::vector<std::string> filters{};  ///< keys, wildcards allowed; empty = every key
  bool history = false;                ///< every revision kept, not only the last of each key
  bool updates_only = false;           ///< nothing of what stands there now
  bool headers_only = false;           ///< entries come without their value
};

struct KvWatchEvents {
  std::move_only_function<void(const KvEntry&)> on_entry{};
  /// Once: all that stood there at the beginning was told.
  std::move_only_function<void()> on_current{};
  /// The bucket is gone or may not be read; nothing comes any more.
  std::move_only_function<void(const Error&)> on_trouble{};
};

/// A StreamWatch over a bucket's stream. Loop thread only. Callbacks may destroy the watch.
class KvWatch {
 public:
  /// `prefix` stands before each key in the stream's subjects. `client` outlives the watch.
  KvWatch(Env& env, StreamClient& client, std::string stream, std::string prefix, KvWatchOptions options,
          KvWatchEvents events);

 private:
  void on_message(const ConsumedMessage& message);

  const std::string prefix_;
  KvWatchEvents events_;
  StreamWatch watch_;
};

}  // namespace sluice
