// Reads an object in order and holds it against its digest.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/ticket.h"
#include "client/object_info.h"
#include "client/stream_client.h"
#include "client/stream_watch.h"
#include "crypto/digest.h"
#include "io/env.h"

namespace sluice {

struct ObjectReaderEvents {
  /// Once, first: of the object itself, links have been followed.
  std::move_only_function<void(const ObjectInfo&)> on_info{};
  std::move_only_function<void(std::string_view)> on_bytes{};
  /// Once, last. Only after a good end are the bytes known to be the object's: kCorrupt when size, number of chunks or
  /// digest are not as described, kNotFound when there is none, kRefused for a link that leads nowhere.
  std::move_only_function<void(Status)> on_done{};
};

/// Loop thread only; callbacks may destroy the reader.
class ObjectReader {
 public:
  /// `client` outlives the reader.
  ObjectReader(Env& env, StreamClient& client, std::string bucket, std::string name, ObjectReaderEvents events);
  ObjectReader(const ObjectReader&) = delete;
  ObjectReader& operator=(const ObjectReader&) = delete;

  /// Asks for no more; up to 4 MiB (32 chunks) may still come.
  void pause();
  void resume();

 private:
  void look_up(std::string bucket, std::string name);
  void on_found(Result<ObjectInfo> info);
  void read_chunks();
  void on_chunk(const ConsumedMessage& message);
  void check_end();
  void end(Status status);

  Env& env_;
  StreamClient& client_;
  ObjectReaderEvents events_;
  ObjectInfo info_;
  int links_followed_ = 0;
  uint64_t chunks_ = 0;
  uint64_t bytes_ = 0;
  bool paused_ = false;
  bool done_ = false;
  Sha256Stream digest_;
  Ticket call_;
  std::unique_ptr<Timer> silence_;
  std::unique_ptr<StreamWatch> watch_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace sluice
