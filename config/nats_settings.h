// What a nats-server configuration says, as far as this version carries it out.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "config/nats_conf.h"
#include "leaf/leaf_options.h"
#include "server/server_options.h"
#include "store/store.h"

namespace sluice {

/// Defaults are nats-server's, but for the store: an ack means on disk unless the file says
/// otherwise.
struct NatsSettings {
  ServerOptions server{};      ///< its port is not used
  LeafOptions leafnodes{};
  int port = 4222;             ///< -1 = any free one
  std::string monitor_host{};  ///< empty = the server's
  int monitor_port = 0;        ///< 0 = none; -1 = any free one
  std::string store_dir{};     ///< empty = a temporary one
  SyncMode sync = SyncMode::kAlways;
  std::chrono::milliseconds sync_interval{0};  ///< kInterval only
  std::string store_key{};                     ///< empty = not encrypted
  std::string previous_store_key{};
  SealCipher store_cipher = SealCipher::kChaCha20Poly1305;
  int64_t max_memory_bytes = -1;               ///< -1 = not said: by the machine's size
  int64_t max_file_bytes = -1;
  int64_t max_ack_pending = -1;                ///< JetStream's `limits`, of every account; -1 = none
  int64_t max_request_batch = 0;               ///< 0 = none
  std::chrono::nanoseconds max_duplicate_window{0};  ///< 0 = none
  bool debug = false;
  bool trace = false;
  bool logtime = true;
  bool logtime_utc = false;
  std::string log_file{};
  std::string pid_file{};
  std::string ports_file_dir{};
  std::chrono::nanoseconds lame_duck_grace = std::chrono::seconds(10);
  std::chrono::nanoseconds lame_duck_duration = std::chrono::minutes(2);  ///< grace and spreading
  std::string http_base_path{};  ///< empty, or "/" and more
  /// "F:1:0: words"; the reference takes them as errors when it only checks a file.
  std::vector<std::string> warnings{};
  /// "F:1:0: words": what tunes something that is not here, and is therefore without effect.
  std::vector<std::string> notes{};
};

/// @return kInvalidArgument with all that is wrong or not carried out, one "F:1:0: words\n" each.
Result<NatsSettings> read_nats_settings(const NatsConf& conf);

}  // namespace sluice
