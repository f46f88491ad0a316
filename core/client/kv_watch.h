// Follows keys of a bucket: first what stands there, then what changes, without a gap.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "client/stream_client.h"
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
  StreamSeq from{};                    ///< begin at this revision instead
};

struct KvWatchEvents {
  std::move_only_function<void(const KvEntry&)> on_entry{};
  /// Once: all that stood there at the beginning was told.
  std::move_only_function<void()> on_current{};
  /// The bucket is gone or may not be read; nothing comes any more.
  std::move_only_function<void(const Error&)> on_trouble{};
};

/// Happy path: an ephemeral pull consumer without acks; the numbers of its messages leave no hole, and the
/// one with nothing behind it ends the beginning.
///
/// Failures: a hole in the numbers, a consumer that is gone or silent, a broken connection → another
/// consumer from behind the last revision told, with back-off; nothing is told twice.
/// Loop thread only. Callbacks may destroy the watch.
class KvWatch {
 public:
  /// `prefix` stands before each key in the stream's subjects. `client` outlives the watch.
  KvWatch(Env& env, StreamClient& client, std::string stream, std::string prefix,
          KvWatchOptions options, KvWatchEvents events);
  ~KvWatch();
  KvWatch(const KvWatch&) = delete;
  KvWatch& operator=(const KvWatch&) = delete;

 private:
  void make_consumer();
  std::string consumer_request() const;
  void on_made(Result<std::string> made);
  void on_message(const ConsumedMessage& message);
  void start_over();
  void now_current();
  void die(const Error& why);

  Env& env_;
  StreamClient& client_;
  const std::string stream_;
  const std::string prefix_;
  const KvWatchOptions options_;
  KvWatchEvents events_;
  std::string consumer_;
  uint64_t made_ = 0;         ///< consumers so far
  uint64_t consumer_seq_ = 0;
  StreamSeq told_;            ///< last revision told
  bool current_ = false;
  bool stale_ = false;        ///< what comes still is of a consumer given up
  int failures_ = 0;
  std::unique_ptr<Timer> retry_timer_;
  Ticket call_;
  std::unique_ptr<PullSubscription> pull_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace sluice
