// Digests of ranges of one stream, wherever it is: another Sluice makes them itself, a foreign server's stream is read and
// they are made here.
#pragma once

#include <memory>
#include <string>

#include "client/stream_client.h"
#include "io/env.h"
#include "proof/digest_request.h"

namespace sluice {

/// Loop thread only. One question at a time.
class StreamDigests {
 public:
  /// What the questions cost so far.
  struct Traffic {
    uint64_t bytes = 0;     ///< payloads of requests and answers, or of the messages read
    uint64_t messages = 0;  ///< looked at, here or over there
  };
  using Done = std::move_only_function<void(Result<DigestAnswer>)>;

  virtual ~StreamDigests() = default;
  /// `done` runs once, later. With `one_page` the answer may end early and say where to go on; otherwise all of
  /// `request.own` has been looked at. Cut connections are waited for; kTimeout when that takes too long.
  virtual void ask(DigestRequest request, bool one_page, Done done) = 0;
  virtual const Traffic& traffic() const = 0;
  /// The stream's own sequence that the question under way has come to.
  virtual StreamSeq at() const = 0;

  /// Asks the Sluice behind `link`; the first question to anything else fails with kNoResponders.
  static std::unique_ptr<StreamDigests> served(Env& env, NatsLink& link, std::string_view api_prefix, std::string_view stream);
  /// Reads through consumers of its own.
  static std::unique_ptr<StreamDigests> read(Env& env, StreamClient& client, std::string_view stream);
};

}  // namespace sluice
