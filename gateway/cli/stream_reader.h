// Reads a stream from the command line, one message after the other.
#pragma once

#include <functional>

#include "client/stream_watch.h"
#include "gateway/cli/session.h"

namespace sluice {

/// Calls `visit` for each message until it returns false, until what stood there at the beginning was told
/// (without `follow`), or until SIGINT or SIGTERM. @return why the stream can't be read, if it can't.
Status read_stream(Session& session, StreamWatchOptions options, bool follow,
                   const std::function<bool(const ConsumedMessage&)>& visit);

}  // namespace sluice
